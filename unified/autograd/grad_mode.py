"""Whether ops record, and what is noted on the way. One switch for the tape and for every engine a backend brings."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar, cast

from unified._recording import engines, record
from unified._tape import grad_mode

Function = TypeVar("Function", bound=Callable[..., Any])


def is_grad_enabled() -> bool:
    """Whether operations in this thread record for backward."""
    return grad_mode.enabled


def is_inference_mode_enabled() -> bool:
    """Whether this is inside of :class:`inference_mode`."""
    return grad_mode.inference


class _Mode:
    """A mode as a context manager and as a decorator of functions and generator functions."""

    def __enter__(self) -> Self:
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError

    def _again(self) -> _Mode:
        """The same mode, to enter at another time."""
        return type(self)()

    def __call__(self, function: Function) -> Function:
        if inspect.isgeneratorfunction(function):
            return cast(Function, functools.wraps(function)(functools.partial(self._steps, function)))

        @functools.wraps(function)
        def within_mode(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return cast(Function, within_mode)

    def _steps(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        """A generator that is in the mode while it runs, and not while its caller does."""
        generator = function(*args, **kwargs)
        resume: Callable[[], Any] = functools.partial(next, generator)
        while True:
            try:
                with self._again():
                    produced = resume()
            except StopIteration as stop:
                return stop.value
            try:
                resume = functools.partial(generator.send, (yield produced))
            except GeneratorExit:
                with self._again():
                    generator.close()
                raise
            except BaseException as error:
                resume = functools.partial(generator.throw, error)


class _GradMode(_Mode):
    """A mode with one value of ``grad_mode.enabled``; also a decorator without parentheses."""

    _enabled: ClassVar[bool]

    def __new__(cls, function: Any = None) -> Any:
        mode = super().__new__(cls)
        if function is None:
            return mode
        if not callable(function):
            raise TypeError(f"{cls.__name__}() takes a function to decorate, not {type(function).__name__}")
        mode._previous = []
        return mode(function)

    def __init__(self, function: Any = None) -> None:
        self._previous: list[bool] = []

    def __enter__(self) -> Self:
        self._previous.append(grad_mode.enabled)
        record(self._enabled)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        record(self._previous.pop())


class no_grad(_GradMode):  # noqa: N801  (PyTorch's name)
    """Nothing is recorded within: ``with un.no_grad(): ...``, ``@un.no_grad()`` or ``@un.no_grad``."""

    _enabled = False


class enable_grad(_GradMode):  # noqa: N801
    """Recording is on within, also inside a ``no_grad`` block."""

    _enabled = True


class set_grad_enabled(_Mode):  # noqa: N801
    """Sets the mode at once; as a context manager until the block ends, as a decorator within the function."""

    def __init__(self, mode: bool) -> None:
        self._mode = bool(mode)
        self._previous = grad_mode.enabled
        record(self._mode)

    def __enter__(self) -> Self:
        record(self._mode)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        record(self._previous)

    def _again(self) -> _Mode:
        return set_grad_enabled(self._mode)

    def __call__(self, function: Function) -> Function:
        record(self._previous)
        return super().__call__(function)


class inference_mode(_Mode):  # noqa: N801
    """Nothing is recorded within, as in :class:`no_grad`; ``inference_mode(False)`` turns recording on again.

    Unlike PyTorch's, the Tensors made within are ordinary ones afterwards: PyTorch refuses them in a graph because a
    view of one may have changed unseen, and ours have no views.
    """

    def __new__(cls, mode: Any = True) -> Any:
        created = super().__new__(cls)
        if isinstance(mode, bool):
            return created
        created.__init__(True)  # type: ignore[misc]
        return created(mode)

    def __init__(self, mode: bool = True) -> None:
        self._mode = mode
        self._previous: list[tuple[bool, bool]] = []

    def __enter__(self) -> Self:
        self._previous.append((grad_mode.enabled, grad_mode.inference))
        grad_mode.inference = self._mode
        record(not self._mode)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        enabled, grad_mode.inference = self._previous.pop()
        record(enabled)

    def _again(self) -> _Mode:
        again: _Mode = inference_mode(self._mode)
        return again


class set_detect_anomaly(_Mode):  # noqa: N801
    """Sets at once whether anomalies are looked for, see :class:`detect_anomaly`; undone when a block ends."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._previous = (grad_mode.anomaly, grad_mode.check_nan)
        self._set(bool(mode), check_nan)

    def _set(self, enabled: bool, check_nan: bool) -> None:
        grad_mode.anomaly, grad_mode.check_nan = enabled, check_nan
        for engine in engines():
            engine.set_anomaly(enabled)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._set(*self._previous)


class detect_anomaly(set_detect_anomaly):  # noqa: N801
    """Notes the line of every recorded op within, and raises where a backward pass makes NaN.

    Run the forward pass inside too, or the line is not known. Looking at every gradient is slow: for debugging.
    A compiled function runs uncompiled within.

    Raises (in backward):
        AnomalyError: names the op whose derivative made NaN and the line of the user's own that called it.
    """

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__(True, check_nan)


def is_anomaly_enabled() -> bool:
    """Whether this is inside of :class:`detect_anomaly`."""
    return grad_mode.anomaly


def is_anomaly_check_nan_enabled() -> bool:
    """Whether NaN in a gradient raises there."""
    return grad_mode.check_nan
