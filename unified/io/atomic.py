"""Writing so that a crash at any moment leaves either the old file or the new one, whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_SUFFIX = ".unfinished"


def write(path: Path, fill: Callable[[BinaryIO], None]) -> None:
    """Replaces the file at ``path`` by what ``fill`` writes: a file beside it, flushed to disk, then renamed.

    Whatever ``fill`` raises leaves the old file as it was and nothing beside it.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_SUFFIX}")
    try:
        with open(beside, "xb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(folder: Path) -> None:
    """Flushes a folder's list of names, without which a rename may not survive a power cut."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except (PermissionError, IsADirectoryError):  # a system that does not open folders has nothing to flush
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_unfinished(folder: Path) -> None:
    """Removes what writers that were killed have left; only for a folder with one writer."""
    for left in folder.glob(f".*{_SUFFIX}"):
        left.unlink(missing_ok=True)
