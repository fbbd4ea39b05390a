"""Where compiled programs are kept between processes: one folder of the user's, a part of it for each framework.

``UNIFIED_CACHE=0`` switches it off, and ``UNIFIED_CACHE_DIR`` names another folder. What is kept is code that will
run, so the folder is the user's alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

_SWITCH, _FOLDER = "UNIFIED_CACHE", "UNIFIED_CACHE_DIR"
_MOST_BYTES = 4 * 2**30
"""Above this the entries that were not used for longest go."""


def enabled() -> bool:
    """Whether compiled programs are kept."""
    return os.environ.get(_SWITCH, "1").lower() not in ("0", "false", "off", "no", "")


def root() -> Path:
    """The folder, which need not exist: the user's cache folder by the platform's custom, and ``unified`` in it."""
    named = os.environ.get(_FOLDER)
    if named:
        return Path(named).expanduser().absolute()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "unified"


def folder(part: str) -> Path | None:
    """The folder of one framework, made if it has to be; None where nothing is kept or it cannot be made."""
    if not enabled():
        return None
    path = root() / part
    try:
        root().mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError:  # a read-only home is no reason not to compile
        return None
    return path


def read(part: str, key: str) -> bytes | None:
    """What was kept under ``key``, or None."""
    directory = folder(part)
    if directory is None:
        return None
    path = directory / key
    try:
        data = path.read_bytes()
        os.utime(path)  # used now, which is what decides what goes first
    except OSError:
        return None
    return data


def write(part: str, key: str, data: bytes) -> None:
    """Keeps ``data``: whole or not at all, whoever else writes it at the time. A full disk is no error."""
    directory = folder(part)
    if directory is None:
        return
    with contextlib.suppress(OSError):
        handle, name = tempfile.mkstemp(dir=directory, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(name, directory / key)
        except OSError:
            os.unlink(name)
            raise
        _shrink(directory)


def drop(part: str, key: str) -> None:
    """Forgets an entry that cannot be used."""
    with contextlib.suppress(OSError):
        (root() / part / key).unlink()


def _shrink(directory: Path) -> None:
    held = sorted((file.stat().st_mtime, file.stat().st_size, file) for file in directory.iterdir() if file.is_file())
    excess = sum(size for _, size, _ in held) - _MOST_BYTES
    for _, size, file in held:
        if excess <= 0:
            return
        file.unlink(missing_ok=True)
        excess -= size


class Usage(NamedTuple):
    """What one part of the cache holds."""

    part: str
    entries: int
    size: int


def usage() -> list[Usage]:
    """Files and bytes of each part."""
    parts = sorted(path for path in root().glob("*") if path.is_dir())
    found = []
    for part in parts:
        sizes = [file.stat().st_size for file in part.rglob("*") if file.is_file()]
        found.append(Usage(part.name, len(sizes), sum(sizes)))
    return found


def clear() -> int:
    """Forgets everything; returns how many bytes that were."""
    freed = sum(part.size for part in usage())
    for part in usage():
        shutil.rmtree(root() / part.part, ignore_errors=True)
    return freed
