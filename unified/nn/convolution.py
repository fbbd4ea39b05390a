"""Convolution layers and their transposes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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


class _Kernel(Module):
    """What convolutions and their transposes share: sizes, parameters and their initialisation."""

    spatial: ClassVar[int]
    transposed: ClassVar[bool]
    _function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes,
        padding: Sizes | str,
        output_padding: Sizes,
        dilation: Sizes,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: DType | None,
    ) -> None:
        super().__init__()
        if groups <= 0:
            raise ArgumentError("groups must be a positive integer")
        if in_channels % groups:
            raise ArgumentError("in_channels must be divisible by groups")
        if out_channels % groups:
            raise ArgumentError("out_channels must be divisible by groups")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = expand(kernel_size, self.spatial, "kernel_size")
        self.stride = expand(stride, self.spatial, "stride")
        self.padding = padding if isinstance(padding, str) else expand(padding, self.spatial, "padding")
        self.output_padding = expand(output_padding, self.spatial, "output_padding")
        self.dilation = expand(dilation, self.spatial, "dilation")
        self.groups = groups
        self.padding_mode = padding_mode
        ends = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        shape = (ends[0], ends[1] // groups, *self.kernel_size)
        self.weight = Parameter(empty(*shape, device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform within ``1 / sqrt(fan_in)``, where ``fan_in`` is that of the weight as it lies, as in PyTorch."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        fan_in = math.prod(self.weight.shape[1:])
        if self.bias is not None and fan_in:
            bound = 1 / math.sqrt(fan_in)
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        ones, zeros = (1,) * self.spatial, (0,) * self.spatial
        parts = [
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}",
            f"padding={self.padding}" if self.padding != zeros else "",
            f"dilation={self.dilation}" if self.dilation != ones else "",
            f"output_padding={self.output_padding}" if self.output_padding != zeros else "",
            f"groups={self.groups}" if self.groups != 1 else "",
            "bias=False" if self.bias is None else "",
            f"padding_mode={self.padding_mode}" if self.padding_mode != "zeros" else "",
        ]
        return ", ".join(part for part in parts if part)


class _Convolution(_Kernel):
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

    transposed = False

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
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ArgumentError(f"padding must be 'same', 'valid' or lengths, not {padding!r}")
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ArgumentError(
                f"padding_mode must be 'zeros', 'reflect', 'replicate' or 'circular', not {padding_mode!r}"
            )
        if padding == "same" and max(expand(stride, self.spatial, "stride")) > 1:
            raise ArgumentError("padding='same' is not supported for strided convolutions")
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, 0, dilation, groups, bias, padding_mode, device,
            dtype,
        )  # fmt: skip

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

    def forward(self, input: Tensor) -> Tensor:
        """``input (N, in, *lengths)`` or ``(in, *lengths)``, convolved."""
        padding: Sizes | str = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._edges(), mode=self.padding_mode), 0
        return self._function(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv1d(_Convolution):
    """Convolution layer, ``(N, in, L) -> (N, out, L')``; arguments as in :func:`functional.conv1d`."""

    spatial = 1
    _function = staticmethod(F.conv1d)


class Conv2d(_Convolution):
    """Convolution layer, ``(N, in, H, W) -> (N, out, H', W')``; arguments as in :func:`functional.conv2d`.

    Example:
        >>> nn.Conv2d(3, 16, 3, padding=1)(un.ones(8, 3, 32, 32)).shape
        unified.Size([8, 16, 32, 32])
    """

    spatial = 2
    _function = staticmethod(F.conv2d)


class Conv3d(_Convolution):
    """Convolution layer, ``(N, in, D, H, W) -> (N, out, D', H', W')``; arguments as in :func:`functional.conv3d`."""

    spatial = 3
    _function = staticmethod(F.conv3d)


class _Transposed(_Kernel):
    """What ConvTranspose1d, ConvTranspose2d and ConvTranspose3d share.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: the window, one length or one for each dimension.
        stride: step of the window in the output.
        padding: elements removed at both edges of the output.
        output_padding: elements added at its end, fewer than the stride or the dilation.
        groups: blocks of channels that are convolved apart.
        bias: whether there is one.
        dilation: step within the window.
        padding_mode: ``"zeros"``.

    Raises:
        ArgumentError: the channels cannot be split into the groups, or ``padding_mode`` is another.
    """

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ArgumentError(f"{type(self).__name__}: padding_mode must be 'zeros', not {padding_mode!r}")
        if isinstance(padding, str):
            raise ArgumentError(f"{type(self).__name__}: padding must be lengths, not {padding!r}")
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, output_padding, dilation, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """``input (N, in, *lengths)`` or ``(in, *lengths)``, convolved.

        Args:
            output_size: the lengths that the output is to have (batch and channels may stand before them), instead
                of ``output_padding``: a strided convolution gives several lengths the same one.

        Raises:
            ArgumentError: no output of that size has an input of this one.
        """
        padding = self.output_padding if output_size is None else self._lacking(input, tuple(output_size))
        return self._function(
            input, self.weight, self.bias, self.stride, self.padding, padding, self.groups, self.dilation
        )

    def _lacking(self, input: Tensor, output_size: tuple[int, ...]) -> tuple[int, ...]:
        """The output padding with which the output has that size."""
        lead = input.ndim - self.spatial
        sizes = output_size[lead:] if len(output_size) == input.ndim else output_size
        if len(sizes) != self.spatial:
            raise ArgumentError(
                f"output_size {output_size} must have {self.spatial} or {input.ndim} entries for an input of shape "
                f"{tuple(input.shape)}"
            )
        assert not isinstance(self.padding, str)
        lengths = zip(input.shape[lead:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True)
        least = tuple(
            (length - 1) * stride - 2 * pad + dilation * (kernel - 1) + 1
            for length, stride, pad, dilation, kernel in lengths
        )
        lacking = tuple(size - low for size, low in zip(sizes, least, strict=True))
        if any(not 0 <= extra < stride for extra, stride in zip(lacking, self.stride, strict=True)):
            most = tuple(low + stride - 1 for low, stride in zip(least, self.stride, strict=True))
            raise ArgumentError(
                f"output_size {output_size}: an input {tuple(input.shape)} gives lengths from {least} to {most}"
            )
        return lacking


class ConvTranspose1d(_Transposed):
    """Transposed convolution, ``(N, in, L) -> (N, out, L')``; lengths as in :func:`functional.conv_transpose2d`."""

    spatial = 1
    _function = staticmethod(F.conv_transpose1d)


class ConvTranspose2d(_Transposed):
    """Transposed convolution, ``(N, in, H, W) -> (N, out, H', W')``; see :func:`functional.conv_transpose2d`.

    Example:
        >>> nn.ConvTranspose2d(16, 3, 2, stride=2)(un.ones(8, 16, 16, 16)).shape
        unified.Size([8, 3, 32, 32])
    """

    spatial = 2
    _function = staticmethod(F.conv_transpose2d)


class ConvTranspose3d(_Transposed):
    """Transposed convolution, ``(N, in, D, H, W) -> (N, out, D', H', W')``; as :class:`ConvTranspose2d`."""

    spatial = 3
    _function = staticmethod(F.conv_transpose3d)
