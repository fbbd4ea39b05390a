"""Pooling layers, and those that undo a pooling by maxima."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from unified._tensor import Tensor
from unified.errors import ArgumentError
from unified.nn import functional as F
from unified.nn.functional._checks import expand
from unified.nn.module import Module

Sizes = int | tuple[int, ...]
Wanted = int | tuple[int | None, ...] | None

# ---- maxima ------------------------------------------------------------------------------------------------------


class _MaxPool(Module):
    """The maximum of each window.

    Args:
        kernel_size: the window, one length or one for each dimension.
        stride: step of the window; by default windows lie side by side.
        padding: elements on both sides, which are never the maximum.
        dilation: step within the window.
        return_indices: also return where each maximum was, for ``MaxUnpool``.
        ceil_mode: whether a last window may reach over the edge.
    """

    _function: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        """``input (N, C, *lengths)`` or ``(C, *lengths)``, pooled; a pair with the indices if asked for."""
        return self._function(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The maximum of each window of ``(N, C, L)``; see :func:`functional.max_pool2d`."""

    _function = staticmethod(F.max_pool1d)


class MaxPool2d(_MaxPool):
    """The maximum of each window of ``(N, C, H, W)``; see :func:`functional.max_pool2d`.

    Example: ``(8, 3, 32, 32) -> MaxPool2d(2) -> (8, 3, 16, 16)``.
    """

    _function = staticmethod(F.max_pool2d)


class MaxPool3d(_MaxPool):
    """The maximum of each window of ``(N, C, D, H, W)``; see :func:`functional.max_pool2d`."""

    _function = staticmethod(F.max_pool3d)


