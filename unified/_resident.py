"""The memory of this process, as the system counts it."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from pathlib import Path


def resident() -> dict[str, int]:
    """Bytes of it ``in use`` and ``reserved``, and their ``peak``; what the system does not tell is absent."""
    found: dict[str, int] = {}
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        found["in use"] = found["reserved"] = pages * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(ImportError):  # on Windows
        resource = importlib.import_module("resource")
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found["peak"] = max(most if sys.platform == "darwin" else most * 1024, found.get("in use", 0))
    return found
