"""Tensors in libraries that are no backend of ours: einops, and whatever speaks DLPack.

einops asks each of its own backend classes whether a tensor is its. Ours is known to it as soon as einops has been
imported when a backend of ours is first used, or ``unified.interop.einops`` is imported.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from unified.backends import registry
from unified.interop.dlpack import from_dlpack

__all__ = ["from_dlpack"]


def _connect(_: Any = None) -> None:
    if "einops" in sys.modules:
        try:
            importlib.import_module("unified.interop.einops")
        except ImportError as error:  # an einops that is broken or too old is no concern of who does not use it
            if not (error.name or "").startswith("einops"):
                raise


registry.on_load(_connect)
_connect()
