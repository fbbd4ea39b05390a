"""Joining, splitting and laying out again: stacks, sections, diagonals, windows, grids and turns.

Results are values, so that PyTorch's ``*_copy`` functions are the functions without that ending.
"""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from unified._dispatch import composite, front
from unified._dtype import int32
from unified._size import Size
from unified._tensor import Tensor
from unified.errors import ArgumentError, ShapeError
from unified.ops import _axes, _checks
from unified.ops.elementwise import clone, floor_divide, lt, remainder
from unified.ops.indexing import narrow
from unified.ops.reduction import sum
from unified.ops.shape import (
    cat,
    chunk,
    constant_pad,
    expand,
    flip,
    meshgrid,
    movedim,
    permute,
    reshape,
    split,
    split_lengths,
    squeeze,
    stack,
    t,
    transpose,
    unbind,
    unsqueeze,
    vstack,
)  # fmt: skip
from unified.ops.shape import diagonal as _diagonal

__all__ = [
    "alias_copy", "atleast_1d", "atleast_2d", "atleast_3d", "block_diag", "broadcast_shapes", "cartesian_prod",
    "column_stack", "combinations", "diag", "diag_embed", "diagflat", "diagonal_copy", "dsplit", "dstack",
    "expand_copy", "fliplr", "flipud", "hsplit", "narrow_copy", "permute_copy", "ravel", "rot90", "row_stack",
    "split_with_sizes", "split_with_sizes_copy", "squeeze_copy", "swapdims", "t_copy", "tensor_split",
    "transpose_copy", "unbind_copy", "unfold_copy", "unravel_index", "unsafe_chunk", "unsafe_split",
    "unsqueeze_copy", "view_copy", "vsplit",
]  # fmt: skip

# ---- PyTorch's second names ----------------------------------------------------------------------------------

alias_copy = clone
diagonal_copy = _diagonal
expand_copy = expand
narrow_copy = narrow
permute_copy = permute
row_stack = vstack
squeeze_copy = squeeze
swapdims = transpose
t_copy = t
transpose_copy = transpose
unbind_copy = unbind
unsqueeze_copy = unsqueeze
view_copy = reshape


def _reshaping(function: Any) -> Any:
    """``function`` as an in-place method that may change the shape of the Tensor it is called on."""

    def method(self: Tensor, *args: Any, **options: Any) -> Tensor:
        return self._assign(function(self, *args, **options), reshapes=True)

    return method


for _name, _function in (
    ("squeeze_", squeeze), ("unsqueeze_", unsqueeze), ("transpose_", transpose), ("swapaxes_", transpose),
    ("swapdims_", transpose), ("t_", t),
):  # fmt: skip
    _method = _reshaping(_function)
    _method.__name__, _method.__qualname__, _method.__doc__ = _name, f"Tensor.{_name}", _function.__doc__
    setattr(Tensor, _name, _method)


# ---- shapes --------------------------------------------------------------------------------------------------


def broadcast_shapes(*shapes: int | Sequence[int]) -> Size:
    """The common shape of ``shapes`` under broadcasting. Example: ``broadcast_shapes((2, 1), (3,))`` is (2, 3).

    Raises:
        ShapeError: there is none, or a length is negative.
    """
    listed = [(shape,) if isinstance(shape, int) else tuple(shape) for shape in shapes]
    if any(length < 0 for shape in listed for length in shape):
        raise ShapeError(f"broadcast_shapes: lengths cannot be negative, as in {listed}")
    return Size(_checks.broadcast_shapes(*listed))


def _check_sum_to_size(input: Any, size: Sequence[int]) -> None:
    shape = tuple(input.shape)
    tail = shape[len(shape) - len(size) :] if len(size) <= len(shape) else ()
    if len(tail) != len(size) or any(want not in (1, have) for have, want in zip(tail, size, strict=True)):
        raise ShapeError(f"shape {shape} cannot be summed to {tuple(size)}, which does not expand to it")


@composite(methods=("sum_to_size",), variadic=True, check=_check_sum_to_size)
def sum_to_size(input: Tensor, size: Sequence[int]) -> Tensor:
    """Summed over what expanding ``size`` would have repeated. Example: ``(2, 3) -> sum_to_size(1, 3) -> (1, 3)``.

    Raises:
        ShapeError: ``size`` does not expand to the shape of ``input``.
    """
    shape = input.shape
    extra = len(shape) - len(size)
    summed = (*range(extra), *[extra + i for i, want in enumerate(size) if want != shape[extra + i]])
    return reshape(sum(input, summed), size) if summed or not size else clone(input)


@front("ravel")
def ravel(input: Tensor) -> Tensor:
    """All elements in order as a vector."""
    return reshape(input, (-1,))


