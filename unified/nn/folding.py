"""Layers between images and their blocks as columns."""

from __future__ import annotations

from unified._tensor import Tensor
from unified.nn import functional as F
from unified.nn.module import Module

Sizes = int | tuple[int, ...]


class Fold(Module):
    """Columns ``(N, C * kernel elements, blocks)`` as images ``(N, C, *output_size)``; what overlaps adds up.

    Args:
        output_size: the images' height and width.
        kernel_size: a block's height and width.
        dilation: step within a block.
        padding: zeros that the images had at their edges.
        stride: step from block to block.
    """

    def __init__(
        self, output_size: Sizes, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        """``input``, folded."""
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )


class Unfold(Module):
    """The elements of every block of ``(N, C, H, W)`` as a column ("im2col"); arguments as of :class:`Fold`.

    Example: ``(1, 3, 4, 4) -> Unfold(2, stride=2) -> (1, 12, 4)``.
    """

    def __init__(self, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        """``input``, unfolded."""
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"
        )
