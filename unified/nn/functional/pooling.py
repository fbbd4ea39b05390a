"""Pooling over windows of one to three spatial dimensions.

Windows are products of intervals, so that each dimension is pooled by itself, the last one first. Choosing among a
window's elements one after another gives PyTorch's gradient at ties, which goes to the first maximum row by row (the
last NaN, where there are some), and fuses into one loop under a compiler.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from unified._dispatch import composite
from unified._dtype import Number
from unified._tensor import Tensor
from unified.nn.functional import _windows
from unified.nn.functional._checks import expand
from unified.nn.functional._windows import Positions, maxima
from unified.ops.elementwise import abs, relu, sign
from unified.ops.reduction import ValuesAndIndices

Sizes = int | Sequence[int]

# ---- maxima ------------------------------------------------------------------------------------------------------


def _fixed(
    input: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    ceil_mode: bool,
) -> list[Positions]:
    sizes = zip(input.shape[-len(kernel) :], kernel, stride, padding, dilation, strict=True)
    return [_windows.positions(*each, ceil_mode) for each in sizes]


@composite(check=_windows.pool)
def max_pool(
    input: Tensor,
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    ceil_mode: bool,
) -> Tensor:
    """The maximum of each window over as many last dimensions as ``kernel_size`` has entries."""
    return maxima(input, _fixed(input, kernel_size, stride, padding, dilation, ceil_mode), False)[0]


@composite(check=_windows.pool)
def max_pool_indexed(
    input: Tensor,
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    ceil_mode: bool,
) -> ValuesAndIndices:
    """:func:`max_pool`, and where in the flattened spatial dimensions each maximum was (int32)."""
    windows = _fixed(input, kernel_size, stride, padding, dilation, ceil_mode)
    return ValuesAndIndices(*maxima(input, windows, True))  # type: ignore[arg-type]


def _pool_max(
    spatial: int,
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    kernel = expand(kernel_size, spatial, "kernel_size")
    pooled = max_pool_indexed if return_indices else max_pool
    return pooled(
        input, kernel, _windows.strides(kernel, stride), expand(padding, spatial, "padding"),
        expand(dilation, spatial, "dilation"), ceil_mode,
    )  # fmt: skip


def max_pool1d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window of ``input (N, C, L)`` or ``(C, L)``; arguments as in :func:`max_pool2d`."""
    return _pool_max(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window of ``input (N, C, H, W)`` or ``(C, H, W)``; ``stride`` defaults to ``kernel_size``.

    At a tie the first maximum, row by row, gets the gradient. Example: ``max_pool2d(x, 2)`` of ``(8, 3, 32, 32)`` is
    ``(8, 3, 16, 16)``.

    Args:
        ceil_mode: whether a last window may reach over the edge.
        return_indices: also return where in the flattened ``H * W`` each maximum was (int32), for ``max_unpool2d``.

    Raises:
        ArgumentError: the padding exceeds half of the kernel.
        ShapeError: the kernel is larger than the padded input.
    """
    return _pool_max(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window of ``input (N, C, D, H, W)`` or unbatched; arguments as in :func:`max_pool2d`."""
    return _pool_max(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


# ---- means -------------------------------------------------------------------------------------------------------


@composite(check=_windows.avg_pool)
def avg_pool(
    input: Tensor,
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    """The mean of each window over as many last dimensions as ``kernel_size`` has entries."""
    total = _windows.widened(input)
    sizes: Any = 1
    for dim in range(-1, -len(kernel_size) - 1, -1):
        length, kernel, step, pad = input.shape[dim], kernel_size[dim], stride[dim], padding[dim]
        count = _windows.pooled(length, kernel, step, pad, 1, ceil_mode)
        total = _windows.summed(total, dim, count, kernel, step, pad)
        starts = np.arange(count) * step - pad
        ends = np.minimum(starts + kernel, length + pad)
        counted = ends - starts if count_include_pad else np.minimum(ends, length) - np.maximum(starts, 0)
        sizes = sizes * _windows.along(counted, dim)
    return _windows.divided(total, sizes, divisor_override).to(input.dtype)


def _pool_mean(
    spatial: int,
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None = None,
) -> Tensor:
    kernel = expand(kernel_size, spatial, "kernel_size")
    steps, pads = _windows.strides(kernel, stride), expand(padding, spatial, "padding")
    return avg_pool(input, kernel, steps, pads, ceil_mode, count_include_pad, divisor_override)


def avg_pool1d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of ``input (N, C, L)`` or ``(C, L)``; arguments as in :func:`avg_pool2d`."""
    return _pool_mean(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


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
        ArgumentError: the padding exceeds half of the kernel, or ``divisor_override`` is 0.
        ShapeError: the kernel is larger than the padded input.
    """
    return _pool_mean(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of ``input (N, C, D, H, W)`` or unbatched; arguments as in :func:`avg_pool2d`."""
    return _pool_mean(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


# ---- norms -------------------------------------------------------------------------------------------------------


def _pool_norm(
    spatial: int, input: Tensor, norm_type: Number, kernel_size: Sizes, stride: Sizes | None, ceil_mode: bool
) -> Tensor:
    """PyTorch's formula, whose gradient is 0 for a window of zeros where the power has one there."""
    if norm_type in (math.inf, -math.inf):
        sense = 1 if norm_type == math.inf else -1
        largest: Tensor = sense * _pool_max(spatial, sense * abs(input), kernel_size, stride, 0, 1, ceil_mode, False)
        return largest
    mean = _pool_mean(spatial, input**norm_type, kernel_size, stride, 0, ceil_mode, True)
    total = sign(mean) * relu(abs(mean)) * math.prod(expand(kernel_size, spatial, "kernel_size"))
    return total ** (1.0 / norm_type)


def lp_pool1d(
    input: Tensor, norm_type: Number, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Tensor:
    """``sum(x ** p) ** (1 / p)``, ``p = norm_type``, over each window of ``input (N, C, L)`` or ``(C, L)``.

    At ``inf`` the largest magnitude. Example: ``lp_pool1d([[3., 4.]], 2, 2) -> [[5.]]``.
    """
    return _pool_norm(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor, norm_type: Number, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Tensor:
    """As :func:`lp_pool1d`, of ``input (N, C, H, W)`` or ``(C, H, W)``."""
    return _pool_norm(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor, norm_type: Number, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Tensor:
    """As :func:`lp_pool1d`, of ``input (N, C, D, H, W)`` or ``(C, D, H, W)``."""
    return _pool_norm(3, input, norm_type, kernel_size, stride, ceil_mode)
