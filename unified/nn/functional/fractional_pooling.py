"""Max pooling over windows at pseudorandom starts; Graham, "Fractional Max-Pooling" (2014)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unified._dispatch import composite
from unified._dtype import int32
from unified._tensor import Tensor
from unified.errors import ArgumentError
from unified.nn.functional import _windows
from unified.nn.functional._checks import expand
from unified.ops.indexing import gather
from unified.ops.reduction import ValuesAndIndices
from unified.ops.shape import cat
from unified.random.generator import Generator
from unified.random.sampling import generator_for, uniform_values

Sizes = int | Sequence[int]


@composite(check=_windows.fractional_pool)
def fractional_max_pool(
    input: Tensor, samples: Tensor, kernel_size: tuple[int, ...], output_size: tuple[int, ...]
) -> ValuesAndIndices:
    """Maxima over windows at pseudorandom starts, and where they were; Graham, "Fractional Max-Pooling" (2014).

    ``samples (N, C, spatial)`` in [0, 1) shift the windows of each plane; in two dimensions the first of a pair
    shifts columns and the second rows, in three they go from depth to columns, as in PyTorch.
    """
    spatial = len(kernel_size)
    planes = samples.narrow(0, 0, input.shape[0]) if input.ndim > spatial + 1 else samples.select(0, 0)
    values: Tensor = input
    index: Tensor | None = None
    step = 1
    for dim in range(-1, -spatial - 1, -1):
        length, size, count = input.shape[dim], kernel_size[dim], output_size[dim]
        sample = planes[..., -1 - dim if spatial == 2 else dim]
        starts = _fractional_starts(sample.unsqueeze(-1), length - size, count)
        starts = starts.reshape((*starts.shape[:-1], *[1] * (spatial + dim), count, *[1] * (-dim - 1)))
        shape = (*values.shape[:dim], count, *values.shape[values.ndim + dim + 1 :])
        places: list[tuple[Tensor, Tensor | None]] = []
        for offset in range(size):
            position = (starts + offset).expand(shape)
            mark = position * step
            mark = mark if index is None else mark + gather(index, dim, position)
            places.append((gather(values, dim, position), mark))
        values, index = _windows.first_maximum(places)
        step *= length
    return ValuesAndIndices(values, index)  # type: ignore[arg-type]


def _fractional_starts(sample: Tensor, span: int, count: int) -> Tensor:
    """Starts of ``count`` windows that are free to lie in ``[0, span]``; the last is always ``span``."""
    last: Tensor = sample.new_full((*sample.shape[:-1], 1), span, dtype=int32)
    if count == 1:
        return last
    alpha = sample.new_full((), span) / (count - 1)
    steps = sample.new_tensor(np.arange(count - 1))
    starts = ((steps + sample) * alpha).to(int32) - (sample * alpha).to(int32)
    joined: Tensor = cat([starts, last], -1)
    return joined


def _fractional(
    spatial: int,
    input: Tensor,
    kernel_size: Sizes,
    output_size: Sizes | None,
    output_ratio: float | Sequence[float] | None,
    return_indices: bool,
    samples: Tensor | None,
    generator: Generator | None,
) -> Any:
    if (output_size is None) == (output_ratio is None):
        raise ArgumentError("fractional_max_pool: give either output_size or output_ratio")
    kernel = expand(kernel_size, spatial, "kernel_size")
    if output_ratio is not None:
        ratios = (output_ratio,) * spatial if isinstance(output_ratio, (int, float)) else tuple(output_ratio)
        output_size = [int(n * ratio) for n, ratio in zip(input.shape[-spatial:], ratios, strict=True)]
    assert output_size is not None
    if samples is None:
        planes = input.shape[-spatial - 2 : -spatial] if input.ndim > spatial + 1 else (1, input.shape[0])
        samples = uniform_values(generator_for(input, generator), (*planes, spatial), 0.0, 1.0, input.dtype)
    found = fractional_max_pool(input, samples, kernel, expand(output_size, spatial, "output_size"))
    return found if return_indices else found.values


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    output_size: Sizes | None = None,
    output_ratio: float | Sequence[float] | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
    *,
    generator: Generator | None = None,
) -> Any:
    """Maxima of ``input (N, C, H, W)`` over windows at pseudorandom starts; Graham, "Fractional Max-Pooling" (2014).

    Args:
        kernel_size: the size of every window; windows may overlap.
        output_size: how many windows each dimension has.
        output_ratio: the same as a fraction of the input's size.
        return_indices: also return where in the flattened ``H * W`` each maximum was.
        _random_samples: ``(N, C, 2)`` in [0, 1) instead of draws from ``generator``.

    Raises:
        ArgumentError: neither or both of ``output_size`` and ``output_ratio`` are given.
        ShapeError: the windows do not fit.
    """
    return _fractional(2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples, generator)


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Sizes,
    output_size: Sizes | None = None,
    output_ratio: float | Sequence[float] | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
    *,
    generator: Generator | None = None,
) -> Any:
    """Maxima of ``input (N, C, D, H, W)`` over windows at pseudorandom starts, as :func:`fractional_max_pool2d`."""
    return _fractional(3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples, generator)
