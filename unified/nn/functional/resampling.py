"""Images at another size.

Every mode is separable, and its weights depend on sizes alone: each dimension is resampled by itself, by a choice of
elements (the nearest modes) or by weighted sums of a few, whose places and weights are constants of the program. They
are computed in the precision in which PyTorch's kernels compute them, so that the same element is the nearest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unified._dispatch import composite
from unified._dtype import float32, float64, uint8
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError, ShapeError
from unified.nn.functional import _windows
from unified.nn.functional._windows import Positions
from unified.nn.functional.adaptive_pooling import adaptive_avg_pool
from unified.ops.elementwise import clamp, round
from unified.ops.shape import repeat_interleave

Floats = np.ndarray[Any, Any]
Scale = float | None

_RANKS = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5}
_NEAREST = ("nearest", "nearest-exact")


def _resamples(input: Any, size: Any, scales: Any, mode: str, align_corners: bool, antialias: bool) -> None:
    shape = tuple(input.shape)
    if not 3 <= len(shape) <= 5 or len(size) != len(shape) - 2:
        raise ShapeError(f"input {shape} must have the dimensions (N, C, *spatial) with 1 to 3 spatial ones")
    if _RANKS.get(mode, len(shape)) != len(shape):
        raise ShapeError(f"mode {mode!r} takes inputs of {_RANKS[mode]} dimensions, not {shape}")
    if not input.dtype.is_floating_point and input.dtype is not uint8:
        raise DTypeError(f"input must be floating point or uint8, not {input.dtype.name}")
    if min(size) < 1 or 0 in shape[1:]:
        raise ShapeError(f"all lengths must be positive, not those of input {shape} or size {size}")


@composite(check=_resamples)
def resample(
    input: Tensor,
    size: tuple[int, ...],
    scales: tuple[Scale, ...],
    mode: str,
    align_corners: bool,
    antialias: bool,
) -> Tensor:
    """:func:`interpolate` to ``size``; a scale that is not None stands for the ratio of output and input length."""
    precision = np.float64 if input.dtype is float64 else np.float32
    kept = np.dtype(precision) if input.dtype is uint8 else input.dtype.numpy
    image = input.to(float32) if input.dtype is uint8 and mode not in _NEAREST else _windows.widened(input)
    for dim, length, count, scale in zip(range(-len(size), 0), input.shape[2:], size, scales, strict=True):
        step = _step(length, count, scale, align_corners, precision)
        if mode in _NEAREST:
            image = _chosen(image, dim, _nearest(length, count, step, mode == "nearest-exact"))
        elif antialias:
            image = _windows.weighed(image, dim, *_filtered(length, count, step, mode == "bicubic"))
        else:
            taps = _cubic if mode == "bicubic" else _linear
            image = _windows.weighed(image, dim, *taps(length, _centres(count, step, align_corners), kept))
    if input.dtype is uint8 and mode not in _NEAREST:
        image = clamp(round(image), 0.0, 255.0)
    return image.to(input.dtype)


def _chosen(input: Tensor, dim: int, places: Positions) -> Tensor:
    """The elements at ``places``, repeated where that is the same."""
    length = input.shape[dim]
    times = len(places) // length
    if np.array_equal(places, np.repeat(np.arange(length), times)):
        return input if times == 1 else repeat_interleave(input, times, dim)
    return _windows.weighed(input, dim, places[:, None], np.ones((len(places), 1)))


# ---- places and weights of each output element, in the precision of ``step`` ---------------------------------------


def _step(length: int, count: int, scale: Scale, align_corners: bool, precision: Any) -> Any:
    """Input elements per output element."""
    if align_corners:
        return precision(length - 1) / precision(count - 1) if count > 1 else precision(0)
    return precision(1.0 / scale) if scale is not None and scale > 0 else precision(length) / precision(count)


def _nearest(length: int, count: int, step: Any, exact: bool) -> Positions:
    index = np.arange(count, dtype=type(step))
    places: Floats = np.floor((index + type(step)(0.5) if exact else index) * step)
    return np.minimum(places, length - 1).astype(np.int64)


def _centres(count: int, step: Any, align_corners: bool) -> Floats:
    """Where output elements lie among the input's."""
    index = np.arange(count, dtype=type(step))
    half = type(step)(0.5)
    centres: Floats = index * step if align_corners else (index + half) * step - half
    return centres


def _linear(length: int, centres: Floats, kept: np.dtype[Any]) -> tuple[Positions, Floats]:
    """Two elements each; PyTorch keeps the second weight in the input's precision, and computes the first of that."""
    centres = np.maximum(centres, 0)
    lower = np.minimum(np.floor(centres), length - 1)
    rest = np.clip(centres - lower, 0, 1).astype(kept)
    return _taps(length, lower, range(2)), np.stack([1 - rest, rest], -1)


