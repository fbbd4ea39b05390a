"""Saving while the program goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from unified.io import files
from unified.io.files import Pathlike

Result = TypeVar("Result")

_writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="unified-save")
"""One thread: saves reach the disk in the order of their calls. Python waits for it when it exits."""


def save_async(obj: Any, path: Pathlike, *, max_shard_bytes: int = files.SHARD_BYTES) -> Future[Path]:
    """Like :func:`unified.save`, but writes in the background what ``obj`` holds at this moment.

    Later updates do not change what is saved: Tensors are values, whose buffers count as shared from here on, and
    numpy arrays are copied at once.

    Returns:
        A future of the path; ``result()`` waits until the file is there, and raises what the write raised.

    Raises:
        OperandError: ``obj`` holds something that cannot be saved; at once, as with ``un.save``.
    """
    return submit(files.snapshot(obj), path, max_shard_bytes, then=lambda: Path(path))


def submit(taken: files.Snapshot, path: Pathlike, max_shard_bytes: int, then: Callable[[], Result]) -> Future[Result]:
    """Writes a snapshot after those submitted before it, and then calls ``then``."""

    def work() -> Result:
        files.write(taken, path, max_shard_bytes)
        return then()

    return _writer.submit(work)
