"""The one switch of whether ops record, for the tape and for every engine that a backend brings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from unified._tape import grad_mode
from unified.backends import registry
from unified.backends.protocol import Engine


def engines() -> list[Engine]:
    """The engines that loaded backends brought."""
    return [backend.engine for backend in registry.loaded() if backend.engine is not None]


def record(enabled: bool) -> None:
    """Switches recording on or off in this thread."""
    grad_mode.enabled = enabled
    for engine in engines():
        engine.set_grad_enabled(enabled)


@contextlib.contextmanager
def recording(enabled: bool) -> Iterator[None]:
    """The same until the block ends."""
    previous = grad_mode.enabled
    record(enabled)
    try:
        yield
    finally:
        record(previous)
