"""Elements traded between channels and pixels."""

from __future__ import annotations

from typing import Any

from unified._dispatch import composite
from unified._tensor import Tensor
from unified.errors import ArgumentError, ShapeError


def _positive(name: str, value: int) -> None:
    if value < 1:
        raise ArgumentError(f"{name} must be positive, not {value}")


def _shuffles(input: Any, upscale_factor: int) -> None:
    _positive("upscale_factor", upscale_factor)
    if len(input.shape) < 3 or input.shape[-3] % upscale_factor**2:
        raise ShapeError(
            f"input {tuple(input.shape)} must have the dimensions (..., C, H, W) with C a multiple of "
            f"{upscale_factor**2}"
        )


def _unshuffles(input: Any, downscale_factor: int) -> None:
    _positive("downscale_factor", downscale_factor)
    if len(input.shape) < 3 or input.shape[-1] % downscale_factor or input.shape[-2] % downscale_factor:
        raise ShapeError(
            f"input {tuple(input.shape)} must have the dimensions (..., C, H, W) with H and W multiples of "
            f"{downscale_factor}"
        )


def _groups(input: Any, groups: int) -> None:
    _positive("groups", groups)
    if len(input.shape) < 3 or input.shape[1] % groups:
        raise ShapeError(f"input {tuple(input.shape)} must have the dimensions (N, C, ...) with C % {groups} == 0")


@composite(check=_shuffles)
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """``(..., C r r, H, W)`` as ``(..., C, H r, W r)``; Shi et al. (2016).

    Example: ``(1, 9, 2, 2) -> pixel_shuffle(3) -> (1, 1, 6, 6)``.
    """
    *lead, channels, height, width = input.shape
    count = len(lead)
    split = input.reshape((*lead, channels // upscale_factor**2, upscale_factor, upscale_factor, height, width))
    order = (*range(count), count, count + 3, count + 1, count + 4, count + 2)
    shuffled: Tensor = split.permute(order).reshape(
        (*lead, channels // upscale_factor**2, height * upscale_factor, width * upscale_factor)
    )
    return shuffled


@composite(check=_unshuffles)
def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """The inverse of :func:`pixel_shuffle`: ``(..., C, H r, W r)`` as ``(..., C r r, H, W)``."""
    *lead, channels, height, width = input.shape
    count = len(lead)
    rows, columns = height // downscale_factor, width // downscale_factor
    split = input.reshape((*lead, channels, rows, downscale_factor, columns, downscale_factor))
    order = (*range(count), count, count + 2, count + 4, count + 1, count + 3)
    unshuffled: Tensor = split.permute(order).reshape((*lead, channels * downscale_factor**2, rows, columns))
    return unshuffled


@composite(check=_groups)
def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels of ``input (N, C, ...)`` dealt round over ``groups``; Zhang et al., "ShuffleNet" (2017).

    Example: channels ``[1, 2, 3, 4]`` in 2 groups become ``[1, 3, 2, 4]``.
    """
    shape = tuple(input.shape)
    split = input.reshape((shape[0], groups, shape[1] // groups, *shape[2:]))
    shuffled: Tensor = split.transpose(1, 2).reshape(shape)
    return shuffled
