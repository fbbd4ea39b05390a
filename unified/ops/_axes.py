"""Arithmetic on dims and shapes, and the refusals that go with it, said once for all backends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from unified._length import Length
from unified.errors import ArgumentError, DTypeError, IndexOutOfRangeError, OperandError, ShapeError


def sizes(given: tuple[Any, ...]) -> tuple[int, ...]:
    """``(2, 3)`` out of both spellings, ``zeros(2, 3)`` and ``zeros((2, 3))``."""
    if len(given) == 1 and not hasattr(given[0], "__index__"):
        given = tuple(given[0])
    return tuple(length if isinstance(length, Length) else int(length) for length in given)  # type: ignore[misc]


def axis(dim: int, shape: Sequence[int], extra: int = 0) -> int:
    """``dim`` counted from the front; ``extra`` is 1 where the op adds a dimension. A 0-d tensor has dim 0 too.

    Raises:
        IndexOutOfRangeError: there is no such dimension.
    """
    rank = max(len(shape) + extra, 1)
    if not -rank <= dim < rank:
        raise IndexOutOfRangeError(
            f"dim {dim} is out of range for a tensor of shape {tuple(shape)}; it must lie in [{-rank}, {rank - 1}]"
        )
    return dim + rank if dim < 0 else dim


def axes(dims: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """Each of ``dims`` counted from the front; raises where one is missing from the shape or named twice."""
    found = tuple(axis(dim, shape) for dim in dims)
    if len(set(found)) != len(found):
        raise ArgumentError(f"dims {tuple(dims)} name a dimension of shape {tuple(shape)} twice")
    return found


def reshaped(shape: Sequence[int], target: Sequence[int]) -> tuple[int, ...]:
    """``target`` with its -1 worked out for a tensor of ``shape``.

    Raises:
        ShapeError: the elements do not fit.
    """
    count = math.prod(shape)
    known = math.prod(length for length in target if length != -1)
    free = sum(1 for length in target if length == -1)
    fits = known != 0 and count % known == 0 if free else count == known
    if free > 1 or any(length < -1 for length in target) or not fits:
        raise ShapeError(f"shape {tuple(shape)} with {count} elements cannot be reshaped to {tuple(target)}")
    return tuple(count // known if length == -1 else length for length in target)


def expanded(shape: Sequence[int], size: Sequence[int]) -> tuple[int, ...]:
    """``size`` with each -1 replaced by the length that ``shape`` has there.

    Raises:
        ShapeError: a length other than 1 would have to change.
    """
    offset = len(size) - len(shape)
    held = (*[1] * offset, *shape)
    fits = offset >= 0 and all(
        want in (have, -1) or (have == 1 and want >= 0) for have, want in zip(held, size, strict=True)
    )
    if not fits or any(want < 0 for want in size[:offset]):
        raise ShapeError(f"shape {tuple(shape)} cannot be expanded to {tuple(size)}")
    return tuple(have if want == -1 else want for have, want in zip(held, size, strict=True))


# ---- checks: they see Specs, which have a shape and a dtype ----------------------------------------------------


def check_reshape(input: Any, shape: Sequence[int]) -> None:
    reshaped(input.shape, shape)


def check_expand(input: Any, size: Sequence[int]) -> None:
    expanded(input.shape, size)


def check_permute(input: Any, dims: Sequence[int]) -> None:
    if len(axes(dims, input.shape)) != len(input.shape):
        raise ShapeError(f"dims {tuple(dims)} do not list every dimension of shape {tuple(input.shape)}")


def check_two_dims(input: Any, dim0: int, dim1: int) -> None:
    axis(dim0, input.shape)
    axis(dim1, input.shape)


def check_diagonal(input: Any, offset: int, dim1: int, dim2: int) -> None:
    if len(input.shape) < 2:
        raise ShapeError(f"diagonal needs two dimensions, not shape {tuple(input.shape)}")
    axes((dim1, dim2), input.shape)


def check_dims(input: Any, dims: int | Sequence[int] | None, *_: Any) -> None:
    if isinstance(dims, int):
        axis(dims, input.shape)
    elif dims is not None:
        axes(dims, input.shape)


def check_roll(input: Any, shifts: int | Sequence[int], dims: int | Sequence[int] | None) -> None:
    if not isinstance(shifts, int) and not shifts:
        raise ArgumentError("shifts must hold at least one number")
    if dims is None:
        return
    listed = (dims,) if isinstance(dims, int) else dims
    for dim in listed:
        axis(dim, input.shape)
    if len(listed) != (1 if isinstance(shifts, int) else len(shifts)):
        raise ArgumentError(f"shifts {shifts} and dims {dims} must be equally many")


def check_unsqueeze(input: Any, dim: int) -> None:
    axis(dim, input.shape, extra=1)


def check_repeat(input: Any, repeats: Sequence[int]) -> None:
    if len(repeats) < len(input.shape) or any(count < 0 for count in repeats):
        raise ShapeError(
            f"repeats {tuple(repeats)} must give a count of at least 0 for each dimension of {tuple(input.shape)}"
        )


def check_repeats(repeats: Any, length: int) -> None:
    """Counts for :func:`repeat_interleave`: integers, one of them or one for each of ``length`` positions."""
    if repeats.dtype.kind not in "iu":
        raise DTypeError(f"repeats must be integers, not {repeats.dtype.name}")
    if len(repeats.shape) > 1 or (repeats.shape and repeats.shape[0] not in (1, length)):
        raise ShapeError(f"repeats of shape {tuple(repeats.shape)} must be one for each of {length} positions")


def check_cat(tensors: Sequence[Any], dim: int) -> None:
    if any(tensor is None for tensor in tensors):
        raise OperandError("each of tensors must be a Tensor, not None")
    shapes = [tuple(tensor.shape) for tensor in tensors]
    kept = [shape for shape in shapes if shape != (0,)]  # PyTorch lets an empty vector join anything
    if not kept:
        return
    along = axis(dim, kept[0])
    for shape in kept:
        others = [(*s[:along], *s[along + 1 :]) for s in (kept[0], shape)]
        if not shape or others[0] != others[1] or len(shape) != len(kept[0]):
            listed = ", ".join(str(s) for s in shapes)
            raise ShapeError(f"shapes {listed} must have a dimension {dim} and be equal outside of it")


def check_stack(tensors: Sequence[Any], dim: int) -> None:
    shapes = [tuple(tensor.shape) for tensor in tensors]
    axis(dim, shapes[0], extra=1)
    if len(set(shapes)) > 1:
        raise ShapeError(f"shapes {', '.join(str(s) for s in shapes)} must be equal")


def check_split(input: Any, lengths: Sequence[int], dim: int) -> None:
    along = axis(dim, input.shape)
    if not input.shape or sum(lengths) != input.shape[along] or any(length < 0 for length in lengths):
        raise ShapeError(f"lengths {tuple(lengths)} must add up to dimension {dim} of shape {tuple(input.shape)}")


def check_constant_pad(input: Any, pad: Sequence[int], value: Any) -> None:
    before_after(input.shape, pad)


def before_after(shape: Sequence[int], pad: Sequence[int]) -> list[tuple[int, int]]:
    """PyTorch's ``pad``, last dimension first, as one (before, after) for each dimension from the front.

    Raises:
        ArgumentError: an odd number of entries, or more pairs than dimensions.
        ShapeError: a dimension would get a negative length.
    """
    if len(pad) % 2 or len(pad) // 2 > len(shape):
        raise ArgumentError(f"pad {tuple(pad)} must hold one pair for each of the last dimensions of {tuple(shape)}")
    pairs = [(0, 0)] * (len(shape) - len(pad) // 2)
    pairs += [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)]
    if any(length + sum(pair) < 0 for length, pair in zip(shape, pairs, strict=True)):
        raise ShapeError(f"pad {tuple(pad)} leaves a dimension of shape {tuple(shape)} with a negative length")
    return pairs


def integer_index(index: Any) -> None:
    """Indices are integers; raises DTypeError."""
    if index.dtype.kind not in "iu":
        raise DTypeError(f"index must be an integer tensor, not {index.dtype.name}")


def index_along(input: Any, dim: int, index: Any, *_: Any) -> list[tuple[Any, int, int, bool]]:
    """``index`` names positions of ``dim``, none of them from the end (see ``_dispatch.Indices``)."""
    length = input.shape[axis(dim, input.shape)] if len(input.shape) else 1
    return [(index, dim, length, False)]


def check_gather(input: Any, dim: int, index: Any) -> None:
    integer_index(index)
    _check_index_shape(input, dim, index, "input")


def _check_index_shape(input: Any, dim: int, index: Any, what: str) -> None:
    along = axis(dim, input.shape)
    if not math.prod(index.shape):  # PyTorch lets an empty index have any shape
        return
    fits = all(i <= n for k, (i, n) in enumerate(zip(index.shape, input.shape, strict=False)) if k != along)
    if max(len(index.shape), 1) != max(len(input.shape), 1) or not fits:
        raise ShapeError(
            f"index {tuple(index.shape)} must have as many dimensions as {what} {tuple(input.shape)} and be no "
            f"longer in any but dimension {dim}"
        )


def check_scatter(input: Any, dim: int, index: Any, src: Any) -> None:
    integer_index(index)
    _check_index_shape(input, dim, index, "input")
    shape = getattr(src, "shape", ())
    if not shape:  # a number, which a JAX trace shows as a 0-d tensor
        return
    if len(shape) != max(len(index.shape), 1) or any(i > s for i, s in zip(index.shape, shape, strict=True)):
        raise ShapeError(f"index {tuple(index.shape)} must fit into src {tuple(shape)}")
    if src.dtype is not input.dtype:
        raise DTypeError(f"src is {src.dtype.name}, input {input.dtype.name}; convert one with x.to(dtype)")


def check_index_select(input: Any, dim: int, index: Any) -> None:
    integer_index(index)
    axis(dim, input.shape)
    if len(index.shape) > 1:
        raise ShapeError(f"index must be a vector, not of shape {tuple(index.shape)}")


def check_matrices(input: Any, diagonal: int) -> None:
    if len(input.shape) < 2:
        raise ShapeError(f"input must have at least two dimensions, not shape {tuple(input.shape)}")
