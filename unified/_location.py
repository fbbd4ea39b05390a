"""Finds the line of the user's own code that led here, for errors that must name it."""

from __future__ import annotations

import os
import sys
import sysconfig

_OURS = os.path.dirname(os.path.abspath(__file__))
_INSTALLED = (sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"], sysconfig.get_paths()["stdlib"])
_REST_OF_US = tuple(os.path.join(os.path.dirname(_OURS), name) + os.sep for name in ("backends", "models"))


def user_line() -> str:
    """``file.py:12 (in step)`` of the innermost frame that belongs to neither us nor an installed package."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        internal = name.startswith((_OURS + os.sep, "<unified", *_REST_OF_US, *_INSTALLED))
        if not internal and not name.startswith("<frozen"):
            return f"{name}:{frame.f_lineno} (in {frame.f_code.co_name})"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return "an unknown line"
