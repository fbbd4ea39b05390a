"""Spectra over time on JAX."""

from __future__ import annotations

from unified.backends.protocol import Natives

natives = Natives()
