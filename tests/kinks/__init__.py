"""The table of kinks: corners, ties, zeros, bounds, infinities and dead NaN branches, a file a family of ops."""

from __future__ import annotations

import importlib
import pkgutil

from tests.kinks.probe import Probe

FAMILIES = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "probe")

PROBES: list[Probe] = [
    probe for family in FAMILIES for probe in importlib.import_module(f"tests.kinks.{family}").PROBES
]
