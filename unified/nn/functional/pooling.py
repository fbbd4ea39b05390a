"""Pooling over windows of two spatial dimensions.

A window's elements are strided slices of the padded input, one for each place in the kernel. They fuse into one loop
under a compiler, and choosing among them one after another gives PyTorch's gradient at ties, which goes to the
first maximum of the window.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from itertools import product

from unified._dispatch import composite
from unified._tensor import Tensor
from unified.nn.functional import _checks
from unified.ops.elementwise import where
from unified.ops.shape import cat, pad

Sizes = int | tuple[int, ...]


def _windows(
    input: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    ceil_mode: bool,
    fill: float,
) -> Iterator[Tensor]:
    """For each place in the kernel, row by row, the elements that all windows have there."""
    lengths = input.shape[-2:]
    counts = [
        _checks.pooled(*each, ceil_mode) for each in zip(lengths, kernel, stride, padding, dilation, strict=True)
    ]
    ends = [
        (count - 1) * step + dilate * (size - 1) + 1 - length - before
        for count, step, dilate, size, length, before in zip(
            counts, stride, dilation, kernel, lengths, padding, strict=True
        )
    ]
    after = [max(end, 0) for end in ends]
    if any(padding) or any(after):
        input = pad(input, (padding[1], after[1], padding[0], after[0]), value=fill)
    for row, column in product(range(kernel[0]), range(kernel[1])):
        top, left = row * dilation[0], column * dilation[1]
        bottom = top + (counts[0] - 1) * stride[0] + 1
        right = left + (counts[1] - 1) * stride[1] + 1
        yield input[..., top : bottom : stride[0], left : right : stride[1]]


def _first_maximum(held: Tensor, candidate: Tensor) -> Tensor:
    return where((candidate > held) | candidate.isnan(), candidate, held)


@composite(check=_checks.max_pool2d)
def max_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The maximum of each window of ``input (N, C, H, W)`` or ``(C, H, W)``; ``stride`` defaults to ``kernel_size``.

    At a tie the first maximum, row by row, gets the gradient. Example: ``max_pool2d(x, 2)`` of ``(8, 3, 32, 32)`` is
    ``(8, 3, 16, 16)``.

    Raises:
        ArgumentError: the padding exceeds half of the kernel.
        ShapeError: the kernel is larger than the padded input.
    """
    kernel = _checks.expand(kernel_size, 2)
    step = kernel if stride is None or stride == () else _checks.expand(stride, 2)
    pads, spread = _checks.expand(padding, 2), _checks.expand(dilation, 2)
    return reduce(_first_maximum, _windows(input, kernel, step, pads, spread, ceil_mode, -float("inf")))


@composite(check=_checks.avg_pool2d)
def avg_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of ``input (N, C, H, W)`` or ``(C, H, W)``; ``stride`` defaults to ``kernel_size``.

    Args:
        count_include_pad: whether the zeros of the padding count as elements.
        divisor_override: divides the sum instead of the number of elements.

    Raises:
        ArgumentError: the padding exceeds half of the kernel.
        ShapeError: the kernel is larger than the padded input.
    """
    kernel = _checks.expand(kernel_size, 2)
    step = kernel if stride is None or stride == () else _checks.expand(stride, 2)
    pads = _checks.expand(padding, 2)
    total = reduce(_add, _windows(input, kernel, step, pads, (1, 1), ceil_mode, 0.0))
    if divisor_override is not None:
        return total / divisor_override
    if not any(pads) and not ceil_mode:
        return total / (kernel[0] * kernel[1])
    rows, columns = (
        _elements(*each, count_include_pad)
        for each in zip(input.shape[-2:], total.shape[-2:], kernel, step, pads, strict=True)
    )
    return _divide(_divide(total, rows, -2), columns, -1)


def _add(first: Tensor, second: Tensor) -> Tensor:
    return first + second


def _elements(
    length: int, count: int, kernel: int, stride: int, padding: int, count_include_pad: bool
) -> tuple[int, ...]:
    """How many elements along one dimension each window divides by."""
    found = []
    for index in range(count):
        start = index * stride - padding
        end = min(start + kernel, length + padding)
        found.append(end - start if count_include_pad else min(end, length) - max(start, 0))
    return tuple(found)


def _divide(total: Tensor, counts: tuple[int, ...], dim: int) -> Tensor:
    """``total`` with each slice along ``dim`` divided by its count, equal neighbours at once."""
    pieces, start = [], 0
    for end in range(1, len(counts) + 1):
        if end == len(counts) or counts[end] != counts[start]:
            pieces.append(total.narrow(dim, start, end - start) / counts[start])
            start = end
    return pieces[0] if len(pieces) == 1 else cat(pieces, dim)


@composite(check=_checks.adaptive_avg_pool2d)
def adaptive_avg_pool2d(input: Tensor, output_size: int | tuple[int | None, ...]) -> Tensor:
    """Means over as many windows as ``output_size`` asks for; None keeps a dimension.

    Window i of n over a length L covers ``floor(i L / n)`` to ``ceil((i + 1) L / n)``.
    Example: ``adaptive_avg_pool2d(x, 1)`` of ``(8, 3, 7, 7)`` is ``(8, 3, 1, 1)``.
    """
    sizes = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
    for dim, size in zip((-2, -1), sizes, strict=True):
        if size is not None:
            input = _adaptive_mean(input, dim, size)
    return input


def _adaptive_mean(input: Tensor, dim: int, size: int) -> Tensor:
    length = input.shape[dim]
    if size == length:
        return input
    pieces = []
    for index in range(size):
        start, end = index * length // size, -((index + 1) * length // -size)
        pieces.append(input.narrow(dim, start, end - start).mean(dim, keepdim=True))
    return pieces[0] if len(pieces) == 1 else cat(pieces, dim)