def _at_least(name: str, tensors: tuple[Any, ...], grown: Any) -> Any:
    single = len(tensors) == 1
    if single and isinstance(tensors[0], (list, tuple)):
        tensors, single = tuple(tensors[0]), False
    results = tuple(reshape(tensor, grown(tuple(tensor.shape))) for tensor in tensors)
    return results[0] if single else results


def atleast_1d(*tensors: Any) -> Any:
    """A Tensor with a 0-d one as ``(1,)``; a tuple for several, or for a list of them."""
    return _at_least("atleast_1d", tensors, lambda shape: shape or (1,))


def atleast_2d(*tensors: Any) -> Any:
    """A Tensor with a vector as a row ``(1, n)``; a tuple for several, or for a list of them."""
    return _at_least("atleast_2d", tensors, lambda shape: (*[1] * (2 - len(shape)), *shape))


def _three_dims(shape: tuple[int, ...]) -> tuple[int, ...]:
    return {0: (1, 1, 1), 1: (1, *shape, 1), 2: (*shape, 1)}.get(len(shape), shape)


def atleast_3d(*tensors: Any) -> Any:
    """A Tensor with a vector as ``(1, n, 1)``, a matrix as ``(n, m, 1)``; a tuple for several, or for a list."""
    return _at_least("atleast_3d", tensors, _three_dims)


# ---- joining -------------------------------------------------------------------------------------------------


@front()
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along the second dimension, vectors as columns. Example: ``(2,), (2, 3) -> (2, 4)``."""
    return cat([reshape(tensor, (-1, 1)) if tensor.ndim < 2 else tensor for tensor in tensors], 1)


@front()
def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along the third dimension, each as :func:`atleast_3d` makes it."""
    return cat(list(atleast_3d(list(tensors))), 2)


def block_diag(*tensors: Tensor) -> Tensor:
    """Matrices along the diagonal, zeros elsewhere; vectors are rows. Example: ``(2, 3), (1, 1) -> (3, 4)``.

    Raises:
        ShapeError: a tensor has more than two dimensions.
    """
    for tensor in tensors:
        if tensor.ndim > 2:
            raise ShapeError(f"block_diag: takes at most two dimensions, not shape {tuple(tensor.shape)}")
    return block_diagonal(tensors)


@composite
def block_diagonal(tensors: Sequence[Tensor]) -> Tensor:
    """:func:`block_diag` of tensors of at most two dimensions."""
    blocks = [reshape(tensor, (1, -1)) if len(tensor.shape) < 2 else tensor for tensor in tensors]
    widths = [block.shape[1] for block in blocks]
    rows, before = [], 0
    for block, width in zip(blocks, widths, strict=True):
        after = builtins.sum(widths) - before - width
        rows.append(constant_pad(block, (before, after), 0))
        before += width
    return cat(rows, 0)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """Every choice of one element from each vector, a row each; a single vector as it is.

    Example: ``[1, 2], [3, 4] -> [[1, 3], [1, 4], [2, 3], [2, 4]]``.
    """
    for tensor in tensors:
        if tensor.ndim != 1:
            raise ShapeError(f"cartesian_prod: takes vectors, not shape {tuple(tensor.shape)}")
    return tensors[0] if len(tensors) == 1 else cartesian_rows(tensors)


@composite
def cartesian_rows(tensors: Sequence[Tensor]) -> Tensor:
    """:func:`cartesian_prod` of several vectors."""
    return stack([reshape(grid, (-1,)) for grid in meshgrid(*tensors)], -1)


def _check_combinations(input: Any, r: int, with_replacement: bool) -> None:
    if len(input.shape) != 1:
        raise ShapeError(f"takes a vector, not shape {tuple(input.shape)}")
    if r < 0:
        raise ArgumentError(f"r must be at least 0, not {r}")


@composite(check=_check_combinations)
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """The subsets of ``r`` elements of a vector, a row each, as ``itertools.combinations`` orders them.

    Example: ``[1, 2, 3] -> [[1, 2], [1, 3], [2, 3]]``; with ``with_replacement`` also ``[1, 1]`` and so on.
    """
    if r == 0:
        return narrow(input, 0, 0, 0)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = np.array(list(choose(range(input.shape[0]), r)), np.int32).reshape(-1, r)
    return _picked(input, 0, rows)


def _picked(input: Tensor, dim: int, positions: np.ndarray[Any, Any]) -> Tensor:
    """``input`` at known ``positions`` of ``dim``, whose dimensions take the place of ``dim``."""
    flat = input.new_tensor(positions.reshape(-1), dtype=int32)
    shape = input.shape
    return reshape(input.index_select(dim, flat), (*shape[:dim], *positions.shape, *shape[dim + 1 :]))


# ---- splitting -----------------------------------------------------------------------------------------------


