"""Finds the line of the user's own code that led here, for errors that must name it."""

from __future__ import annotations

import os
import sys
import sysconfig

_OURS = os.path.dirname(os.path.abspath(__file__))
_INSTALLED = (sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"], sysconfig.get_paths()["stdlib"])
_PACKAGES = f"{os.sep}site-packages{os.sep}"
_REST_OF_US = tuple(os.path.join(os.path.dirname(_OURS), name) + os.sep for name in ("backends", "models"))


def is_users(file: str) -> bool:
    """Whether a source file belongs to neither us nor an installed package."""
    return not file.startswith((_OURS + os.sep, "<unified", "<frozen", *_REST_OF_US, *_INSTALLED)) and (
        _PACKAGES not in file  # of another environment that this one sees
    )


def user_line() -> str:
    """``file.py:12 (in step)`` of the innermost frame of the user's own."""
    frame = sys._getframe(1)
    while frame is not None:
        if is_users(frame.f_code.co_filename):
            return f"{frame.f_code.co_filename}:{frame.f_lineno} (in {frame.f_code.co_name})"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return "an unknown line"
