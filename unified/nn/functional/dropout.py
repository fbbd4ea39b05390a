"""Dropout; Srivastava et al. (2014). The mask comes from the library's own generator: the same on every backend."""

from __future__ import annotations

from unified._dispatch import composite
from unified._tensor import Tensor
from unified.errors import ArgumentError
from unified.ops.elementwise import Scalar
from unified.random import bernoulli_mask


@composite()
def apply_mask(input: Tensor, mask: Tensor, scale: Scalar) -> Tensor:
    """``input * scale`` where the bool ``mask`` holds, 0 elsewhere."""
    return input * (mask.to(input.dtype) * scale)


def keep_mask(p: float, shape: tuple[int, ...], like: Tensor) -> tuple[Tensor, float]:
    """A mask that keeps each element with probability ``1 - p``, and the factor for what is kept.

    Raises:
        ArgumentError: ``p`` is no probability.
    """
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"dropout: p must lie between 0 and 1, not {p}")
    return bernoulli_mask(shape, 1.0 - p, like), 1.0 / (1.0 - p) if p < 1.0 else 0.0


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeroes each element with probability ``p`` and scales the rest by ``1 / (1 - p)``; identity when not training.

    Raises:
        ArgumentError: ``p`` is no probability.
    """
    if p == 0.0 or (not training and 0.0 <= p <= 1.0):
        return input
    mask, scale = keep_mask(p, tuple(input.shape), input)
    dropped: Tensor = apply_mask(input, mask, scale)
    return input._assign(dropped) if inplace else dropped


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout of whole channels of ``input (N, C, H, W)``.

    Raises:
        ArgumentError: ``p`` is no probability.
    """
    if p == 0.0 or (not training and 0.0 <= p <= 1.0):
        return input
    mask, scale = keep_mask(p, (*input.shape[:2], *[1] * (input.ndim - 2)), input)
    dropped: Tensor = apply_mask(input, mask, scale)
    return input._assign(dropped) if inplace else dropped
