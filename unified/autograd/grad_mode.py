"""Whether ops record. One switch for the tape and for every engine that a backend brings."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, cast

from unified._tape import grad_mode
from unified.backends.registry import loaded

Function = TypeVar("Function", bound=Callable[..., Any])


def _switch(enabled: bool) -> None:
    grad_mode.enabled = enabled
    for backend in loaded():
        if backend.engine is not None:
            backend.engine.set_grad_enabled(enabled)


def is_grad_enabled() -> bool:
    """Whether operations in this thread record for backward."""
    return grad_mode.enabled


class _Mode:
    """A grad mode as a context manager and as a decorator."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._previous: list[bool] = []

    def __enter__(self) -> None:
        self._previous.append(grad_mode.enabled)
        _switch(self._enabled)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        _switch(self._previous.pop())

    def __call__(self, function: Function) -> Function:
        enabled = self._enabled

        @functools.wraps(function)
        def within_mode(*args: Any, **kwargs: Any) -> Any:
            with _Mode(enabled):
                return function(*args, **kwargs)

        return cast(Function, within_mode)


class no_grad(_Mode):  # noqa: N801  (PyTorch's name)
    """Nothing is recorded within: ``with un.no_grad(): ...`` or ``@un.no_grad()``."""

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(_Mode):  # noqa: N801
    """Recording is on within, also inside a ``no_grad`` block."""

    def __init__(self) -> None:
        super().__init__(True)


class set_grad_enabled(_Mode):  # noqa: N801
    """Sets the mode at once; as a context manager, until the block ends."""

    def __init__(self, mode: bool) -> None:
        super().__init__(bool(mode))
        self._previous.append(grad_mode.enabled)
        _switch(self._enabled)

    def __enter__(self) -> None:
        _switch(self._enabled)