@front("split_with_sizes", "unsafe_split_with_sizes")
def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of the lengths ``split_sizes`` along ``dim``. Example: ``(5,) -> split_with_sizes([2, 3])``.

    Raises:
        ShapeError: the lengths do not add up.
    """
    return split_lengths(input, tuple(split_sizes), dim)


split_with_sizes_copy = split_with_sizes


@front("unsafe_split")
def unsafe_split(input: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """:func:`split`; nothing is unsafe where results are values."""
    return split(input, split_size_or_sections, dim)


@front("unsafe_chunk")
def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """:func:`chunk`; nothing is unsafe where results are values."""
    return chunk(input, chunks, dim)


@front("tensor_split")
def tensor_split(
    input: Tensor, indices_or_sections: int | Sequence[int] | Tensor, dim: int = 0
) -> tuple[Tensor, ...]:
    """Pieces along ``dim``: so many of nearly equal length, the longer first, or cut before the positions given.

    A Tensor of either is read on the host. Example: ``(5,) -> tensor_split(2) -> (3,), (2,)``.

    Raises:
        ArgumentError: the number of sections is not positive, or the argument is no int, sequence or such a Tensor.
        ShapeError: ``input`` has no dimensions.
        TracedValueError: a Tensor decides inside a function that ``un.compile`` traces.
    """
    given: Any = indices_or_sections
    if isinstance(given, Tensor):
        if given.ndim > 1 or given.dtype.kind not in "iu":
            raise ArgumentError(
                f"tensor_split: positions must be an integer scalar or vector, not {given.dtype.name} "
                f"of shape {tuple(given.shape)}"
            )
        given = given.tolist()
    if not input.shape:
        raise ShapeError("tensor_split: a 0-d tensor cannot be split")
    at = _axes.axis(dim, input.shape)
    length = input.shape[at]
    if isinstance(given, int):
        if given < 1:
            raise ArgumentError(f"tensor_split: the number of sections must be positive, not {given}")
        shorter, longer = divmod(length, given)
        return split_lengths(input, tuple(shorter + (i < longer) for i in range(given)), at)
    cuts = _positions("tensor_split", given)
    bounds = [slice(a, b).indices(length)[:2] for a, b in itertools.pairwise((0, *cuts, length))]
    lengths = tuple(max(0, stop - start) for start, stop in bounds)
    if builtins.sum(lengths) == length:
        return split_lengths(input, lengths, at)
    return tuple(narrow(input, at, start, n) for (start, _), n in zip(bounds, lengths, strict=True))


def _positions(name: str, given: Any) -> tuple[int, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence) or not all(isinstance(at, int) for at in given):
        raise ArgumentError(f"{name}: takes an int or a sequence of ints, not {given!r}")
    return tuple(given)


def _axis_split(name: str, input: Tensor, given: int | Sequence[int], least: int, dim: int) -> tuple[Tensor, ...]:
    if input.ndim < least:
        raise ShapeError(f"{name}: needs at least {least} dimensions, not shape {tuple(input.shape)}")
    if isinstance(given, int):
        if given < 1 or input.shape[dim] % given:
            raise ArgumentError(
                f"{name}: dimension {dim} of shape {tuple(input.shape)} does not divide into {given} equal sections"
            )
        return tensor_split(input, given, dim)
    return tensor_split(input, _positions(name, given), dim)


@front("hsplit")
def hsplit(input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """:func:`tensor_split` along the second dimension, a vector's first; sections must be equal."""
    return _axis_split("hsplit", input, indices_or_sections, 1, 0 if input.ndim == 1 else 1)


