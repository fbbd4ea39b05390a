"""Convolutions (cross-correlations, as in PyTorch) in one, two and three dimensions."""

from __future__ import annotations

from unified._dispatch import op
from unified._tensor import Tensor
from unified.nn.functional import _checks

Sizes = int | tuple[int, ...]


@op(check=_checks.conv1d)
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution over ``input (N, C, L)`` or ``(C, L)`` with ``weight (out, C / groups, K)``.

    ``padding`` is a length, ``"valid"`` (none) or ``"same"`` (stride 1 keeps L).

    Raises:
        ShapeError: channels, groups or bias do not fit, or the kernel is larger than the padded input.
        DTypeError: the operands have several dtypes.
    """


@op(check=_checks.conv2d)
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution over ``input (N, C, H, W)`` or ``(C, H, W)`` with ``weight (out, C / groups, KH, KW)``.

    ``padding`` is a length or two, ``"valid"`` (none) or ``"same"`` (stride 1 keeps H and W).
    Example: ``(8, 3, 32, 32)`` with a weight ``(16, 3, 3, 3)`` and ``padding=1`` gives ``(8, 16, 32, 32)``.

    Raises:
        ShapeError: channels, groups or bias do not fit, or the kernel is larger than the padded input.
        DTypeError: the operands have several dtypes.
    """


@op(check=_checks.conv3d)
def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution over ``input (N, C, D, H, W)`` or ``(C, D, H, W)`` with ``weight (out, C / groups, *kernel)``.

    Raises:
        ShapeError: channels, groups or bias do not fit, or the kernel is larger than the padded input.
        DTypeError: the operands have several dtypes.
    """
