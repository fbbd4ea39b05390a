"""Windows over spatial dimensions: how many there are, which elements each holds, and how to take those.

Everything here is known before the first element is: lengths are static, so windows are numpy arrays of positions
that become constants of a program.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

from unified._dispatch import composite
from unified._dtype import bfloat16, bool_, float16, float32, int32
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError, ShapeError
from unified.nn.functional._checks import expand
from unified.ops import _checks as base
from unified.ops.elementwise import where
from unified.ops.shape import cat, constant_pad

Positions = np.ndarray[Any, np.dtype[np.int64]]

_LAYOUTS = {1: "(N, C, L) or (C, L)", 2: "(N, C, H, W) or (C, H, W)", 3: "(N, C, D, H, W) or (C, D, H, W)"}
_RUNS = 4
"""From so many pieces on one gather is cheaper than slices that are joined."""


def strides(kernel: tuple[int, ...], stride: Any) -> tuple[int, ...]:
    """``stride`` once per dimension; by default windows lie side by side."""
    return kernel if stride is None or stride == () else expand(stride, len(kernel), "stride")


def pooled(length: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """How many windows a dimension of ``length`` has, by PyTorch's rule for the last one under ``ceil_mode``."""
    span = length + 2 * padding - dilation * (kernel - 1) - 1
    count = (math.ceil(span / stride) if ceil_mode else span // stride) + 1
    if ceil_mode and (count - 1) * stride >= length + padding:
        count -= 1
    return count


def positions(length: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> Positions:
    """``(windows, kernel)``: the elements of each window, padding replaced by the nearest element of the window.

    What is repeated so changes neither a maximum nor which element is the first of equal maxima.
    """
    starts = np.arange(pooled(length, kernel, stride, padding, dilation, ceil_mode))[:, None] * stride - padding
    first = np.maximum(-(starts // dilation), 0)
    last = np.minimum((length - 1 - starts) // dilation, kernel - 1)
    return starts + dilation * np.clip(np.arange(kernel), first, last)


def adaptive_bounds(length: int, size: int) -> tuple[Positions, Positions]:
    """Where window i of ``size`` starts and ends: ``floor(i L / n)`` and ``ceil((i + 1) L / n)``."""
    index = np.arange(size)
    return index * length // size, -((index + 1) * length // -size)


def adaptive_positions(length: int, size: int) -> Positions:
    """As :func:`positions`, for ``size`` windows that cover the dimension; shorter ones repeat their last element."""
    starts, ends = adaptive_bounds(length, size)
    longest = int((ends - starts).max(initial=1))
    places: Positions = np.minimum(starts[:, None] + np.arange(longest), ends[:, None] - 1)
    return places


def take(input: Tensor, dim: int, places: Positions) -> Tensor:
    """The elements at ``places`` of ``dim`` (counted from the end): slices where those are few, else a gather."""
    runs = _runs(places)
    if not runs or len(runs) >= _RUNS:
        taken: Tensor = input.index_select(dim, input.new_tensor(places, dtype=int32))
        return taken
    whole = [slice(None)] * (input.ndim + dim)
    pieces = [input[(*whole, run)] for run in runs]
    return pieces[0] if len(pieces) == 1 else cat(pieces, dim)


def _runs(places: Positions) -> list[slice]:
    """``places`` as slices of equal steps forward, as few as come from the left."""
    found: list[slice] = []
    start = 0
    while start < len(places):
        end = start + 1
        step = int(places[end] - places[start]) if end < len(places) else 1
        if step < 1:
            step = 1
        while end < len(places) and places[end] - places[end - 1] == step:
            end += 1
        found.append(slice(int(places[start]), int(places[end - 1]) + 1, step))
        start = end
        if len(found) == _RUNS:
            break
    return found


def between(starts: Positions, ends: Positions) -> Positions:
    """``(windows, longest)``: the places from each start to before its end, then -1."""
    places = starts[:, None] + np.arange(int((ends - starts).max(initial=1)))
    return np.where(places < ends[:, None], places, -1)


@composite
def weigh(
    input: Tensor, dim: int, places: tuple[tuple[int, ...], ...], weights: tuple[tuple[float, ...], ...]
) -> Tensor:
    """Output i along ``dim`` (counted from the end): the sum over k of ``input[places[i][k]] * weights[i][k]``.

    A place of -1 is none. Elements at other places have no part in it, not even infinite ones.
    """
    at = input.ndim + dim
    listed = np.asarray(places)
    flat = input.new_tensor(np.maximum(listed, 0).reshape(-1), dtype=int32)
    read = input.index_select(at, flat).reshape((*input.shape[:at], *listed.shape, *input.shape[at + 1 :]))
    terms = read * input.new_tensor(along(np.asarray(weights), dim))
    if listed.min(initial=0) < 0:
        terms = where(input.new_tensor(along(listed >= 0, dim), dtype=bool_), terms, 0.0)
    total: Tensor = terms.sum(at + 1)
    return total


def weighed(input: Tensor, dim: int, places: Positions, weights: np.ndarray[Any, Any]) -> Tensor:
    """:func:`weigh` by arrays."""
    listed = tuple(map(tuple, places.tolist())), tuple(map(tuple, weights.astype(np.float64).tolist()))
    return weigh(input, dim, *listed)


def along(array: np.ndarray[Any, Any], dim: int) -> np.ndarray[Any, Any]:
    """``array`` shaped to broadcast with its last dimension at ``dim``, counted from the end."""
    return array.reshape(*array.shape, *[1] * (-dim - 1))


def widened(input: Tensor) -> Tensor:
    """Half precision as float32, in which PyTorch's kernels sum as well."""
    wide: Tensor = input.to(float32) if input.dtype in (float16, bfloat16) else input
    return wide


def padded(input: Tensor, dim: int, before: int, after: int) -> Tensor:
    """Zeros before and after ``dim``, counted from the end; negative numbers crop."""
    if not before and not after:
        return input
    return constant_pad(input, (*[0] * (-2 * dim - 2), before, after), 0)


def summed(input: Tensor, dim: int, count: int, kernel: int, stride: int, padding: int) -> Tensor:
    """Sums of ``count`` windows along ``dim``, counted from the end."""
    reach = (count - 1) * stride + kernel - padding - input.shape[dim]
    spread = padded(input, dim, padding, max(reach, 0))
    starts = np.arange(count) * stride
    return functools.reduce(operator.add, [take(spread, dim, starts + offset) for offset in range(kernel)])


def divided(total: Tensor, sizes: Any, divisor: int | None = None) -> Tensor:
    """``total`` over an array of sizes that broadcasts, or over ``divisor``."""
    if divisor is None and (sizes == sizes.flat[0]).all():
        divisor = int(sizes.flat[0])
    quotient: Tensor = total / (total.new_tensor(sizes) if divisor is None else divisor)
    return quotient


def first_maximum(places: Iterable[tuple[Tensor, Tensor | None]]) -> tuple[Tensor, Tensor | None]:
    """The largest of aligned elements, the first of equals, with what is carried along."""
    pairs = iter(places)
    held, carried = next(pairs)
    for candidate, mark in pairs:
        better = candidate > held
        if candidate.dtype.is_floating_point:
            better = better | candidate.isnan()
        held = where(better, candidate, held)
        if carried is not None and mark is not None:
            carried = where(better, mark, carried)
    return held, carried


def maxima(input: Tensor, windows: list[Positions], indexed: bool) -> tuple[Tensor, Tensor | None]:
    """The maximum of each window, and its place in the flattened spatial dimensions."""
    values, index, step = input, None, 1
    for dim in range(-1, -len(windows) - 1, -1):
        places = []
        for column in windows[dim].T:
            mark = None
            if indexed:
                mark = input.new_tensor(along(column * step, dim), dtype=int32)
                mark = mark if index is None else mark + take(index, dim, column)
            places.append((take(values, dim, column), mark))
        values, index = first_maximum(places)
        step *= input.shape[dim]
        if indexed and index is not None:
            index = index.expand(tuple(values.shape))
    return values, index


# ---- what operands must satisfy --------------------------------------------------------------------------------


def real(input: Any) -> None:
    """The operand is of real floating-point numbers."""
    if not input.dtype.is_floating_point:
        raise DTypeError(f"input must be floating point, not {input.dtype.name}; convert it with x.to(un.float32)")


def spatial_input(input: Any, spatial: int) -> None:
    """``input`` has ``spatial`` dimensions after its channels, batched or not, and no empty one but the batch."""
    rank = len(input.shape)
    if rank not in (spatial + 1, spatial + 2):
        raise ShapeError(f"input {tuple(input.shape)} must have the dimensions {_LAYOUTS[spatial]}")
    if 0 in input.shape[rank - spatial - 1 :]:
        raise ShapeError(f"input {tuple(input.shape)} may be empty along its batch alone")


def pool(input: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> None:
    """Operands of a pooling."""
    if input.dtype.is_complex or input.dtype.kind == "b":
        raise DTypeError(f"input must be of real numbers, not {input.dtype.name}")
    spatial_input(input, len(kernel))
    if min(kernel) < 1 or min(stride) < 1 or min(dilation) < 1:
        raise ArgumentError(f"kernel_size {kernel}, stride {stride} and dilation {dilation} must be positive")
    for length, size, step, pad, spacing in zip(
        input.shape[-len(kernel) :], kernel, stride, padding, dilation, strict=True
    ):
        if not 0 <= 2 * pad <= spacing * (size - 1) + 1:
            raise ArgumentError(f"padding {padding} must be at most half of kernel_size {kernel}, and not negative")
        if pooled(length, size, step, pad, spacing, ceil_mode) < 1:
            raise ShapeError(f"kernel_size {kernel} is larger than input {tuple(input.shape)}")


def avg_pool(
    input: Any, kernel: Any, stride: Any, padding: Any, ceil_mode: bool, include_pad: bool, divisor: Any
) -> None:
    """Operands of an average pooling."""
    real(input)
    pool(input, kernel, stride, padding, (1,) * len(kernel), ceil_mode)
    if divisor == 0:
        raise ArgumentError("divisor_override must not be 0")


def adaptive_pool(input: Any, output_size: Any) -> None:
    """Operands of an adaptive pooling."""
    real(input)
    spatial_input(input, len(output_size))
    if min(output_size) < 0:
        raise ArgumentError(f"output_size {output_size} must not be negative")


def fractional_pool(input: Any, samples: Any, kernel: Any, output_size: Any) -> None:
    """Operands of a fractional pooling."""
    real(input)
    spatial = len(kernel)
    spatial_input(input, spatial)
    batch = input.shape[0] if len(input.shape) > spatial + 1 else 1
    expected = (batch, input.shape[-spatial - 1], spatial)
    given = tuple(samples.shape)
    if given[1:] != expected[1:] or given[0] < batch:
        raise ShapeError(f"_random_samples {given} must have the shape {expected}, or more in the first dimension")
    base.same_dtype(input=input, _random_samples=samples)
    for length, size, count in zip(input.shape[-spatial:], kernel, output_size, strict=True):
        if size < 1 or count < 1 or count + size - 1 > length:
            raise ShapeError(
                f"kernel_size {kernel} and output_size {output_size} do not fit input {tuple(input.shape)}: "
                "output_size + kernel_size - 1 must not exceed a dimension's length"
            )


def unpool(input: Any, indices: Any, output_size: Any) -> None:
    """Operands of the inverse of a max pooling."""
    spatial_input(input, len(output_size))
    if tuple(indices.shape) != tuple(input.shape):
        raise ShapeError(f"indices {tuple(indices.shape)} must have the shape of input {tuple(input.shape)}")


def blocks(kernel: Any, dilation: Any, padding: Any, stride: Any, lengths: Any) -> tuple[int, ...]:
    """How many blocks of a kernel fit each dimension."""
    if min(kernel) < 1 or min(dilation) < 1 or min(stride) < 1 or min(padding) < 0:
        raise ArgumentError(
            f"kernel_size {kernel}, dilation {dilation} and stride {stride} must be positive, padding {padding} "
            "not negative"
        )
    counts = tuple(
        pooled(length, size, step, pad, spacing, False)
        for length, size, step, pad, spacing in zip(lengths, kernel, stride, padding, dilation, strict=True)
    )
    if min(counts) < 1:
        raise ShapeError(f"kernel_size {kernel} with dilation {dilation} is larger than the size {tuple(lengths)}")
    return counts


def unfold(input: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> None:
    """Operands of unfold."""
    spatial_input(input, 2)
    blocks(kernel, dilation, padding, stride, input.shape[-2:])


def fold(input: Any, output_size: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> None:
    """Operands of fold."""
    if len(input.shape) not in (2, 3):
        raise ShapeError(f"input {tuple(input.shape)} must have the dimensions (N, C * kernel, L) or (C * kernel, L)")
    count = math.prod(blocks(kernel, dilation, padding, stride, output_size))
    if input.shape[-2] % math.prod(kernel):
        raise ShapeError(f"dimension -2 of input {tuple(input.shape)} must be a multiple of {math.prod(kernel)}")
    if input.shape[-1] != count:
        raise ShapeError(f"the last dimension of input {tuple(input.shape)} must be {count}, the number of blocks")
