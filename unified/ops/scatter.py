"""Writing at positions: scatter, put, their reductions, and whole slices or diagonals written anew.

Where a position comes twice and nothing is added up, which of the elements wins is undefined; its gradient is
PyTorch's, which flows to all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from unified._dispatch import composite, front, op
from unified._dtype import Number, int32
from unified._index import parse
from unified._tape import grad_mode
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError
from unified.ops import _axes, indexing
from unified.ops._checks import broadcast_shapes
from unified.ops.elementwise import clamp, floor_divide, remainder, where
from unified.ops.indexing import index_copy, scatter_at, write_at, written_to
from unified.ops.reduction import cumsum
from unified.ops.shape import expand, movedim, reshape, stack

__all__ = [
    "diagonal_scatter", "index_put", "index_reduce", "masked_scatter", "nonzero_static", "put", "scatter",
    "scatter_reduce", "select_scatter", "slice_scatter",
]  # fmt: skip

Operand = Tensor | Number
Scalar = Number

# ---- reductions ----------------------------------------------------------------------------------------------

_REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")


def _check_reduction(reduce: str, allowed: Sequence[str] = _REDUCTIONS) -> None:
    if reduce not in allowed:
        raise ArgumentError(f"reduce must be one of {', '.join(allowed)}, not {reduce!r}")


def _check_scatter_reduce(input: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool) -> None:
    _check_reduction(reduce)
    _axes.check_scatter(input, dim, index, src)


def _check_index_reduce(input: Any, dim: int, index: Any, source: Any, reduce: str, include_self: bool) -> None:
    _check_reduction(reduce, _REDUCTIONS[1:])
    _axes.check_index_select(input, dim, index)
    at = _axes.axis(dim, input.shape)
    expected = (*input.shape[:at], math.prod(index.shape), *input.shape[at + 1 :]) if input.shape else ()
    if tuple(source.shape) != expected:
        raise ShapeError(f"source {tuple(source.shape)} must have the shape {expected}")
    if source.dtype is not input.dtype:
        raise DTypeError(f"source is {source.dtype.name}, input {input.dtype.name}; convert one with x.to(dtype)")


@op()
def reduce_at(input: Tensor, positions: Tensor, src: Tensor, reduce: str, include_self: bool) -> Tensor:
    """The vector ``input`` with the elements of ``src`` reduced into it at ``positions``; all three are vectors.

    Gradients are PyTorch's: those of amax and amin are shared by ties, those of prod are right where elements are 0.
    """


def _flat_positions(shape: Sequence[int], dim: int, index: Tensor) -> Tensor:
    """For each element of ``index`` its place in a flattened tensor of ``shape``, as a vector."""
    total = index * math.prod(shape[dim + 1 :])
    for axis, length in enumerate(index.shape):
        if axis != dim:
            steps = np.arange(length) * math.prod(shape[axis + 1 :])
            spread = [-1 if k == axis else 1 for k in range(len(shape))]
            total = total + reshape(index.new_tensor(steps, dtype=index.dtype), spread)
    return reshape(total, (-1,))


@composite(methods=("scatter_reduce",), inplace=True, check=_check_scatter_reduce, indices=_axes.index_along)
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """``input`` with all ``src[i][j]`` that share a place ``[index[i][j]][j]`` reduced there, for ``dim=0``.

    Args:
        reduce: "sum", "prod", "mean", "amax" or "amin"; the mean of integers is rounded down.
        include_self: whether the element of ``input`` takes part where something arrives.

    Example: ``zeros(2).scatter_reduce(0, [0, 0, 1], [1., 2., 3.], "amax") -> [2., 3.]``.

    Raises:
        ArgumentError: another reduction.
        IndexOutOfRangeError, ShapeError, DTypeError: as for :func:`scatter`.
    """
    shape = input.shape
    if not shape:
        grown = (reshape(tensor, (1,)) for tensor in (input, index, src))
        one, index, src = grown
        return reshape(scatter_reduce(one, 0, index, src, reduce, include_self=include_self), ())
    positions = _flat_positions(shape, _axes.axis(dim, shape), index.to(int32) if index.dtype.itemsize < 4 else index)
    read = src[tuple(slice(length) for length in index.shape)]
    flat = reduce_at(reshape(input, (-1,)), positions, reshape(read, (-1,)), reduce, include_self)
    return reshape(flat, shape)


@composite(methods=("index_reduce",), inplace=True, check=_check_index_reduce, indices=_axes.index_along)
def index_reduce(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """``input`` with the slices of ``source`` reduced into the positions of ``dim`` that a vector names.

    Args:
        reduce: "prod", "mean", "amax" or "amin".
        include_self: whether the slice of ``input`` takes part where something arrives.

    Raises:
        ArgumentError: another reduction.
        ShapeError, DTypeError: ``source`` does not fit.
    """
    shape = source.shape
    if not shape:
        spread = reshape(index, ())
        return scatter_reduce(input, 0, spread, source, reduce, include_self=include_self)
    at = _axes.axis(dim, shape)
    spread = expand(reshape(index, [-1 if k == at else 1 for k in range(len(shape))]), shape)
    return scatter_reduce(input, at, spread, source, reduce, include_self=include_self)


# ---- scatter and put -----------------------------------------------------------------------------------------

_OLD_NAMES = {"add": "sum", "multiply": "prod"}


@front("scatter", "scatter_")
def scatter(
    input: Tensor, dim: int, index: Tensor, src: Operand | None = None, *, value: Operand | None = None,
    reduce: str | None = None,
) -> Tensor:  # fmt: skip
    """``input`` with ``out[index[i][j]][j] = src[i][j]`` for ``dim=0``, and so on.

    Args:
        src: a Tensor no smaller than ``index``, or a number.
        value: another name for a ``src`` that is a number.
        reduce: "add" or "multiply" with what is there instead of replacing it.

    Example: ``zeros(3).scatter(0, [2, 0], [5., 6.]) -> [6., 0., 5.]``.

    Raises:
        IndexOutOfRangeError: an index lies outside of ``dim``; undefined inside compiled programs.
        ShapeError, DTypeError: ``index`` or ``src`` does not fit ``input``.
    """
    given = value if src is None else src
    if given is None or (src is not None and value is not None):
        raise ArgumentError("scatter: takes either src or value")
    if reduce is None:
        return scatter_at(input, dim, index, given)
    _check_reduction(reduce, tuple(_OLD_NAMES))
    if not isinstance(given, Tensor):
        given = expand(input.new_tensor(given, dtype=input.dtype), index.shape)
    return scatter_reduce(input, dim, index, given, _OLD_NAMES[reduce])


@front("index_put", "index_put_")
def index_put(input: Tensor, indices: Sequence[Any], values: Tensor, accumulate: bool = False) -> Tensor:
    """``input`` with ``values``, broadcast, at ``input[indices]``; added to what is there if ``accumulate``.

    Args:
        indices: a tuple of integer or bool Tensors, one for each of the first dimensions; None takes one whole.

    Example: ``zeros(3).index_put(([0, 0],), tensor([1., 2.]), accumulate=True) -> [3., 0., 0.]``.
    """
    cast = grad_mode.autocast is not None  # which brings both to the wider dtype
    if isinstance(values, Tensor) and values.dtype is not input.dtype and not cast:
        raise DTypeError(f"index_put: values are {values.dtype.name}, input {input.dtype.name}; convert one first")
    key = tuple(slice(None) if entry is None else entry for entry in indices)
    return written_to(input, key, values, accumulate)


@front("put", "put_")
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """``input`` with the elements of ``source`` at the positions ``index`` of it flattened, or added there.

    Example: ``zeros(2, 2).put([1, -1], [5., 6.]) -> [[0., 5.], [0., 6.]]``.

    Raises:
        ShapeError: ``index`` and ``source`` differ in their number of elements.
    """
    _axes.integer_index(index)
    if index.numel() != source.numel():
        raise ShapeError(f"put: index {tuple(index.shape)} and source {tuple(source.shape)} must hold equally many")
    flat, values = reshape(input, (-1,)), reshape(source, (-1,))
    return reshape(index_put(flat, (reshape(index, (-1,)),), values, accumulate), input.shape)


def _check_masked_scatter(input: Any, mask: Any, source: Any) -> None:
    if mask.dtype.kind != "b":
        raise DTypeError(f"mask must be bool, not {mask.dtype.name}")
    if source.dtype is not input.dtype:
        raise DTypeError(f"source is {source.dtype.name}, input {input.dtype.name}; convert one with x.to(dtype)")
    broadcast_shapes(input.shape, mask.shape)


@composite(methods=("masked_scatter",), inplace=True, check=_check_masked_scatter)
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """``input`` with the elements of ``source``, in order, where ``mask`` holds; input and mask are broadcast.

    ``source`` must hold as many as are needed; PyTorch's own backend raises where it does not.

    Example: ``zeros(3).masked_scatter([True, False, True], [5., 6.]) -> [5., 0., 6.]``.
    """
    shape = broadcast_shapes(input.shape, mask.shape)
    flat, holds = reshape(expand(input, shape), (-1,)), reshape(expand(mask, shape), (-1,))
    count = math.prod(source.shape)
    if not count:
        return reshape(flat, shape)
    places = clamp(cumsum(holds, 0) - 1, 0, count - 1)
    taken = reshape(source, (-1,)).index_select(0, places)
    return reshape(where(holds, taken, flat), shape)


# ---- slices and diagonals written anew -----------------------------------------------------------------------


def _written(name: str, input: Tensor, src: Tensor, key: tuple[Any, ...]) -> Tensor:
    recipe, operands = parse(key, input.shape, Tensor)
    expected = indexing.subscripted_shape(input.shape, operands, recipe)
    if tuple(src.shape) != expected:
        raise ShapeError(f"{name}: src must have the shape {expected} of what it replaces, not {tuple(src.shape)}")
    return write_at(input, operands, src, recipe, False)


@front("select_scatter")
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """``input`` with ``src`` at one position of ``dim``. Example: ``(2, 3)`` with a ``(3,)`` at ``dim=0``.

    Raises:
        IndexOutOfRangeError: no such position or dimension.
        ShapeError: ``src`` has not the shape of ``input.select(dim, index)``.
    """
    if not input.shape:
        raise IndexOutOfRangeError("select_scatter: a 0-d tensor has no positions")
    at = _axes.axis(dim, input.shape)
    return _written("select_scatter", input, src, (*[slice(None)] * at, index))


@front("slice_scatter")
def slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """``input`` with ``src`` in place of ``start:end:step`` along ``dim``.

    Raises:
        ShapeError: ``src`` has not the shape of that slice.
    """
    at = _axes.axis(dim, input.shape)
    return _written("slice_scatter", input, src, (*[slice(None)] * at, slice(start, end, step)))


def _check_diagonal_scatter(input: Any, src: Any, offset: int, dim1: int, dim2: int) -> None:
    _axes.check_diagonal(input, offset, dim1, dim2)
    rows, columns, rest = _diagonal_of(input.shape, dim1, dim2)
    expected = (*rest, len(_diagonal_positions(rows, columns, offset)))
    if tuple(src.shape) != expected:
        raise ShapeError(f"src must have the shape {expected} of the diagonal, not {tuple(src.shape)}")


def _diagonal_of(shape: Sequence[int], dim1: int, dim2: int) -> tuple[int, int, tuple[int, ...]]:
    """The rows, the columns and the other dimensions of the matrices in ``dim1`` and ``dim2``."""
    first, second = _axes.axes((dim1, dim2), shape)
    return shape[first], shape[second], tuple(n for k, n in enumerate(shape) if k not in (first, second))


def _diagonal_positions(rows: int, columns: int, offset: int) -> np.ndarray[Any, Any]:
    row = np.arange(max(-offset, 0), max(-offset, 0, min(rows, columns - offset)))
    return row * columns + row + offset


@composite(methods=("diagonal_scatter",), check=_check_diagonal_scatter)
def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """``input`` with ``src`` as the diagonal of each matrix in ``dim1`` and ``dim2``, see :func:`diagonal`.

    Raises:
        ShapeError: ``src`` has not the shape of ``input.diagonal(offset, dim1, dim2)``.
    """
    rows, columns, rest = _diagonal_of(input.shape, dim1, dim2)
    flat = reshape(movedim(input, (dim1, dim2), (-2, -1)), (*rest, rows * columns))
    positions = input.new_tensor(_diagonal_positions(rows, columns, offset), dtype=int32)
    written = index_copy(flat, -1, positions, src)
    return movedim(reshape(written, (*rest, rows, columns)), (-2, -1), (dim1, dim2))


# ---- positions in a fixed shape ------------------------------------------------------------------------------


def _check_nonzero_static(input: Any, size: int, fill_value: Any) -> None:
    if size < 0:
        raise ArgumentError(f"size must be at least 0, not {size}")


@composite(methods=("nonzero_static",), check=_check_nonzero_static)
def nonzero_static(input: Tensor, *, size: int, fill_value: Scalar = -1) -> Tensor:
    """The first ``size`` positions of :func:`nonzero`, missing ones filled; its fixed shape makes it compilable.

    Example: ``[0, 5, 6] -> nonzero_static(size=3) -> [[1], [2], [-1]]``.
    """
    shape, count = input.shape, input.numel()
    if not shape:
        nowhere: Tensor = input.new_zeros((size, 0), dtype=int32)
        return nowhere
    holds = reshape(input, (-1,)) != 0
    places = where(holds, clamp(cumsum(holds, 0) - 1, max=size), size)
    elements = cumsum(input.new_ones((count,), dtype=int32), 0) - 1
    found = scatter_at(input.new_full((size + 1,), count, dtype=int32), 0, places, elements)[:size]
    columns, stride = [], math.prod(shape)
    for length in shape:
        stride = stride // length if length else 0
        coordinate = remainder(floor_divide(found, stride), length) if stride else found
        columns.append(where(found < count, coordinate, fill_value).to(int32))
    return stack(columns, 1)
