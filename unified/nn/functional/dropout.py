"""Dropout; Srivastava et al. (2014). The mask comes from the library's own generator: the same on every backend."""

from __future__ import annotations

import math

from unified._dispatch import composite
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError, ShapeError
from unified.nn.functional.activation import leaky_relu
from unified.ops.elementwise import Scalar, where
from unified.random import bernoulli_mask
from unified.random.generator import default_generator
from unified.random.sampling import uniform_values

_SATURATION = 1.7580993408473766
"""Minus SELU's limit for very negative inputs: its scale times its alpha; Klambauer et al. (2017)."""


@composite()
def apply_mask(input: Tensor, mask: Tensor, scale: Scalar) -> Tensor:
    """``input * scale`` where the bool ``mask`` holds, 0 elsewhere."""
    return input * (mask.to(input.dtype) * scale)


@composite()
def apply_alpha_mask(input: Tensor, mask: Tensor, scale: Scalar, dropped: Scalar, shift: Scalar) -> Tensor:
    """``input * scale`` where the ``mask`` of ones and zeros is 1, ``dropped`` where it is 0, plus ``shift``."""
    return input * (mask * scale) + (1 - mask) * dropped + shift


@composite()
def apply_slopes(input: Tensor, slopes: Tensor) -> Tensor:
    """``input`` above 0, ``slopes * input`` elsewhere."""
    return where(input > 0, input, input * slopes)


def keep_mask(p: float, shape: tuple[int, ...], like: Tensor) -> tuple[Tensor, float]:
    """A mask that keeps each element with probability ``1 - p``, and the factor for what is kept.

    Raises:
        ArgumentError: ``p`` is no probability.
    """
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"dropout: p must lie between 0 and 1, not {p}")
    return bernoulli_mask(shape, 1.0 - p, like), 1.0 / (1.0 - p) if p < 1.0 else 0.0


def _finish(input: Tensor, output: Tensor, inplace: bool) -> Tensor:
    return input._assign(output) if inplace else output


def _dropped(input: Tensor, shape: tuple[int, ...], p: float, training: bool, inplace: bool) -> Tensor:
    """Dropout with a mask of ``shape``, which broadcasts to ``input``."""
    if p == 0.0 or (not training and 0.0 <= p <= 1.0):
        return input
    mask, scale = keep_mask(p, shape, input)
    return _finish(input, apply_mask(input, mask, scale), inplace)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeroes each element with probability ``p`` and scales the rest by ``1 / (1 - p)``; identity when not training.

    Raises:
        ArgumentError: ``p`` is no probability.
    """
    return _dropped(input, tuple(input.shape), p, training, inplace)


def _channels(name: str, input: Tensor, batched: int | None = None) -> tuple[int, ...]:
    """The shape of a mask for the channels of ``(N, C, ...)``, or of ``(C, ...)`` below ``batched`` dimensions."""
    if input.ndim < 2:
        raise ShapeError(f"{name}: input {tuple(input.shape)} must have a batch and a channel dimension")
    leading = 2 if batched is None or input.ndim >= batched else 1
    return (*input.shape[:leading], *[1] * (input.ndim - leading))


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout of whole channels of ``input (N, C, L)`` or ``(C, L)``.

    Raises:
        ArgumentError: ``p`` is no probability.
        ShapeError: ``input`` has no channels.
    """
    return _dropped(input, _channels("dropout1d", input, 3), p, training, inplace)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout of whole channels of ``input (N, C, H, W)``.

    Raises:
        ArgumentError: ``p`` is no probability.
        ShapeError: ``input`` has no channels.
    """
    return _dropped(input, _channels("dropout2d", input), p, training, inplace)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout of whole channels of ``input (N, C, D, H, W)`` or ``(C, D, H, W)``.

    Raises:
        ArgumentError: ``p`` is no probability.
        ShapeError: ``input`` has no channels.
    """
    return _dropped(input, _channels("dropout3d", input, 5), p, training, inplace)


def _alpha_dropped(input: Tensor, shape: tuple[int, ...], p: float, inplace: bool) -> Tensor:
    mask, scale = keep_mask(p, shape, input)
    if p == 1.0:
        return _finish(input, apply_mask(input, mask, scale), inplace)
    scale = 1 / math.sqrt((_SATURATION**2 * p + 1) * (1 - p))
    level = -_SATURATION * scale
    return _finish(input, apply_alpha_mask(input, mask, scale, level, -level * p), inplace)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Sets elements to SELU's negative limit with probability ``p``, then restores mean and variance.

    Klambauer et al., "Self-Normalizing Neural Networks" (2017). Identity when not training.

    Raises:
        ArgumentError: ``p`` is no probability.
    """
    if p == 0.0 or (not training and 0.0 <= p <= 1.0):
        return input
    return _alpha_dropped(input, tuple(input.shape), p, inplace)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """:func:`alpha_dropout` of whole channels of ``input (N, C, ...)``.

    Raises:
        ArgumentError: ``p`` is no probability.
        ShapeError: ``input`` has no channels.
    """
    if p == 0.0 or (not training and 0.0 <= p <= 1.0):
        return input
    return _alpha_dropped(input, _channels("feature_alpha_dropout", input), p, inplace)


def rrelu(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """Leaky ReLU whose slopes are uniform in ``[lower, upper)`` while training and their mean else; Xu et al. (2015).

    Raises:
        ArgumentError: ``lower`` exceeds ``upper``.
        DTypeError: ``input`` is not floating point.
    """
    if not lower <= upper:
        raise ArgumentError(f"rrelu: lower must not exceed upper, but {lower} > {upper}")
    if not input.dtype.is_floating_point:
        raise DTypeError(f"rrelu: input must be floating point, not {input.dtype.name}")
    if not training:
        return _finish(input, leaky_relu(input, (lower + upper) / 2), inplace)
    slopes = uniform_values(default_generator(input.backend), tuple(input.shape), lower, upper, input.dtype)
    return _finish(input, apply_slopes(input, slopes.to(device=input.device)), inplace)


def rrelu_(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Tensor:
    """:func:`rrelu` that writes to ``input``, and returns it."""
    return rrelu(input, lower, upper, training, inplace=True)
