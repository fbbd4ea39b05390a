"""Which op first made NaN or infinity, in eager code and in a compiled function."""

from __future__ import annotations

from types import TracebackType
from typing import Any, cast

from unified._dispatch import apply, backends_by_type, depth, table, tell_computed, tracing, wrap
from unified._engine import engine_of
from unified._location import user_line
from unified._recording import engines, recording
from unified._tape import grad_mode
from unified._tensor import Tensor
from unified.autograd.grad_mode import _Mode
from unified.debug.effects import when_run
from unified.errors import NonFiniteError


class nan_check(_Mode):  # noqa: N801  (reads as a statement: with un.debug.nan_check():)
    """Raises at the first op that makes NaN; sets it at once, and a ``with`` block undoes it at its end.

    Every result of every op and of every derivative is looked at, which is slow: for debugging. Eager code raises at
    the op. A compiled function is traced again with a count beside each op, and raises after the call, whose state
    is then unchanged; the message is the same. An op made of several is looked at as one.

    Args:
        enabled: False switches it off.
        infinity: refuse infinities as well. They are often meant: a mask of ``-inf`` before a softmax, say.

    Example:
        >>> with un.debug.nan_check():
        ...     un.tensor([-1.0, 1.0]).log()
        unified.errors.NonFiniteError: log: 1 of 2 elements of output 0 are NaN

    Raises (at an op):
        NonFiniteError: names the op and the line of the user's own that called it.
    """

    def __init__(self, enabled: bool = True, *, infinity: bool = False) -> None:
        self._arguments = (enabled, infinity)
        self._previous = (grad_mode.computed, grad_mode.anomaly)
        self._set(_refuse_infinite if infinity else _refuse_nan) if enabled else self._set(None)

    def _set(self, listener: Any) -> None:
        tell_computed(listener)
        for engine in engines():  # which note the lines of what they record then
            engine.set_anomaly(listener is not None or grad_mode.anomaly)

    def __enter__(self) -> nan_check:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._set(self._previous[0])

    def _again(self) -> nan_check:
        enabled, infinity = self._arguments
        return nan_check(enabled, infinity=infinity)

    def __call__(self, function: Any) -> Any:
        self._set(self._previous[0])
        return super().__call__(function)


def _refuse_nan(name: str, natives: Any, where: str | None) -> None:
    _look(name, natives, where, "isnan", "NaN")


def _refuse_infinite(name: str, natives: Any, where: str | None) -> None:
    _look(name, natives, where, "isfinite", "NaN or infinite")


def _look(name: str, natives: Any, where: str | None, test: str, what: str) -> None:
    """Counts what is refused among an op's results. Nobody listens to the ops that count."""
    if name in _SAY_NOTHING:
        return
    listener, grad_mode.computed = grad_mode.computed, None
    try:
        with recording(False):
            several = isinstance(natives, (list, tuple))
            for position, native in enumerate(natives if several else [natives]):
                if native is not None and backends_by_type[type(native)].dtype(native).is_inexact:
                    # backends count gradients differently: those of all operands, or of the ones that need one
                    output = "a gradient" if name.endswith("_backward") else f"output {position if several else 0}"
                    _look_at(wrap(native), f"{name}: ", output, where, test, what)
    finally:
        grad_mode.computed = listener


_SAY_NOTHING = {"empty", "empty_like", "alias", "compiled"}
"""Ops whose results are no computed values, or looked at in the program that they are."""


def _look_at(tensor: Tensor, name: str, output: str, where: str | None, test: str, what: str) -> None:
    if depth(tensor):  # the op was computed outside of the level too, and looked at there
        return
    native = engine_of(tensor).transforms.bare(tensor)._native
    tracer = tracing()
    if tracer is not None and tracer.sealed:
        return  # within the backward program of a compiled function; what comes out of it is looked at
    if tracer is None and backends_by_type[type(native)].compiler.is_traced(native):
        return  # within an op that its backend compiles; what comes out of it is looked at
    line = where or user_line()
    tensor = wrap(native)
    found = cast(Tensor, apply(table[test], (tensor,)))
    bad = found if test == "isnan" else ~found
    elements = tensor.numel()

    def act(arrays: list[Any]) -> None:
        count = int(arrays[0])
        if count:
            raise NonFiniteError(f"{name}{count} of {elements} elements of {output} are {what}\n  at {line}")

    when_run([bad.sum()], act)
