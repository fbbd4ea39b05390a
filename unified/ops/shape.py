"""Ops that rearrange elements: reshape, permute, join, split, repeat, pad.

Results are values, never views: writing to one changes no other Tensor.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence

import numpy as np

from unified._device import device as Device
from unified._dispatch import composite, front, op
from unified._dtype import Number, int32
from unified._size import Size
from unified._tensor import Tensor
from unified.errors import ArgumentError, ShapeError
from unified.ops import _axes
from unified.ops._checks import broadcast_shapes

__all__ = [
    "adjoint", "broadcast_tensors", "broadcast_to", "cat", "chunk", "concat", "concatenate", "constant_pad_nd",
    "diagonal", "flatten",
    "flip", "hstack", "meshgrid", "moveaxis", "movedim", "pad", "permute", "repeat_interleave", "reshape",
    "roll", "split", "squeeze", "stack", "swapaxes", "t", "tile", "transpose", "tril", "triu", "unbind",
    "unflatten", "unsqueeze", "vstack",
]  # fmt: skip

Operand = Tensor | Number

# ---- shape ---------------------------------------------------------------------------------------------------


@op(methods=("reshape", "view"), variadic=True, check=_axes.check_reshape)
def reshape(input: Tensor, shape: Sequence[int]) -> Tensor:
    """The elements in order under another shape, of which one length may be -1.

    Example: ``(2, 6) -> reshape(3, -1) -> (3, 4)``.

    Raises:
        ShapeError: the elements do not fit.
    """


@front("flatten")
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions ``start_dim`` to ``end_dim`` as one. Example: ``(2, 3, 4) -> flatten(1) -> (2, 12)``.

    Raises:
        IndexOutOfRangeError: there is no such dimension.
        ShapeError: ``start_dim`` comes after ``end_dim``.
    """
    shape = input.shape
    start, end = _axes.axis(start_dim, shape), _axes.axis(end_dim, shape)
    if start > end:
        raise ShapeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim} in shape {tuple(shape)}")
    return reshape(input, (*shape[:start], Size(shape[start : end + 1]).numel(), *shape[end + 1 :]))


@front("unflatten")
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Dimension ``dim`` as several. Example: ``(2, 12) -> unflatten(1, (3, -1)) -> (2, 3, 4)``."""
    shape = input.shape
    at = _axes.axis(dim, shape)
    return reshape(input, (*shape[:at], *_axes.reshaped(shape[at : at + 1], sizes), *shape[at + 1 :]))


@front("view_as")
def view_as(input: Tensor, other: Tensor) -> Tensor:
    """``input.reshape(other.shape)``."""
    return reshape(input, other.shape)


@front("reshape_as")
def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """``input.reshape(other.shape)``."""
    return reshape(input, other.shape)


@op(methods=("squeeze",), check=_axes.check_dims)
def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Without the dimensions of length 1 (of those named, if any). Example: ``(1, 3, 1) -> squeeze(0) -> (3, 1)``."""


@op(methods=("unsqueeze",), check=_axes.check_unsqueeze)
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a new dimension of length 1 at ``dim``. Example: ``(3,) -> unsqueeze(-1) -> (3, 1)``."""


@op(methods=("expand", "broadcast_to"), variadic=True, check=_axes.check_expand)
def expand(input: Tensor, size: Sequence[int]) -> Tensor:
    """Dimensions of length 1 repeated up to ``size``, where -1 keeps a length.

    Example: ``(3, 1) -> expand(-1, 4) -> (3, 4)``.

    Raises:
        ShapeError: a length other than 1 would have to change.
    """


broadcast_to = expand


@front("expand_as")
def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """``input.expand(other.shape)``."""
    return expand(input, other.shape)


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All of them expanded to their common shape.

    Raises:
        ShapeError: there is none.
    """
    shape = broadcast_shapes(*[tensor.shape for tensor in tensors])
    return tuple(expand(tensor, shape) for tensor in tensors)


