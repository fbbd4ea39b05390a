"""The one switch of whether ops record, for the tape and for every engine that a backend brings; and autocast's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from unified._dispatch import set_autocast
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


class recording(contextlib.ContextDecorator):  # noqa: N801  (reads as a statement)
    """The same until the block ends; a class, since every backward pass enters it."""

    __slots__ = ("_enabled", "_previous")

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled

    def __enter__(self) -> None:
        self._previous = grad_mode.enabled
        record(self._enabled)

    def __exit__(self, *_: object) -> None:
        record(self._previous)

    def _recreate_cm(self) -> recording:
        return recording(self._enabled)  # as a decorator, one a call


@contextlib.contextmanager
def casting(state: Any) -> Iterator[None]:
    """``state`` casts the operands of ops in the block, in this thread, for what runs again as it did before."""
    previous = grad_mode.autocast
    set_autocast(state)
    try:
        yield
    finally:
        set_autocast(previous)
