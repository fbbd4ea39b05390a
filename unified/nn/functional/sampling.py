"""Images read at points: what spatial transformers need (Jaderberg et al., 2015)."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from unified._dispatch import composite
from unified._dtype import int32
from unified._tensor import Tensor
from unified.errors import ArgumentError, ShapeError
from unified.nn.functional import _windows
from unified.ops import _checks as base
from unified.ops.creation import zeros_like
from unified.ops.elementwise import floor, fmod, remainder, round, where

MODES = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")


def _samples(input: Any, grid: Any, mode: str, padding_mode: str, align_corners: bool | None) -> None:
    _windows.real(input)
    base.same_dtype(input=input, grid=grid)
    if mode not in MODES or padding_mode not in PADDINGS:
        raise ArgumentError(f"mode {mode!r} must be one of {MODES}, padding_mode {padding_mode!r} of {PADDINGS}")
    shape, points = tuple(input.shape), tuple(grid.shape)
    spatial = len(shape) - 2
    if spatial not in (2, 3) or len(points) != spatial + 2 or points[-1] != spatial or points[0] != shape[0]:
        raise ShapeError(
            f"input {shape} and grid {points} must have the dimensions (N, C, H, W) and (N, H', W', 2), or "
            "(N, C, D, H, W) and (N, D', H', W', 3)"
        )
    if mode == "bicubic" and spatial == 3:
        raise ArgumentError("mode 'bicubic' takes images of two dimensions")
    if 0 in shape[2:]:
        raise ShapeError(f"input {shape} has no elements to sample")


Term = tuple[Tensor, Tensor | None]
"""Integral positions along one axis, and the weights that the elements there have; None for 1."""


@composite(check=_samples)
def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """``input (N, C, H, W)`` read at the points ``grid (N, H', W', 2)``: ``(N, C, H', W')``.

    Points are (x, y) with -1 and 1 for the edges of the image. Three dimensions: ``(N, C, D, H, W)`` at
    ``(N, D', H', W', 3)``, points (x, y, z). Positions have the grid's precision, which in half precision is coarse.

    Args:
        mode: "bilinear" (over all spatial dimensions), "nearest" or, in two dimensions, "bicubic".
        padding_mode: what lies outside: "zeros", the "border" or a "reflection".
        align_corners: whether -1 and 1 are the centres of the corner elements, instead of their edges.

    Raises:
        ShapeError, ArgumentError, DTypeError: the operands do not fit, or a mode is unknown.
    """
    lengths = tuple(input.shape[2:])
    aligned = bool(align_corners)
    axes: list[list[Term]] = []
    for length, place in zip(lengths, range(len(lengths) - 1, -1, -1), strict=True):
        pad = functools.partial(_padded, length=length, mode=padding_mode, aligned=aligned)
        coordinate = _unnormalized(grid[..., place], length, aligned)
        if mode == "bicubic":
            axes.append([(pad(position), weight) for position, weight in _cubic(coordinate)])
        else:
            axes.append(_linear(pad(coordinate)) if mode == "bilinear" else _nearest(pad(coordinate)))
    channels = input.shape[1]
    rows = input.permute((0, *range(2, input.ndim), 1)).reshape((-1, channels))
    total: Tensor | None = None
    for terms in itertools.product(*axes):
        term = _read(rows, lengths, [position for position, _ in terms])
        weights = [weight for _, weight in terms if weight is not None]
        if weights:
            term = term * functools.reduce(operator.mul, weights).unsqueeze(-1)
        total = term if total is None else total + term
    assert total is not None
    sampled: Tensor = total.movedim(-1, 1)
    return sampled


def _unnormalized(coordinate: Tensor, length: int, aligned: bool) -> Tensor:
    """From [-1, 1] to positions of elements."""
    if aligned:
        return (coordinate + 1.0) / 2 * (length - 1)
    return ((coordinate + 1.0) * length - 1.0) / 2


def _padded(coordinate: Tensor, length: int, mode: str, aligned: bool) -> Tensor:
    """Positions moved inside of the image, unless zeros lie outside of it. Past an edge the gradient is 0."""
    if mode == "zeros":
        return coordinate
    if mode == "reflection":
        coordinate = _reflected(coordinate, *((0.0, length - 1.0) if aligned else (-0.5, length - 0.5)))
    return where(coordinate > 0, where(coordinate < length - 1, coordinate, length - 1.0), 0.0)


def _reflected(coordinate: Tensor, low: float, high: float) -> Tensor:
    if low == high:
        return zeros_like(coordinate)
    distance = coordinate - low
    distance = where(distance < 0, -distance, distance)
    extra = fmod(distance, high - low)
    even = remainder(floor(distance / (high - low)), 2.0) == 0
    return where(even, extra + low, (high - low) - extra + low)


def _nearest(coordinate: Tensor) -> list[Term]:
    """The element next to each, the even one of two; the gradient of a step is 0."""
    return [(round(coordinate), None)]


def _linear(coordinate: Tensor) -> list[Term]:
    lower = floor(coordinate)
    rest = coordinate - lower
    return [(lower, 1.0 - rest), (lower + 1.0, rest)]


def _cubic(coordinate: Tensor) -> list[Term]:
    """Cubic convolution (Keys, 1981) with the parameter -0.75."""
    lower = floor(coordinate)
    rest = coordinate - lower
    a = -0.75

    def near(x: Tensor) -> Tensor:
        return ((a + 2) * x - (a + 3)) * x * x + 1.0

    def far(x: Tensor) -> Tensor:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    weights = (far(rest + 1.0), near(rest), near(1.0 - rest), far(2.0 - rest))
    return [(lower + float(offset), weight) for offset, weight in enumerate(weights, -1)]


def _read(rows: Tensor, lengths: Sequence[int], positions: Sequence[Tensor]) -> Tensor:
    """``rows (N * elements, C)`` at integral positions ``(N, ...)`` along each axis: ``(N, ..., C)``, 0 outside."""
    inside = functools.reduce(
        operator.and_,
        [(position >= 0) & (position < length) for position, length in zip(positions, lengths, strict=True)],
    )
    batch = positions[0].shape[0]
    index = rows.new_tensor(np.arange(batch).reshape(-1, *[1] * (inside.ndim - 1)), dtype=int32)
    for position, length in zip(positions, lengths, strict=True):
        index = index * length + where(inside, position, 0.0).to(int32)
    read = rows.index_select(0, index.reshape((-1,))).reshape((*inside.shape, rows.shape[1]))
    return where(inside.unsqueeze(-1), read, 0.0)


def _spelled(mode: int, padding_mode: int) -> tuple[str, str]:
    if mode not in range(len(MODES)) or padding_mode not in range(len(PADDINGS)):
        raise ArgumentError(f"grid_sampler: interpolation_mode {mode} and padding_mode {padding_mode} go from 0 to 2")
    return MODES[mode], PADDINGS[padding_mode]


def grid_sampler_2d(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """:func:`grid_sample` of ``(N, C, H, W)``, modes as numbers: 0 bilinear, 1 nearest, 2 bicubic; 0 zeros, 1 border,
    2 reflection."""
    if input.ndim != 4:
        raise ShapeError(f"grid_sampler_2d: input {tuple(input.shape)} must have 4 dimensions (N, C, H, W)")
    return grid_sample(input, grid, *_spelled(interpolation_mode, padding_mode), align_corners)


def grid_sampler_3d(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """:func:`grid_sample` of ``(N, C, D, H, W)``, modes as numbers as in :func:`grid_sampler_2d`."""
    if input.ndim != 5:
        raise ShapeError(f"grid_sampler_3d: input {tuple(input.shape)} must have 5 dimensions (N, C, D, H, W)")
    return grid_sample(input, grid, *_spelled(interpolation_mode, padding_mode), align_corners)


def _transforms(theta: Any, size: Any, align_corners: bool | None) -> None:
    _windows.real(theta)
    spatial = len(size) - 2
    if spatial not in (2, 3) or tuple(theta.shape) != (size[0], spatial, spatial + 1) or min(size) < 1:
        raise ShapeError(
            f"theta {tuple(theta.shape)} and size {tuple(size)} must be (N, 2, 3) and (N, C, H, W), or (N, 3, 4) and "
            "(N, C, D, H, W), with positive lengths"
        )


@composite(check=_transforms)
def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The points that affine maps ``theta (N, 2, 3)`` send an image of ``size (N, C, H, W)`` to: ``(N, H, W, 2)``.

    For :func:`grid_sample`. Three dimensions: ``(N, 3, 4)`` and ``(N, C, D, H, W)`` give ``(N, D, H, W, 3)``.

    Raises:
        ShapeError: ``theta`` and ``size`` do not fit.
    """
    lengths = tuple(size[2:])
    axes = [np.linspace(-1.0, 1.0, n) if n > 1 else np.zeros(1) for n in lengths]
    if not align_corners:
        axes = [axis * ((n - 1) / n) for axis, n in zip(axes, lengths, strict=True)]
    grids = np.meshgrid(*axes, indexing="ij")
    base_points = np.stack([*reversed(grids), np.ones(lengths)], -1).reshape(-1, len(lengths) + 1)
    points = theta.new_tensor(base_points) @ theta.mT
    mapped: Tensor = points.reshape((size[0], *lengths, len(lengths)))
    return mapped
