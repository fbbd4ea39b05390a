"""The inverses of max pooling."""

from __future__ import annotations

from collections.abc import Sequence

from unified._dispatch import op
from unified._tensor import Tensor
from unified.errors import ArgumentError
from unified.nn.functional import _windows
from unified.nn.functional._checks import expand

Sizes = int | Sequence[int]


@op(check=_windows.unpool)
def max_unpool(input: Tensor, indices: Tensor, output_size: tuple[int, ...]) -> Tensor:
    """Zeros of ``output_size`` with ``input`` at ``indices`` of the flattened spatial dimensions."""


def _unpool(
    spatial: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    output_size: Sequence[int] | None,
) -> Tensor:
    kernel = expand(kernel_size, spatial, "kernel_size")
    steps, pads = _windows.strides(kernel, stride), expand(padding, spatial, "padding")
    default = tuple(
        (length - 1) * step + size - 2 * pad
        for length, step, size, pad in zip(input.shape[-spatial:], steps, kernel, pads, strict=True)
    )
    sizes = default if output_size is None else tuple(output_size)[-spatial:]
    fits = len(sizes) == spatial and all(
        size - step < wanted < size + step for size, step, wanted in zip(default, steps, sizes, strict=True)
    )
    if not fits:
        raise ArgumentError(f"max_unpool: output_size {output_size!r} must lie within a stride of {default}")
    return max_unpool(input, indices, sizes)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The inverse of :func:`max_pool1d`, as :func:`max_unpool2d`."""
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Maxima put back to where :func:`max_pool2d` found them, zeros elsewhere.

    Args:
        input: ``(N, C, H, W)`` or ``(C, H, W)``.
        indices: what ``max_pool2d(..., return_indices=True)`` returned, in the shape of ``input``.
        output_size: the size of what was pooled, where several have the same pooled size.

    Raises:
        ArgumentError: ``output_size`` is no size that pools to ``input``'s.
        ShapeError: ``indices`` and ``input`` differ in shape.
    """
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The inverse of :func:`max_pool3d`, as :func:`max_unpool2d`."""
    return _unpool(3, input, indices, kernel_size, stride, padding, output_size)
