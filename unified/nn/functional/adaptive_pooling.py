"""Pooling over as many windows as are asked for, whatever the input's size.

Window i of n over a length L covers ``floor(i L / n)`` to ``ceil((i + 1) L / n)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unified._dispatch import composite
from unified._tensor import Tensor
from unified.errors import ArgumentError
from unified.nn.functional import _windows
from unified.ops.reduction import ValuesAndIndices

Sizes = int | Sequence[int | None]


def _output_size(spatial: int, input: Tensor, output_size: Sizes) -> tuple[int, ...]:
    """One length per spatial dimension; None keeps the input's."""
    if isinstance(output_size, int):
        return (output_size,) * spatial
    sizes = tuple(output_size)
    if len(sizes) != spatial or input.ndim <= spatial:
        raise ArgumentError(
            f"output_size {output_size!r} must be an int or {spatial} of them, one for each of the last dimensions "
            f"of input {tuple(input.shape)} after its channels"
        )
    return tuple(n if size is None else size for n, size in zip(input.shape[-spatial:], sizes, strict=True))


# ---- maxima ------------------------------------------------------------------------------------------------------


@composite(check=_windows.adaptive_pool)
def adaptive_max_pool(input: Tensor, output_size: tuple[int, ...]) -> ValuesAndIndices:
    """Maxima over ``output_size`` windows of the last dimensions, and where they were."""
    lengths = input.shape[-len(output_size) :]
    windows = [_windows.adaptive_positions(*each) for each in zip(lengths, output_size, strict=True)]
    return ValuesAndIndices(*_windows.maxima(input, windows, True))  # type: ignore[arg-type]


def _adaptive_max(spatial: int, input: Tensor, output_size: Sizes, return_indices: bool) -> Any:
    found = adaptive_max_pool(input, _output_size(spatial, input, output_size))
    return found if return_indices else found.values


def adaptive_max_pool1d(input: Tensor, output_size: Sizes, return_indices: bool = False) -> Any:
    """Maxima over ``output_size`` windows of ``input (N, C, L)`` or ``(C, L)``, as :func:`adaptive_max_pool2d`."""
    return _adaptive_max(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Sizes, return_indices: bool = False) -> Any:
    """Maxima over as many windows as ``output_size`` asks for; None keeps a dimension.

    Windows as in :func:`adaptive_avg_pool2d`, indices and gradients as in :func:`max_pool2d`.
    """
    return _adaptive_max(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Sizes, return_indices: bool = False) -> Any:
    """Maxima over ``output_size`` windows of ``input (N, C, D, H, W)``, as :func:`adaptive_max_pool2d`."""
    return _adaptive_max(3, input, output_size, return_indices)


# ---- means -------------------------------------------------------------------------------------------------------


@composite(check=_windows.adaptive_pool)
def adaptive_avg_pool(input: Tensor, output_size: tuple[int, ...]) -> Tensor:
    """Means over ``output_size`` windows of the last dimensions."""
    total = _windows.widened(input)
    if all(size == 1 for size in output_size):  # of any length, a dynamic one too
        mean: Tensor = total.mean(tuple(range(-len(output_size), 0)), keepdim=True).to(input.dtype)
        return mean
    sizes: Any = np.ones((1,))
    for dim, size in zip(range(-len(output_size), 0), output_size, strict=True):
        length = input.shape[dim]
        if size and length % size == 0:
            total = _windows.summed(total, dim, size, length // size, length // size, 0)
            sizes = sizes * (length // size)
            continue
        starts, ends = _windows.adaptive_bounds(length, size)
        places = _windows.between(starts, ends)
        total = _windows.weighed(total, dim, places, np.ones(places.shape))
        sizes = sizes * _windows.along(ends - starts, dim)
    return (_windows.divided(total, sizes) if sizes.size else total).to(input.dtype)


def adaptive_avg_pool1d(input: Tensor, output_size: Sizes) -> Tensor:
    """Means over ``output_size`` windows of ``input (N, C, L)`` or ``(C, L)``, as :func:`adaptive_avg_pool2d`."""
    return adaptive_avg_pool(input, _output_size(1, input, output_size))


def adaptive_avg_pool2d(input: Tensor, output_size: Sizes) -> Tensor:
    """Means over as many windows as ``output_size`` asks for; None keeps a dimension.

    Window i of n over a length L covers ``floor(i L / n)`` to ``ceil((i + 1) L / n)``.
    Example: ``adaptive_avg_pool2d(x, 1)`` of ``(8, 3, 7, 7)`` is ``(8, 3, 1, 1)``.
    """
    return adaptive_avg_pool(input, _output_size(2, input, output_size))


def adaptive_avg_pool3d(input: Tensor, output_size: Sizes) -> Tensor:
    """Means over ``output_size`` windows of ``input (N, C, D, H, W)``, as :func:`adaptive_avg_pool2d`."""
    return adaptive_avg_pool(input, _output_size(3, input, output_size))