@front("vsplit")
def vsplit(input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """:func:`tensor_split` along the first of at least two dimensions; sections must be equal."""
    return _axis_split("vsplit", input, indices_or_sections, 2, 0)


@front("dsplit")
def dsplit(input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """:func:`tensor_split` along the third dimension; sections must be equal."""
    return _axis_split("dsplit", input, indices_or_sections, 3, 2)


# ---- diagonals -----------------------------------------------------------------------------------------------


def _check_diag_embed(input: Any, offset: int, dim1: int, dim2: int) -> None:
    if not input.shape:
        raise ShapeError("diag_embed needs at least one dimension, not a 0-d tensor")
    _axes.axes((dim1, dim2), (*input.shape, 1))


@composite(methods=("diag_embed",), check=_check_diag_embed)
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices, in the new dimensions ``dim1`` and ``dim2``, with the last dimension of ``input`` as their diagonal.

    Example: ``[1, 2] -> diag_embed(1) -> [[0, 1, 0], [0, 0, 2], [0, 0, 0]]``.

    Raises:
        IndexOutOfRangeError, ArgumentError: there is no such dimension, or both are the same.
    """
    *batch, length = input.shape
    size = length + abs(offset)
    first = offset if offset >= 0 else -offset * size
    # A diagonal lies size + 1 apart in memory: each element is followed by that many zeros.
    spaced = reshape(constant_pad(unsqueeze(input, -1), (0, size), 0), (*batch, length * (size + 1)))
    flat = constant_pad(spaced, (first, size * size - length * (size + 1) - first), 0)
    return movedim(reshape(flat, (*batch, size, size)), (-2, -1), (dim1, dim2))


@front("diag")
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or the matrix with a vector as its diagonal. Example: ``(3,) -> (3, 3)``.

    Raises:
        ShapeError: neither a vector nor a matrix.
    """
    if input.ndim not in (1, 2):
        raise ShapeError(f"diag: takes a vector or a matrix, not shape {tuple(input.shape)}")
    return diag_embed(input, diagonal) if input.ndim == 1 else _diagonal(input, diagonal)


@front("diagflat")
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The matrix with all elements of ``input`` as its diagonal."""
    return diag_embed(reshape(input, (-1,)), offset)


# ---- turning and laying out ----------------------------------------------------------------------------------


@front("fliplr")
def fliplr(input: Tensor) -> Tensor:
    """Reversed along the second of at least two dimensions."""
    if input.ndim < 2:
        raise ShapeError(f"fliplr: needs at least two dimensions, not shape {tuple(input.shape)}")
    return flip(input, (1,))


@front("flipud")
def flipud(input: Tensor) -> Tensor:
    """Reversed along the first of at least one dimension."""
    if not input.ndim:
        raise ShapeError("flipud: needs at least one dimension, not a 0-d tensor")
    return flip(input, (0,))


def _check_rot90(input: Any, k: int, dims: Sequence[int]) -> None:
    if len(dims) != 2:
        raise ArgumentError(f"dims must name a plane, two dimensions, not {tuple(dims)}")
    if len(input.shape) < 2:
        raise ShapeError(f"needs at least two dimensions, not shape {tuple(input.shape)}")
    _axes.axes(dims, input.shape)


@composite(methods=("rot90",), check=_check_rot90)
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned by ``k`` quarters in the plane of ``dims``, from the first towards the second.

    Example: ``[[1, 2], [3, 4]] -> [[2, 4], [1, 3]]``.
    """
    first, second = dims
    turns = k % 4
    if turns == 0:
        return clone(input)
    if turns == 2:
        return flip(input, (first, second))
    return transpose(flip(input, (second if turns == 1 else first,)), first, second)


def _check_unfold(input: Any, dimension: int, size: int, step: int) -> None:
    shape = input.shape or (1,)
    length = shape[_axes.axis(dimension, shape)]
    if not 0 <= size <= length:
        raise ArgumentError(f"size {size} must lie between 0 and {length}, the length of dimension {dimension}")
    if step < 1:
        raise ArgumentError(f"step must be positive, not {step}")


@composite(methods=("unfold",), check=_check_unfold)
def unfold_dim(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Windows of ``size`` elements along ``dimension``, ``step`` apart; a window is the last dimension.

    Example: ``[1, 2, 3, 4] -> unfold(0, 2, 1) -> [[1, 2], [2, 3], [3, 4]]``.

    Raises:
        ArgumentError: a window is longer than the dimension, or the step is not positive.
    """
    if not input.shape:
        return narrow(reshape(input, (1,)), 0, 0, size)
    at = _axes.axis(dimension, input.shape)
    starts = np.arange(0, input.shape[at] - size + 1, step)
    windows = starts[:, None] + np.arange(size)
    return movedim(_picked(input, at, windows), at + 1, -1)


unfold_copy = unfold_dim


def unravel_index(indices: Tensor, shape: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Positions in a flat tensor as coordinates in ``shape``, a Tensor for each dimension.

    Example: ``unravel_index([1, 5], (2, 3))`` is ``([0, 1], [1, 2])``.

    Raises:
        DTypeError: ``indices`` are not integers.
        ShapeError: a length is negative.
    """
    lengths = (shape,) if isinstance(shape, int) else tuple(shape)
    _axes.integer_index(indices)
    if any(length < 0 for length in lengths):
        raise ShapeError(f"unravel_index: lengths cannot be negative, as in {lengths}")
    return coordinates_in(indices, lengths) if lengths else ()


_LARGEST = 2**31 - 1


@composite
def coordinates_in(indices: Tensor, lengths: Sequence[int]) -> tuple[Tensor, ...]:
    """:func:`unravel_index` in at least one dimension."""
    coordinates, stride = [], 1
    for length in reversed(lengths):
        if stride <= _LARGEST or indices.dtype.is_wide:
            quotient = floor_divide(indices, stride) if stride > 1 else indices
        else:  # the stride exceeds every 32-bit index
            quotient = -lt(indices, 0).to(indices.dtype)
        coordinates.append(remainder(quotient, length))
        stride *= length
    return tuple(reversed(coordinates))
