"""Letting go of compiled programs: a process that tests everything compiles more of them than a machine can hold."""

from __future__ import annotations

import gc
from pathlib import Path

from unified._dispatch import table
from unified._resident import resident

_MORE_MEMORY, _MORE_MAPS = 1.5e9, 15_000
"""Bytes, and mappings of memory, by which a process may grow before the programs compiled so far are let go.

Thousands of them add up to 15 GB, and XLA crashes where the system grants no more mappings (65,530 on Linux). Growth
counts, not size: TensorFlow keeps its programs to the end, and to ask for what cannot be had would cost all others.
"""
_remained = (0, 0)


def _size() -> tuple[int, int]:
    """Bytes resident, and mappings."""
    return resident()["in use"], Path("/proc/self/maps").read_text().count("\n")


def make_room() -> None:
    """Lets all compiled programs go where they have come to take too much."""
    global _remained
    held, maps = _size()
    if held > _remained[0] + _MORE_MEMORY or maps > _remained[1] + _MORE_MAPS:
        import jax
        import torch

        for op in table.values():
            op.implementations.clear()
            op._derived.clear()
        jax.clear_caches()
        torch._dynamo.reset()
        gc.collect()
        _remained = _size()
