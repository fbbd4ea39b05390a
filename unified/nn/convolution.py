"""Convolution layers."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from unified._dtype import DType
from unified._tensor import Tensor
from unified.errors import ArgumentError
from unified.nn import functional as F
from unified.nn import init
from unified.nn.functional._checks import expand
from unified.nn.module import Module
from unified.nn.parameter import Parameter
from unified.ops.creation import empty

Sizes = int | tuple[int, ...]


class _Convolution(Module):
    """What Conv1d, Conv2d and Conv3d share.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: the window, one length or one for each dimension.
        stride: step of the window.
        padding: elements added on both sides, ``"same"`` or ``"valid"``.
        dilation: step within the window.
        groups: blocks of channels that are convolved apart.
        bias: whether there is one.
        padding_mode: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.

    Raises:
        ArgumentError: the channels cannot be split into the groups, or a mode is unknown.
    """

    spatial: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        if groups <= 0:
            raise ArgumentError("groups must be a positive integer")
        if in_channels % groups:
            raise ArgumentError("in_channels must be divisible by groups")
        if out_channels % groups:
            raise ArgumentError("out_channels must be divisible by groups")
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ArgumentError(f"padding must be 'same', 'valid' or lengths, not {padding!r}")
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ArgumentError(
                f"padding_mode must be 'zeros', 'reflect', 'replicate' or 'circular', not {padding_mode!r}"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = expand(kernel_size, self.spatial, "kernel_size")
        self.stride = expand(stride, self.spatial, "stride")
        self.dilation = expand(dilation, self.spatial, "dilation")
        self.padding = padding if isinstance(padding, str) else expand(padding, self.spatial, "padding")
        if padding == "same" and max(self.stride) > 1:
            raise ArgumentError("padding='same' is not supported for strided convolutions")
        self.groups = groups
        self.padding_mode = padding_mode
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(empty(*shape, device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform within ``1 / sqrt(fan_in)``, as in PyTorch."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        fan_in = self.in_channels // self.groups * math.prod(self.kernel_size)
        if self.bias is not None and fan_in:
            bound = 1 / math.sqrt(fan_in)
            init.uniform_(self.bias, -bound, bound)

    def _edges(self) -> tuple[int, ...]:
        """The padding as ``F.pad`` takes it: pairs, the last dimension first."""
        edges: list[int] = []
        for size, step, index in zip(self.kernel_size, self.dilation, range(self.spatial), strict=True):
            if isinstance(self.padding, str):
                total = step * (size - 1) if self.padding == "same" else 0
                edges = [total // 2, total - total // 2, *edges]
            else:
                edges = [self.padding[index], self.padding[index], *edges]
        return tuple(edges)

    def _convolve(self, convolution: Any, input: Tensor) -> Tensor:
        padding: Sizes | str = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._edges(), mode=self.padding_mode), 0
        convolved: Tensor = convolution(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )
        return convolved

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        ones, zeros = (1,) * self.spatial, (0,) * self.spatial
        parts = [
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}",
            f"padding={self.padding}" if self.padding != zeros else "",
            f"dilation={self.dilation}" if self.dilation != ones else "",
            f"groups={self.groups}" if self.groups != 1 else "",
            "bias=False" if self.bias is None else "",
            f"padding_mode={self.padding_mode}" if self.padding_mode != "zeros" else "",
        ]
        return ", ".join(part for part in parts if part)


class Conv1d(_Convolution):
    """Convolution layer, ``(N, in, L) -> (N, out, L')``; arguments as in :func:`functional.conv1d`."""

    spatial = 1

    def forward(self, input: Tensor) -> Tensor:
        """``input (N, in, L)`` or ``(in, L)``, convolved."""
        return self._convolve(F.conv1d, input)


class Conv2d(_Convolution):
    """Convolution layer, ``(N, in, H, W) -> (N, out, H', W')``; arguments as in :func:`functional.conv2d`.

    Example:
        >>> nn.Conv2d(3, 16, 3, padding=1)(un.ones(8, 3, 32, 32)).shape
        unified.Size([8, 16, 32, 32])
    """

    spatial = 2

    def forward(self, input: Tensor) -> Tensor:
        """``input (N, in, H, W)`` or ``(in, H, W)``, convolved."""
        return self._convolve(F.conv2d, input)


class Conv3d(_Convolution):
    """Convolution layer, ``(N, in, D, H, W) -> (N, out, D', H', W')``; arguments as in :func:`functional.conv3d`."""

    spatial = 3

    def forward(self, input: Tensor) -> Tensor:
        """``input (N, in, D, H, W)`` or ``(in, D, H, W)``, convolved."""
        return self._convolve(F.conv3d, input)
