"""Normalisation of a layer, of groups of channels and of neighbouring channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unified._dtype import DType
from unified._tensor import Tensor
from unified.errors import ArgumentError, ShapeError
from unified.nn import functional as F
from unified.nn import init
from unified.nn.module import Module
from unified.nn.parameter import Parameter
from unified.ops.creation import empty


def _shape(normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    return (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)


class LayerNorm(Module):
    """Normalises over the last dimensions; Ba et al. (2016).

    Args:
        normalized_shape: lengths of those dimensions.
        eps: added to the variance.
        elementwise_affine: whether ``weight`` exists.
        bias: whether ``bias`` exists besides.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        shape = self.normalized_shape
        self.register_parameter("weight", Parameter(empty(*shape, **place)) if elementwise_affine else None)
        self.register_parameter("bias", Parameter(empty(*shape, **place)) if elementwise_affine and bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """``input``, normalised."""
        normalized: Tensor = F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)
        return normalized

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """Divides by the root mean square over the last dimensions; Zhang and Sennrich (2019).

    Args:
        normalized_shape: lengths of those dimensions.
        eps: added to the mean square; None for the dtype's epsilon.
        elementwise_affine: whether ``weight`` exists.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        weight = Parameter(empty(*self.normalized_shape, device=device, dtype=dtype)) if elementwise_affine else None
        self.register_parameter("weight", weight)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        """``input``, normalised."""
        normalized: Tensor = F.rms_norm(input, self.normalized_shape, self.weight, self.eps)
        return normalized

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """Normalises each group of channels; Wu and He (2018).

    Args:
        num_groups: how many.
        num_channels: channels C, a multiple of it.
        eps: added to the variance.
        affine: whether ``weight`` exists.
        bias: whether ``bias`` exists besides.

    Raises:
        ArgumentError: the channels cannot be split into the groups.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise ArgumentError(f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(empty(num_channels, **place)) if affine else None)
        self.register_parameter("bias", Parameter(empty(num_channels, **place)) if affine and bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """``input (N, C, ...)``, normalised."""
        normalized: Tensor = F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)
        return normalized

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    """``input / (k + alpha * mean of the squares of size neighbouring channels) ** beta``; Krizhevsky et al. (2012).

    Args:
        size: how many channels.
        alpha, beta, k: as in the formula.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        """``input (N, C, ...)``, normalised."""
        normalized: Tensor = F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)
        return normalized

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class CrossMapLRN2d(LocalResponseNorm):
    """:class:`LocalResponseNorm` of ``(N, C, H, W)`` over ``(size - 1) // 2`` channels on either side.

    The sum is divided by ``size``, also an even one. Unlike PyTorch's, whose window never lets go of the first
    channel, each window holds its own channels only.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> None:
        super().__init__(size, alpha, beta, k)

    def forward(self, input: Tensor) -> Tensor:
        """``input (N, C, H, W)``, normalised.

        Raises:
            ShapeError: ``input`` has not four dimensions.
        """
        if input.ndim != 4:
            raise ShapeError(f"CrossMapLRN2d: Expected input to be 4D, got {input.ndim}D instead.")
        width = (self.size - 1) // 2 * 2 + 1
        alpha = self.alpha * width / self.size
        normalized: Tensor = F.local_response_norm(input, width, alpha, self.beta, self.k)
        return normalized
