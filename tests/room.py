"""Letting go of compiled programs: a process that tests everything compiles more of them than a machine can hold."""

from __future__ import annotations

import gc
import os
from pathlib import Path

from unified._dispatch import table

_MOST_MEMORY, _MOST_MAPS = 5e9, 20_000
"""Bytes, and mappings of memory, from which the programs that were compiled so far are let go.

Thousands of them add up to 15 GB, and XLA crashes where the system grants no more mappings (65,530 on Linux).
"""


def make_room() -> None:
    """Lets all compiled programs go where they have come to take too much."""
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if resident > _MOST_MEMORY or Path("/proc/self/maps").read_text().count("\n") > _MOST_MAPS:
        import jax
        import torch

        for op in table.values():
            op.implementations.clear()
            op._derived.clear()
        jax.clear_caches()
        torch._dynamo.reset()
        gc.collect()
