"""Blocks of images as columns, and their sums back."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence

import numpy as np

from unified._dispatch import composite
from unified._tensor import Tensor
from unified.nn.functional import _windows
from unified.nn.functional._checks import expand

Sizes = int | Sequence[int]


@composite(name="unfold", check=_windows.unfold)
def _unfold(
    input: Tensor,
    kernel_size: tuple[int, ...],
    dilation: tuple[int, ...],
    padding: tuple[int, ...],
    stride: tuple[int, ...],
) -> Tensor:
    """:func:`unfold`: the elements of each block, cut out along the columns first and then along the rows."""
    lead = tuple(input.shape[:-2])
    counts = _windows.blocks(kernel_size, dilation, padding, stride, input.shape[-2:])
    cut = input
    for dim in (-1, -2):
        pad, kernel, count = padding[dim], kernel_size[dim], counts[dim]
        cut = _windows.padded(cut, dim, pad, pad)
        starts = np.arange(kernel)[:, None] * dilation[dim] + np.arange(count) * stride[dim]
        cut = _windows.take(cut, dim, starts.reshape(-1))
    split = cut.reshape((*lead, kernel_size[0], counts[0], kernel_size[1], counts[1]))
    columns: Tensor = split.transpose(-3, -2).reshape(
        (*lead[:-1], lead[-1] * math.prod(kernel_size), math.prod(counts))
    )
    return columns


@composite(name="fold", check=_windows.fold)
def _fold(
    input: Tensor,
    output_size: tuple[int, ...],
    kernel_size: tuple[int, ...],
    dilation: tuple[int, ...],
    padding: tuple[int, ...],
    stride: tuple[int, ...],
) -> Tensor:
    """:func:`fold`: blocks added up along the rows first and then along the columns."""
    counts = _windows.blocks(kernel_size, dilation, padding, stride, output_size)
    lead = (*input.shape[:-2], input.shape[-2] // math.prod(kernel_size))
    joined = input.reshape((*lead, *kernel_size, *counts)).transpose(-3, -2)
    for dim in (-2, -1):
        rest = tuple(joined.shape[len(lead) + 2 :]) if dim == -2 else ()
        last = -len(rest) - 1
        places = []
        for offset in range(kernel_size[dim]):
            block = joined.select(len(lead) + (dim == -1), offset)
            spread = _spread(block, last, stride[dim])
            before = offset * dilation[dim] - padding[dim]
            places.append(_windows.padded(spread, last, before, output_size[dim] - before - spread.shape[last]))
        joined = functools.reduce(operator.add, places)
    images: Tensor = joined
    return images


def _spread(input: Tensor, dim: int, step: int) -> Tensor:
    """``step - 1`` zeros between the elements along ``dim``, counted from the end."""
    if step == 1:
        return input
    length = input.shape[dim]
    at = input.ndim + dim
    spaced = _windows.padded(input.unsqueeze(at + 1), dim, 0, step - 1)
    joined = spaced.reshape((*input.shape[:at], length * step, *input.shape[at + 1 :]))
    spread: Tensor = joined.narrow(at, 0, (length - 1) * step + 1)
    return spread


def unfold(input: Tensor, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1) -> Tensor:
    """The elements of every block of ``input (N, C, H, W)`` or ``(C, H, W)`` as a column ("im2col").

    Returns:
        ``(N, C * kernel elements, blocks)``, channels first and blocks row by row.

    Example: ``(1, 3, 4, 4) -> unfold(2, stride=2) -> (1, 12, 4)``.

    Raises:
        ShapeError: the kernel is larger than the padded input.
    """
    return _unfold(input, expand(kernel_size, 2), expand(dilation, 2), expand(padding, 2), expand(stride, 2))


def fold(
    input: Tensor,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> Tensor:
    """Columns of :func:`unfold`, ``(N, C * kernel elements, blocks)``, back as images; what overlaps adds up.

    Example: ``(1, 12, 4) -> fold((4, 4), 2, stride=2) -> (1, 3, 4, 4)``.

    Raises:
        ShapeError: the columns are not those of an image of ``output_size``.
    """
    return _fold(
        input, expand(output_size, 2), expand(kernel_size, 2), expand(dilation, 2), expand(padding, 2),
        expand(stride, 2),
    )  # fmt: skip
