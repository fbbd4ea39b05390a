"""The dtype of floating data when none is given, and what ops make of integers where it is not float32.

Natives, and the bodies of composites, know nothing of it: for them it is float32, so no program of an op depends on
it and none is stale when it changes. While it is another one, calls go the general way, and what came out in float32
of integers alone is computed again of the integers in the default dtype, which is how PyTorch's kernels begin.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from unified._caller import ParameterKind
from unified._dtype import DType, bfloat16, complex64, float16, float32, float64, wide_complex
from unified._op import Op
from unified.errors import UnifiedError

if TYPE_CHECKING:
    from unified._tensor import Tensor

CHOICES = (float32, float64, float16, bfloat16)


class _Default:
    """What holds for the process."""

    dtype: DType = float32
    watched: int = 0
    """How many reasons there are to look at it: 0 while it is float32 in every thread."""


class _Here(threading.local):
    dtype: DType | None = None
    """What holds in this thread instead."""


default = _Default()
_here = _Here()
_counting = threading.Lock()


def _count(change: int) -> None:
    with _counting:
        default.watched += change


def default_dtype() -> DType:
    """The dtype of floating data in this place."""
    return _here.dtype or default.dtype


def default_complex() -> DType:
    """The dtype of complex data in this place: complex128 beside float64, else complex64."""
    return wide_complex(default_dtype())


def replace(dtype: DType) -> None:
    """Makes ``dtype`` the default of the process."""
    _count((dtype is not float32) - (default.dtype is not float32))
    default.dtype = dtype


@contextmanager
def held(dtype: DType) -> Iterator[None]:
    """``dtype`` is the default of this thread in the block, whatever that of the process is."""
    before, _here.dtype = _here.dtype, dtype
    if dtype is not float32:
        _count(1)
    try:
        yield
    finally:
        _here.dtype = before
        if dtype is not float32:
            _count(-1)


_CONDITIONS = ("condition", "mask", "input_mask", "other_mask")
"""Operands that only choose between others, and stay bools."""

_OWN = ("masked_var", "masked_std")
"""Ops that give float32 of integers by their definition, in PyTorch too, whatever the default is."""

Apply = Callable[[Op, Sequence[Any]], Any]


def settled(apply: Apply, tracer: Any, op: Op, args: Sequence[Any], results: Any) -> Any:
    """The ``results`` of an op; in the default dtype where they are float32 of integers alone."""
    wanted = default_dtype()
    if wanted is float32 or op.whole_program or _root(op) in _OWN or not _follows(results):
        return results
    tensors, integers = [], []
    for parameter, value in zip(op.parameters, args, strict=True):
        if parameter.kind is ParameterKind.STATIC:
            if parameter.name == "dtype" and value is not None:
                return results
            continue
        for member in _members(value):
            if hasattr(member, "_native") and not (tracer is not None and tracer.is_number(member)):
                if member.dtype.is_inexact:
                    return results
                tensors.append(member)
                if parameter.name not in _CONDITIONS:
                    integers.append(member)
    if not tensors:  # a draw, or numbers alone
        return results
    chosen = {id(each) for each in integers if each.dtype.kind != "b"} or {id(each) for each in integers}

    def instead(value: Any) -> Any:
        if id(value) in chosen:
            return value.to(wanted)
        if chosen or not isinstance(value, (float, complex)):
            return value
        dtype = wide_complex(wanted) if isinstance(value, complex) else wanted
        return tensors[0].new_tensor(value, dtype=dtype)  # between these a condition chooses

    fixed = (ParameterKind.STATIC, ParameterKind.SCALAR)
    again = [
        value if parameter.kind in fixed else _replaced(value, instead)
        for parameter, value in zip(op.parameters, args, strict=True)
    ]
    with suppress(UnifiedError):  # of an op that takes nothing but integers, the result has to do
        results = apply(op, again)
    if not isinstance(results, (tuple, list)):
        return _fitted(results, wanted)
    fitted = [_fitted(result, wanted) for result in results]
    return tuple(fitted) if op.returns is tuple else op.returns(*fitted)


def _root(op: Op) -> str:
    return op.name if op.primal is None else _root(op.primal)


def _members(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (tuple, list)) else (value,)


def _replaced(value: Any, function: Callable[[Any], Any]) -> Any:
    return [function(member) for member in value] if isinstance(value, (tuple, list)) else function(value)


def _follows(results: Any) -> bool:
    """Whether one of them has the dtype that natives give where they follow the default."""
    return any(result is not None and result.dtype in _INSTEAD for result in _members(results))


_INSTEAD = {float32, complex64}


def _fitted(result: Tensor | None, dtype: DType) -> Tensor | None:
    if result is None or result.dtype not in _INSTEAD:
        return result
    return result.to(wide_complex(dtype) if result.dtype.is_complex else dtype)
