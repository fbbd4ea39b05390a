"""Subscripts parsed once into a hashable recipe and a list of dynamic operands.

``x[i, 2:5, None, ids]`` becomes a tuple of :class:`Axis` that is part of the program, and operands (``i``,
``ids`` and slice starts) that are not: a loop over ``x[t]`` or ``x[t : t + 8]`` is one program, not many.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple

from unified.errors import IndexOutOfRangeError, OperandError


class AxisKind(Enum):
    """What a subscript does to one axis."""

    ALL = "all"
    """Keeps the axis whole."""
    SLICE = "slice"
    """Takes ``length`` elements ``step`` apart, from ``start`` (None: the next operand)."""
    INT = "int"
    """Removes the axis at the position given by the next operand, an int or a 0-d integer tensor."""
    NEW = "new"
    """Inserts an axis of size one."""
    ARRAY = "array"
    """Gathers by the next operand, an integer tensor."""

    def __hash__(self) -> int:
        return id(self)


class Axis(NamedTuple):
    """One entry of a recipe."""

    kind: AxisKind
    start: int | None = 0
    length: int = 0
    step: int = 1


_ALL = Axis(AxisKind.ALL)
_NEW = Axis(AxisKind.NEW)
_ARRAY = Axis(AxisKind.ARRAY)
_INT = Axis(AxisKind.INT)


def bounds(key: slice, size: int) -> tuple[int, int, int]:
    """``key.indices(size)`` for a step forward, in arithmetic that a ``size`` of a class of its own passes on."""
    start, stop, step = key.start, key.stop, key.step
    ends = []
    for end, default in ((start, 0), (stop, size)):
        place = default if end is None else end if isinstance(end, int) else operator.index(end)
        ends.append(min(max(place + size if place < 0 else place, 0), size))
    return ends[0], ends[1], 1 if step is None else operator.index(step)


def _slice(key: slice, size: int) -> tuple[Axis, list[int]]:
    start, stop, step = key.indices(size) if size.__class__ is int else bounds(key, size)
    if step <= 0:
        raise OperandError(f"slice step must be greater than zero, got {step}; use un.flip to reverse an axis")
    length = max(0, -(-(stop - start) // step))
    if length == 0:  # from 0: XLA's gradient of an empty slice that starts at the end has the wrong shape
        return Axis(AxisKind.SLICE, 0, 0, 1), []
    if length == size and step == 1:
        return _ALL, []
    if step == 1 and start:
        return Axis(AxisKind.SLICE, None, length, 1), [start]
    return Axis(AxisKind.SLICE, start, length, step), []


def parse(key: Any, shape: Sequence[int], tensor_type: type[Any]) -> tuple[tuple[Axis, ...], list[Any]]:
    """Splits ``key`` for a tensor of ``shape`` into its recipe and its operands.

    Boolean masks and nested lists are the caller's to turn into integer tensors first.

    Raises:
        IndexOutOfRangeError: more subscripts than axes, or an integer outside its axis.
        OperandError: a subscript of a kind that PyTorch does not take either.
    """
    keys = key if isinstance(key, tuple) else (key,)
    consumed = sum(1 for k in keys if k is not None and k is not Ellipsis)
    if consumed > len(shape):
        raise IndexOutOfRangeError(f"too many subscripts: {consumed} for a tensor of shape {tuple(shape)}")
    if sum(1 for k in keys if k is Ellipsis) > 1:
        raise OperandError("a subscript can hold only one '...'")
    recipe: list[Axis] = []
    operands: list[Any] = []
    axis = 0
    for k in keys:
        if k is None:
            recipe.append(_NEW)
        elif k is Ellipsis:
            skipped = len(shape) - consumed
            recipe.extend([_ALL] * skipped)
            axis += skipped
        elif isinstance(k, slice):
            entry, starts = _slice(k, shape[axis])
            recipe.append(entry)
            operands.extend(starts)
            axis += 1
        elif isinstance(k, tensor_type):
            recipe.append(_ARRAY if k.ndim else _INT)
            operands.append(k)
            axis += 1
        else:
            recipe.append(_INT)
            operands.append(_position(k, shape, axis))
            axis += 1
    recipe.extend([_ALL] * (len(shape) - axis))
    return tuple(recipe), operands


def _position(k: Any, shape: Sequence[int], axis: int) -> int:
    try:
        position = operator.index(k)
    except TypeError:
        raise OperandError(
            f"cannot subscript a tensor with {type(k).__name__}; use an int, a slice, None, '...', "
            "an integer or bool Tensor, or a list of ints"
        ) from None
    size = shape[axis]
    if not -size <= position < size:
        raise IndexOutOfRangeError(f"index {position} is out of range for axis {axis} of shape {tuple(shape)}")
    return position + size if position < 0 else position
