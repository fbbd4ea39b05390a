"""Convolution layers that take the number of input channels from their first input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unified._dtype import DType
from unified._tensor import Tensor
from unified.errors import ArgumentError, ShapeError
from unified.nn.convolution import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    Sizes,
    _Convolution,
    _Kernel,
    _Transposed,
)
from unified.nn.lazy import LazyModuleMixin
from unified.nn.parameter import UninitializedParameter

if TYPE_CHECKING:
    _Base = _Kernel
else:
    _Base = object


class _Lazy(LazyModuleMixin, _Base):
    """What they share: the weight waits for the number of channels, and the bias, which does not need it, too."""

    inferred = "in_channels"

    def _wait(self, out_channels: int, bias: bool, device: Any, dtype: DType | None) -> None:
        if out_channels % self.groups:
            raise ArgumentError("out_channels must be divisible by groups")
        self.out_channels = out_channels
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """As of the layer that it becomes, once the shapes are known."""
        if not self.has_uninitialized_params() and self.in_channels != 0:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor, *_: Any, **__: Any) -> None:
        """Takes ``in_channels`` from ``input (N, in, *lengths)`` or ``(in, *lengths)``.

        Raises:
            ShapeError: the input has another number of dimensions.
            ArgumentError: the channels cannot be split into the groups.
        """
        if not self.has_uninitialized_params():
            return
        if input.ndim not in (self.spatial + 1, self.spatial + 2):
            raise ShapeError(
                f"{type(self).__name__}: input {tuple(input.shape)} must have {self.spatial + 1} or "
                f"{self.spatial + 2} dimensions"
            )
        channels = input.shape[-self.spatial - 1]
        if channels % self.groups:
            raise ArgumentError("in_channels must be divisible by groups")
        self.in_channels = channels
        ends = (channels, self.out_channels) if self.transposed else (self.out_channels, channels)
        self.weight.materialize((ends[0], ends[1] // self.groups, *self.kernel_size))
        if self.bias is not None:
            self.bias.materialize((self.out_channels,))
        self.reset_parameters()


class _LazyConvolution(_Lazy, _Convolution):
    """A convolution layer that takes ``in_channels`` from its first input; the other arguments are its own."""

    def __init__(
        self,
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
        super().__init__(0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode)
        self._wait(out_channels, bias, device, dtype)


class LazyConv1d(_LazyConvolution, Conv1d):
    """A :class:`Conv1d` that takes ``in_channels`` from its first input."""

    cls_to_become = Conv1d


class LazyConv2d(_LazyConvolution, Conv2d):
    """A :class:`Conv2d` that takes ``in_channels`` from its first input."""

    cls_to_become = Conv2d


class LazyConv3d(_LazyConvolution, Conv3d):
    """A :class:`Conv3d` that takes ``in_channels`` from its first input."""

    cls_to_become = Conv3d


class _LazyTransposed(_Lazy, _Transposed):
    """A transposed convolution that takes ``in_channels`` from its first input; the other arguments are its own."""

    def __init__(
        self,
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
        super().__init__(0, 0, kernel_size, stride, padding, output_padding, groups, False, dilation, padding_mode)
        self._wait(out_channels, bias, device, dtype)


class LazyConvTranspose1d(_LazyTransposed, ConvTranspose1d):
    """A :class:`ConvTranspose1d` that takes ``in_channels`` from its first input."""

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyTransposed, ConvTranspose2d):
    """A :class:`ConvTranspose2d` that takes ``in_channels`` from its first input."""

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyTransposed, ConvTranspose3d):
    """A :class:`ConvTranspose3d` that takes ``in_channels`` from its first input."""

    cls_to_become = ConvTranspose3d