class _MaxUnpool(Module):
    """Maxima put back to where they were, zeros elsewhere; arguments are those of the pooling."""

    spatial: ClassVar[int]
    _function: ClassVar[Callable[..., Tensor]]

    def __init__(self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0) -> None:
        super().__init__()
        self.kernel_size = expand(kernel_size, self.spatial, "kernel_size")
        self.stride = self.kernel_size if stride is None else expand(stride, self.spatial, "stride")
        self.padding = expand(padding, self.spatial, "padding")

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """What was pooled, as far as it is known.

        Args:
            input: the maxima.
            indices: where they were, from the pooling with ``return_indices=True``.
            output_size: the size of what was pooled, where several have the same pooled size.
        """
        return self._function(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Undoes :class:`MaxPool1d`; see :func:`functional.max_unpool2d`."""

    spatial = 1
    _function = staticmethod(F.max_unpool1d)


class MaxUnpool2d(_MaxUnpool):
    """Undoes :class:`MaxPool2d`; see :func:`functional.max_unpool2d`."""

    spatial = 2
    _function = staticmethod(F.max_unpool2d)


class MaxUnpool3d(_MaxUnpool):
    """Undoes :class:`MaxPool3d`; see :func:`functional.max_unpool2d`."""

    spatial = 3
    _function = staticmethod(F.max_unpool3d)


class _FractionalMaxPool(Module):
    """Maxima over windows at pseudorandom starts; Graham, "Fractional Max-Pooling" (2014).

    Args:
        kernel_size: the size of every window; windows may overlap.
        output_size: how many windows each dimension has; give this or ``output_ratio``.
        output_ratio: the same as a fraction of the input's size, between 0 and 1.
        return_indices: also return where each maximum was.
        _random_samples: ``(N, C, dimensions)`` in [0, 1) instead of draws.

    Raises:
        ArgumentError: neither or both of the sizes are given, or a ratio is not between 0 and 1.
    """

    spatial: ClassVar[int]
    _function: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        kernel_size: Sizes,
        output_size: Sizes | None = None,
        output_ratio: float | tuple[float, ...] | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        kind = type(self).__name__
        if (output_size is None) == (output_ratio is None):
            raise ArgumentError(f"{kind}: give either output_size or output_ratio")
        self.kernel_size = expand(kernel_size, self.spatial, "kernel_size")
        self.output_size = None if output_size is None else expand(output_size, self.spatial, "output_size")
        ratios = (output_ratio,) * self.spatial if isinstance(output_ratio, (int, float)) else output_ratio
        if ratios is not None and not all(0 < ratio < 1 for ratio in ratios):
            raise ArgumentError(f"{kind}: output_ratio must be between 0 and 1, not {output_ratio}")
        self.output_ratio = ratios
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)

    def forward(self, input: Tensor) -> Any:
        """``input (N, C, *lengths)`` or ``(C, *lengths)``, pooled; a pair with the indices if asked for."""
        return self._function(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices, self._random_samples
        )


class FractionalMaxPool2d(_FractionalMaxPool):
    """Maxima of ``(N, C, H, W)`` over windows at random starts; see :func:`functional.fractional_max_pool2d`."""

    spatial = 2
    _function = staticmethod(F.fractional_max_pool2d)


class FractionalMaxPool3d(_FractionalMaxPool):
    """As :class:`FractionalMaxPool2d`, of ``(N, C, D, H, W)``."""

    spatial = 3
    _function = staticmethod(F.fractional_max_pool3d)


# ---- means and norms ---------------------------------------------------------------------------------------------


class AvgPool1d(Module):
    """The mean of each window of ``(N, C, L)``; arguments as of :class:`AvgPool2d`."""

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = expand(kernel_size, 1, "kernel_size")
        self.stride = self.kernel_size if stride is None else expand(stride, 1, "stride")
        self.padding = expand(padding, 1, "padding")
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """``input (N, C, L)`` or ``(C, L)``, pooled."""
        return F.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )

    def extra_repr(self) -> str:
        """The sizes."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AvgPool(Module):
    """The mean of each window.

    Args:
        kernel_size: the window, one length or one for each dimension.
        stride: step of the window; by default windows lie side by side.
        padding: zeros on both sides.
        ceil_mode: whether a last window may reach over the edge.
        count_include_pad: whether the zeros of the padding count as elements.
        divisor_override: divides the sum instead of the number of elements.
    """

    _function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """``input (N, C, *lengths)`` or ``(C, *lengths)``, pooled."""
        return self._function(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
            self.divisor_override,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The sizes."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPool):
    """The mean of each window of ``(N, C, H, W)``. Example: ``(8, 3, 32, 32) -> AvgPool2d(2) -> (8, 3, 16, 16)``."""

    _function = staticmethod(F.avg_pool2d)


class AvgPool3d(_AvgPool):
    """The mean of each window of ``(N, C, D, H, W)``."""

    _function = staticmethod(F.avg_pool3d)


class _LPPool(Module):
    """``sum(x ** p) ** (1 / p)``, ``p = norm_type``, over each window; at ``inf`` the largest magnitude.

    Args:
        norm_type: p.
        kernel_size: the window, one length or one for each dimension.
        stride: step of the window; by default windows lie side by side.
        ceil_mode: whether a last window may reach over the edge.
    """

    _function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        """``input (N, C, *lengths)`` or ``(C, *lengths)``, pooled."""
        return self._function(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """The p-norm of each window of ``(N, C, L)``. Example: ``[[3., 4.]] -> LPPool1d(2, 2) -> [[5.]]``."""

    _function = staticmethod(F.lp_pool1d)


class LPPool2d(_LPPool):
    """The p-norm of each window of ``(N, C, H, W)``."""

    _function = staticmethod(F.lp_pool2d)


class LPPool3d(_LPPool):
    """The p-norm of each window of ``(N, C, D, H, W)``."""

    _function = staticmethod(F.lp_pool3d)


# ---- as many windows as are asked for ----------------------------------------------------------------------------


class _AdaptivePool(Module):
    """Pooling over ``output_size`` windows, whatever the input's size; None for a dimension keeps its length."""

    _function: ClassVar[Callable[..., Any]]

    def __init__(self, output_size: Wanted) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Any:
        """``input (N, C, *lengths)`` or ``(C, *lengths)``, pooled."""
        return self._function(input, self.output_size)

    def extra_repr(self) -> str:
        """The size."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptivePool):
    """Means over ``output_size`` windows of ``(N, C, L)``; see :func:`functional.adaptive_avg_pool2d`."""

    _function = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptivePool):
    """Means over ``output_size`` windows of ``(N, C, H, W)``; see :func:`functional.adaptive_avg_pool2d`.

    Example: ``(8, 3, 7, 7) -> AdaptiveAvgPool2d(1) -> (8, 3, 1, 1)``.
    """

    _function = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptivePool):
    """Means over ``output_size`` windows of ``(N, C, D, H, W)``; see :func:`functional.adaptive_avg_pool2d`."""

    _function = staticmethod(F.adaptive_avg_pool3d)


class _AdaptiveMaxPool(_AdaptivePool):
    """Maxima over ``output_size`` windows; with ``return_indices`` also where they were."""

    def __init__(self, output_size: Wanted, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        """``input (N, C, *lengths)`` or ``(C, *lengths)``, pooled; a pair with the indices if asked for."""
        return self._function(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maxima over ``output_size`` windows of ``(N, C, L)``; see :func:`functional.adaptive_max_pool2d`."""

    _function = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Maxima over ``output_size`` windows of ``(N, C, H, W)``; see :func:`functional.adaptive_max_pool2d`."""

    _function = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Maxima over ``output_size`` windows of ``(N, C, D, H, W)``; see :func:`functional.adaptive_max_pool2d`."""

    _function = staticmethod(F.adaptive_max_pool3d)