def _cubic(length: int, centres: Floats, kept: np.dtype[Any]) -> tuple[Positions, Floats]:
    """Cubic convolution (Keys, 1981) with PyTorch's parameter -0.75."""
    lower = np.floor(centres)
    rest = centres - lower
    weights = _keys(np.stack([rest + 1, rest, 1 - rest, 2 - rest], -1), -0.75)
    return _taps(length, lower, range(-1, 3)), weights.astype(kept)


def _taps(length: int, lower: Floats, offsets: range) -> Positions:
    """Places from ``lower`` on; what would reach over an edge is the element there."""
    places: Floats = np.clip(lower[:, None] + np.asarray(offsets), 0, length - 1)
    return places.astype(np.int64)


def _keys(distance: Floats, a: float) -> Floats:
    x = np.abs(distance)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _filtered(length: int, count: int, step: Any, cubic: bool) -> tuple[Positions, Floats]:
    """Weights that also smooth what a smaller image cannot show, as Pillow's: a filter as wide as ``step``."""
    widening = max(step, type(step)(1))
    support = (2 if cubic else 1) * widening
    centres = (np.arange(count, dtype=type(step)) + type(step)(0.5)) * step
    starts = np.maximum((centres - support + 0.5).astype(np.int64), 0)
    ends = np.minimum((centres + support + 0.5).astype(np.int64), length)
    places = _windows.between(starts, ends)
    distance = (places - centres[:, None] + type(step)(0.5)) / widening
    weights = _keys(distance, -0.5) if cubic else np.maximum(1 - np.abs(distance), 0)
    weights = np.where(places < 0, 0, weights)
    return places, weights / weights.sum(-1, keepdims=True)


# ---- the public functions ----------------------------------------------------------------------------------------


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """``input (N, C, *spatial)`` at another size.

    Args:
        size: the output's spatial lengths.
        scale_factor: the same as multiples of the input's.
        mode: "nearest", "nearest-exact" (which rounds as Pillow does), "linear" (1-d), "bilinear" or "bicubic" (2-d),
            "trilinear" (3-d), or "area" (means of windows).
        align_corners: whether corner elements lie on corner elements, instead of edges on edges.
        recompute_scale_factor: use the ratio of the lengths and not ``scale_factor``, which may differ from it.
        antialias: for "bilinear" and "bicubic", smooth what a smaller image cannot show.

    Example: ``(1, 3, 8, 8) -> interpolate(scale_factor=2, mode="bilinear") -> (1, 3, 16, 16)``.

    Raises:
        ArgumentError: options contradict each other, or the mode is unknown.
        ShapeError: the mode does not fit the input's number of dimensions.
    """
    if mode not in (*_NEAREST, *_RANKS, "area"):
        raise ArgumentError(f"interpolate: mode {mode!r} is none of {', '.join((*_NEAREST, *_RANKS, 'area'))}")
    if align_corners is not None and mode not in _RANKS:
        raise ArgumentError(f"interpolate: align_corners says nothing in mode {mode!r}; leave it out")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ArgumentError(f"interpolate: antialias takes the modes 'bilinear' and 'bicubic', not {mode!r}")
    if (size is None) == (scale_factor is None) or (size is not None and recompute_scale_factor):
        raise ArgumentError("interpolate: give either size or scale_factor, and recompute only the latter")
    lengths = tuple(input.shape[2:])
    scales: tuple[Scale, ...] = (None,) * len(lengths)
    if scale_factor is None:
        assert size is not None
        sizes = (size,) * len(lengths) if isinstance(size, int) else tuple(size)
    else:
        given = (scale_factor,) * len(lengths) if isinstance(scale_factor, (int, float)) else tuple(scale_factor)
        if len(given) != len(lengths):
            raise ArgumentError(f"interpolate: scale_factor {scale_factor!r} must have {len(lengths)} entries")
        sizes = tuple(int(length * factor) for length, factor in zip(lengths, given, strict=True))
        if not recompute_scale_factor:
            scales = tuple(float(factor) for factor in given)
    if mode == "area":
        return adaptive_avg_pool(input, sizes)
    return resample(input, sizes, scales, mode, bool(align_corners), antialias)


def upsample(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """PyTorch's older name of :func:`interpolate`."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(
    input: Tensor, size: int | Sequence[int] | None = None, scale_factor: float | Sequence[float] | None = None
) -> Tensor:
    """:func:`interpolate` in mode "nearest"."""
    return interpolate(input, size, scale_factor)


def upsample_bilinear(
    input: Tensor, size: int | Sequence[int] | None = None, scale_factor: float | Sequence[float] | None = None
) -> Tensor:
    """:func:`interpolate` in mode "bilinear" with aligned corners."""
    return interpolate(input, size, scale_factor, "bilinear", True)
