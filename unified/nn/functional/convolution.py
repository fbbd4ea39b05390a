"""Convolutions (cross-correlations, as in PyTorch) and their transposes in one, two and three dimensions."""

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


@op(check=_checks.conv_transpose1d)
def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """Transposed convolution over ``input (N, C, L)`` or ``(C, L)`` with ``weight (C, out / groups, K)``.

    Lengths as in :func:`conv_transpose2d`.

    Raises:
        ShapeError: channels, groups or bias do not fit, or the result would be empty.
        ArgumentError: ``output_padding`` is not smaller than either stride or dilation.
        DTypeError: the operands have several dtypes.
    """


@op(check=_checks.conv_transpose2d)
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """Transposed convolution over ``input (N, C, H, W)`` or ``(C, H, W)``, ``weight (C, out / groups, KH, KW)``.

    What a strided convolution's gradient does to its input. ``padding`` removes elements at both edges of the
    result, ``output_padding`` adds some at its end: a length is ``(L - 1) stride - 2 padding + dilation (K - 1) +
    output_padding + 1``. Example: ``(8, 16, 16, 16)`` with a weight ``(16, 3, 2, 2)`` and ``stride=2`` gives
    ``(8, 3, 32, 32)``.

    Raises:
        ShapeError: channels, groups or bias do not fit, or the result would be empty.
        ArgumentError: ``output_padding`` is not smaller than either stride or dilation.
        DTypeError: the operands have several dtypes.
    """


@op(check=_checks.conv_transpose3d)
def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """Transposed convolution over ``input (N, C, D, H, W)`` or unbatched with ``weight (C, out / groups, *kernel)``.

    Lengths as in :func:`conv_transpose2d`.

    Raises:
        ShapeError: channels, groups or bias do not fit, or the result would be empty.
        ArgumentError: ``output_padding`` is not smaller than either stride or dilation.
        DTypeError: the operands have several dtypes.
    """
