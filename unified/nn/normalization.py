"""Normalisation layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from unified._dtype import DType, int32
from unified._tensor import Tensor
from unified.errors import ArgumentError, ShapeError
from unified.nn import functional as F
from unified.nn import init
from unified.nn.functional.normalization import batch_norm_train
from unified.nn.module import Module
from unified.nn.parameter import Parameter
from unified.ops.creation import empty, ones, zeros


class _BatchNorm(Module):
    """What BatchNorm1d, BatchNorm2d and BatchNorm3d share.

    Args:
        num_features: channels C.
        eps: added to the variance.
        momentum: weight of the newest batch in the running statistics; None for the mean of all batches.
        affine: whether ``weight`` exists.
        track_running_stats: whether running statistics exist; without them the batch's own are always used.
        bias: whether ``bias`` exists besides ``weight``.
    """

    ranks: ClassVar[tuple[int, ...]]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(empty(num_features, **place)) if affine else None)
        self.register_parameter("bias", Parameter(empty(num_features, **place)) if affine and bias else None)
        tracked = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, **place) if tracked else None)
        self.register_buffer("running_var", ones(num_features, **place) if tracked else None)
        self.register_buffer("num_batches_tracked", zeros((), dtype=int32, device=device) if tracked else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batch seen."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and the running statistics of :meth:`reset_running_stats`."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """``input (N, C, ...)``, normalised.

        Raises:
            ShapeError: the number of dimensions is not this layer's, or the channels do not fit.
        """
        if input.ndim not in self.ranks:
            expected = " or ".join(f"{rank}D" for rank in self.ranks)
            raise ShapeError(f"expected {expected} input (got {input.ndim}D input)")
        training = self.training
        mean, var, batches = self.running_mean, self.running_var, self.num_batches_tracked
        if training and batches is not None:
            batches.add_(1)
            if self.momentum is None:
                return self._averaging(input, mean, var, batches)
        momentum = 0.0 if self.momentum is None else self.momentum
        if training and mean is not None:
            return F.batch_norm(input, mean, var, self.weight, self.bias, True, momentum, self.eps)
        return F.batch_norm(input, mean, var, self.weight, self.bias, training or mean is None, momentum, self.eps)

    def _averaging(self, input: Tensor, mean: Tensor, var: Tensor, batches: Tensor) -> Tensor:
        """The running statistics become the mean of all batches: the k-th batch weighs 1 / k."""
        out, batch_mean, batch_var, *_ = batch_norm_train(input, mean, var, self.weight, self.bias, 1.0, self.eps)
        count = batches.to(mean.dtype)
        mean.copy_(mean + (batch_mean.detach() - mean) / count)
        var.copy_(var + (batch_var.detach() - var) / count)
        normalized: Tensor = out
        return normalized

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch norm over ``(N, C)`` or ``(N, C, L)``; Ioffe and Szegedy (2015)."""

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch norm over ``(N, C, H, W)``; Ioffe and Szegedy (2015)."""

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch norm over ``(N, C, D, H, W)``; Ioffe and Szegedy (2015)."""

    ranks = (5,)


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
