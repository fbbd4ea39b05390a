"""Whether compiled functions are compiled at all."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from unified._tape import grad_mode
from unified.autograd.grad_mode import _Mode


class disable_compile(_Mode):  # noqa: N801  (reads as a statement: with un.disable_compile():)
    """Compiled functions run as plain Python within, in this thread; also a decorator, with or without parentheses.

    For looking for a mistake: prints, debuggers and exceptions are then where Python has them.

    Example:
        >>> with un.disable_compile():
        ...     step(x, y)
    """

    def __new__(cls, function: Any = None) -> Any:
        mode = super().__new__(cls)
        if function is None:
            return mode
        mode._previous = []
        return mode(function)

    def __init__(self, function: Any = None) -> None:
        self._previous: list[bool] = []

    def __enter__(self) -> disable_compile:
        self._previous.append(grad_mode.uncompiled)
        grad_mode.uncompiled = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        grad_mode.uncompiled = self._previous.pop()