def meshgrid(*tensors: Tensor, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinate grids of vectors; ``indexing`` "ij" for matrix order, "xy" for Cartesian order of the first two.

    Raises:
        ArgumentError: ``indexing`` is neither.
        ShapeError: a tensor has more than one dimension.
    """
    if indexing not in ("ij", "xy"):
        raise ArgumentError(f"meshgrid: indexing must be 'ij' or 'xy', not {indexing!r}")
    given = list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else list(tensors)
    if any(tensor.ndim > 1 for tensor in given):
        raise ShapeError(f"meshgrid: takes vectors, not shapes {', '.join(str(tuple(t.shape)) for t in given)}")
    swap = indexing == "xy" and len(given) > 1
    if swap:
        given[:2] = given[1::-1]
    shape = tuple(tensor.numel() for tensor in given)
    grids = [
        expand(reshape(tensor, (*[1] * i, -1, *[1] * (len(given) - i - 1))), shape) for i, tensor in enumerate(given)
    ]
    if swap:
        grids[:2] = grids[1::-1]
    return tuple(grids)


# ---- order of dimensions -------------------------------------------------------------------------------------


@op(methods=("permute",), variadic=True, check=_axes.check_permute)
def permute(input: Tensor, dims: Sequence[int]) -> Tensor:
    """Dimensions in the order of ``dims``. Example: ``(2, 3, 4) -> permute(2, 0, 1) -> (4, 2, 3)``."""


@op(methods=("transpose", "swapaxes", "swapdims"), check=_axes.check_two_dims)
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions swapped. Example: ``(2, 3, 4) -> transpose(0, 2) -> (4, 3, 2)``."""


swapaxes = transpose


@front("t")
def t(input: Tensor) -> Tensor:
    """A matrix transposed; vectors and scalars as they are.

    Raises:
        ShapeError: there are more than two dimensions.
    """
    if input.ndim > 2:
        raise ShapeError(f"t: takes at most two dimensions, not shape {tuple(input.shape)}; use x.mT")
    return transpose(input, 0, 1) if input.ndim == 2 else input


def _matrix_transpose(input: Tensor) -> Tensor:
    """The last two dimensions swapped."""
    if input.ndim < 2:
        raise ShapeError(f"mT: needs at least two dimensions, not shape {tuple(input.shape)}")
    return transpose(input, -2, -1)


def _conjugate_matrix_transpose(input: Tensor) -> Tensor:
    """The last two dimensions swapped and elements conjugated."""
    swapped = _matrix_transpose(input)
    return swapped.conj() if input.dtype.is_complex else swapped


@front("adjoint")
def adjoint(input: Tensor) -> Tensor:
    """The last two dimensions swapped and elements conjugated, as ``x.mH``.

    Raises:
        ShapeError: there are fewer than two dimensions.
    """
    return _conjugate_matrix_transpose(input)


def _reverse_dims(input: Tensor) -> Tensor:
    """All dimensions in reverse order."""
    return permute(input, tuple(builtins.range(input.ndim - 1, -1, -1)))


def _conjugate_transpose(input: Tensor) -> Tensor:
    """A matrix transposed and conjugated; a 0-d tensor conjugated."""
    if input.ndim not in (0, 2):
        raise ShapeError(f"H: takes a matrix, not shape {tuple(input.shape)}; use x.mH")
    turned = t(input)
    return turned.conj() if input.dtype.is_complex else turned


for _name, _getter in (
    ("T", _reverse_dims), ("mT", _matrix_transpose), ("H", _conjugate_transpose),
    ("mH", _conjugate_matrix_transpose),
):  # fmt: skip
    setattr(Tensor, _name, property(_getter, doc=_getter.__doc__))


@front("movedim", "moveaxis")
def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Dimensions moved, the others in order. Example: ``(2, 3, 4) -> movedim(0, -1) -> (3, 4, 2)``."""
    shape = input.shape
    sources = _axes.axes((source,) if isinstance(source, int) else source, shape)
    targets = _axes.axes((destination,) if isinstance(destination, int) else destination, shape)
    if len(sources) != len(targets):
        raise ArgumentError(f"movedim: source {source} and destination {destination} must be equally many")
    dims = [dim for dim in builtins.range(len(shape)) if dim not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        dims.insert(target, origin)
    return permute(input, tuple(dims))


moveaxis = movedim


@op(methods=("flip",), variadic=True, check=_axes.check_dims)
def flip(input: Tensor, dims: Sequence[int]) -> Tensor:
    """Reversed along ``dims``. Example: ``[1, 2, 3] -> flip(0) -> [3, 2, 1]``."""


@op(methods=("roll",), check=_axes.check_roll)
def roll(input: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """Rotated by ``shifts`` along ``dims`` (flattened if None). Example: ``[1, 2, 3] -> roll(1) -> [3, 1, 2]``."""


# ---- joining and splitting -----------------------------------------------------------------------------------


@op(check=_axes.check_cat)
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Joined along an existing dimension; dtypes are promoted. Example: ``cat([(2, 3), (4, 3)]) -> (6, 3)``."""


concat = cat
concatenate = cat


@op(check=_axes.check_stack)
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Joined along a new dimension. Example: ``stack([(3,), (3,)], dim=1) -> (3, 2)``."""


@front()
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along the second dimension, vectors along the first."""
    grown = [reshape(tensor, (1,)) if tensor.ndim == 0 else tensor for tensor in tensors]
    return cat(grown, 0 if grown and grown[0].ndim == 1 else 1)


@front()
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along the first dimension, vectors as rows."""
    return cat([reshape(tensor, (1, -1)) if tensor.ndim < 2 else tensor for tensor in tensors], 0)


@op(check=_axes.check_split)
def split_lengths(input: Tensor, lengths: Sequence[int], dim: int) -> tuple[Tensor, ...]:
    """Pieces of the given lengths along ``dim``; :func:`split` and :func:`chunk` come down to this."""


@front("split")
def split(input: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces along ``dim``, of one length (the last may be shorter) or of the lengths given.

    Example: ``(5, 2) -> split(2) -> (2, 2), (2, 2), (1, 2)``.

    Raises:
        ArgumentError: the length is not positive.
        ShapeError: the lengths do not add up.
    """
    if not isinstance(split_size_or_sections, int):
        return split_lengths(input, tuple(split_size_or_sections), dim)
    size, total = split_size_or_sections, _length(input, dim)
    if size < 1 and not (size == 0 and total == 0):
        raise ArgumentError(f"split: the length of a piece must be positive, not {size}")
    lengths = [min(size, total - start) for start in builtins.range(0, total, size)] if total else [0]
    return split_lengths(input, tuple(lengths), dim)


@front("chunk")
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` pieces of equal length along ``dim``; the last may be shorter, as in PyTorch.

    Example: ``(5,) -> chunk(3) -> (2,), (2,), (1,)``.
    """
    if chunks < 1:
        raise ArgumentError(f"chunk: the number of pieces must be positive, not {chunks}")
    total = _length(input, dim)
    if total == 0:
        return split_lengths(input, (0,) * chunks, dim)
    return split(input, -(-total // chunks), dim)


def _length(input: Tensor, dim: int) -> int:
    if input.ndim == 0:
        raise ShapeError("a 0-d tensor cannot be split")
    return input.shape[_axes.axis(dim, input.shape)]


@op(methods=("unbind",), check=_axes.check_dims)
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along ``dim``, without it. Example: ``(2, 3) -> unbind() -> (3,), (3,)``."""


# ---- repeating -----------------------------------------------------------------------------------------------


@op(methods=("repeat",), variadic=True, check=_axes.check_repeat)
def repeat(input: Tensor, repeats: Sequence[int]) -> Tensor:
    """Copies side by side, ``repeats`` of them along each dimension. Example: ``(3,) -> repeat(2, 2) -> (2, 6)``."""


def tile(input: Tensor, dims: Sequence[int]) -> Tensor:
    """As :func:`repeat`, with missing leading counts taken as 1. Example: ``(2, 3) -> tile((2,)) -> (2, 6)``."""
    return repeat(input, (*[1] * (input.ndim - len(dims)), *dims))


@front("tile")
def _tile_method(input: Tensor, *dims: int) -> Tensor:
    """As ``repeat``, with missing leading counts taken as 1."""
    listed: Sequence[int] = dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims
    return tile(input, listed)


@front("repeat_interleave")
def repeat_interleave(
    input: Tensor, repeats: int | Tensor | None = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element ``repeats`` times in a row, along ``dim`` (flattened if None).

    Args:
        repeats: a count, or one for each position of ``dim``. With counts alone as ``input`` the result is the
            positions, each as often as its count says.
        output_size: the sum of all counts, which otherwise is read on the host; it makes the call compilable.

    Example: ``[1, 2] -> repeat_interleave(2) -> [1, 1, 2, 2]``.

    Raises:
        ArgumentError: a count is negative, or ``output_size`` is not their sum (as far as it is looked at).
        ShapeError: there is not one count for each position.
    """
    if repeats is None:
        _axes.check_repeats(input, len(input))
        return repeated_positions(input, _total(input, output_size))
    if dim is None:
        input, dim = reshape(input, (-1,)), 0
    shape = input.shape
    at = _axes.axis(dim, shape)
    if isinstance(repeats, Tensor):
        length = shape[at] if shape else 1
        _axes.check_repeats(repeats, length)
        counts = expand(reshape(repeats, (-1,)), (length,))
        repeated: Tensor = input.index_select(at, repeated_positions(counts, _total(counts, output_size)))
        return repeated
    if not isinstance(repeats, int) or repeats < 0:
        raise ArgumentError(f"repeat_interleave: repeats must be an int of at least 0, not {repeats!r}")
    if output_size is not None and output_size != repeats * shape[at]:
        raise ArgumentError(f"repeat_interleave: output_size is {output_size} for {repeats * shape[at]} elements")
    grown = expand(unsqueeze(input, at + 1), (*shape[: at + 1], repeats, *shape[at + 1 :]))
    return reshape(grown, (*shape[:at], shape[at] * repeats, *shape[at + 1 :]))


def _total(counts: Tensor, output_size: int | None) -> int:
    """How many elements result: as the caller says, or the sum of ``counts``."""
    if output_size is not None:
        return output_size
    if counts.numel() and int(counts.min()) < 0:
        raise ArgumentError("repeat_interleave: repeats must not be negative")
    return int(counts.sum())


@composite
def repeated_positions(repeats: Tensor, total: int) -> Tensor:
    """Each position of the vector ``repeats`` as often as its element says, ``total`` in all."""
    ends = repeats.cumsum(0).to(int32)
    steps: Tensor = repeats.new_zeros((total + 1,), dtype=int32).scatter_add(0, ends, ends * 0 + 1)
    positions: Tensor = steps.cumsum(0)
    return positions[:total]


# ---- diagonals and padding -----------------------------------------------------------------------------------


@op(methods=("diagonal",), check=_axes.check_diagonal)
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of each matrix in ``dim1`` and ``dim2``, as the last dimension. Example: ``(3, 4) -> (3,)``."""


@op(methods=("tril",), inplace=True, check=_axes.check_matrices)
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangle of each matrix, zeros above ``diagonal``. Shape ``(..., n, m)`` stays."""


@op(methods=("triu",), inplace=True, check=_axes.check_matrices)
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangle of each matrix, zeros below ``diagonal``. Shape ``(..., n, m)`` stays."""


@op(check=_axes.check_constant_pad)
def constant_pad(input: Tensor, pad: Sequence[int], value: Operand) -> Tensor:
    """:func:`pad` with a constant; negative entries crop."""


def constant_pad_nd(input: Tensor, pad: Sequence[int], value: Number = 0) -> Tensor:
    """:func:`pad` in mode "constant". Example: ``constant_pad_nd([1, 2], (1, 0), 9) -> [9, 1, 2]``."""
    return constant_pad(input, tuple(pad), value)


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: Number | None = None) -> Tensor:
    """``input`` with more elements at its edges, as ``torch.nn.functional.pad``.

    Args:
        pad: pairs (before, after), the last dimension's first; negative entries crop.
        mode: "constant", "reflect", "replicate" or "circular".
        value: what "constant" fills with; 0 if None.

    Example: ``(2, 3) -> pad((1, 1)) -> (2, 5)``.

    Raises:
        ArgumentError: an unknown mode, an odd number of entries, or more pairs than dimensions.
        ShapeError: a "reflect" pad is not shorter than its dimension, a "circular" one is longer, or nothing is left.
    """
    if mode == "constant":
        return constant_pad(input, tuple(pad), 0 if value is None else value)
    if mode not in ("reflect", "replicate", "circular"):
        raise ArgumentError(f"pad: mode must be 'constant', 'reflect', 'replicate' or 'circular', not {mode!r}")
    shape = input.shape
    pairs = _axes.before_after(shape, tuple(pad))
    for length, (before, after) in zip(shape, pairs, strict=True):
        limit = {"reflect": length - 1, "circular": length}.get(mode)
        left = length + (min(before, 0) + min(after, 0) if mode == "circular" else before + after)
        fits = left > 0 and (limit is None or max(before, after) <= limit)
        if (before or after) and not (fits and length):
            raise ShapeError(f"pad: pad {tuple(pad)} does not fit shape {tuple(shape)} in mode {mode!r}")
    return edge_pad(input, tuple(pairs), mode)


_SOURCES = {
    "reflect": lambda at, length: (length - 1) - np.abs((length - 1) - np.abs(at)),
    "replicate": lambda at, length: np.clip(at, 0, length - 1),
}


def _source(length: int, before: int, after: int, mode: str) -> np.ndarray:
    """Where the elements of a padded dimension come from; a cropped dimension is a circle of what is left."""
    if mode != "circular":
        source: np.ndarray = _SOURCES[mode](np.arange(-before, length + after), length)
        return source
    first, left = max(-before, 0), length + min(before, 0) + min(after, 0)
    return first + np.arange(-max(before, 0), left + max(after, 0)) % left


@composite
def edge_pad(input: Tensor, pairs: Sequence[tuple[int, int]], mode: str) -> Tensor:
    """:func:`pad` out of the tensor's own elements; ``pairs`` is (before, after) by dimension from the front."""
    result = input
    for dim, (before, after) in enumerate(pairs):
        if before or after:
            length = input.shape[dim]
            source = _source(length, before, after, mode)
            result = result.index_select(dim, input.new_tensor(source, dtype=int32))
    return result


# ---- devices -------------------------------------------------------------------------------------------------


@op(methods=("to_device",))
def to_device(input: Tensor, device: Device) -> Tensor:
    """On another device of the same backend; ``x.to("gpu")`` is the public spelling. Gradients flow back."""
