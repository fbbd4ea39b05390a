"""Normalisation of channels by statistics of a batch or of each instance, and running statistics of both."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

from unified._dtype import DType, int32
from unified._tensor import Tensor
from unified.errors import ShapeError, UnsupportedOpError
from unified.nn import functional as F
from unified.nn import init
from unified.nn.functional.normalization import batch_norm_train
from unified.nn.lazy import LazyModuleMixin
from unified.nn.module import Module
from unified.nn.parameter import Parameter, UninitializedBuffer, UninitializedParameter
from unified.ops.creation import empty, ones, zeros


class _Statistics(Module):
    """What batch and instance norms share: a scale, a shift and running statistics for each channel.

    Args:
        num_features: channels C.
        eps: added to the variance.
        momentum: weight of the newest batch in the running statistics; None for the mean of all batches.
        affine: whether ``weight`` exists.
        track_running_stats: whether running statistics exist; without them the batch's own are always used.
        bias: whether ``bias`` exists besides ``weight``.
    """

    ranks: ClassVar[tuple[int, ...]]
    """Dimensions that an input may have."""

    _version = 2

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

    def _complete(self, state: dict[str, Any], prefix: str, metadata: dict[str, Any]) -> None:
        """Before version 2 there was no count of batches, and a state dict without a version may lack it."""
        if metadata.get("version", 1) < 2 and self.num_batches_tracked is not None:
            state.setdefault(prefix + "num_batches_tracked", self.num_batches_tracked)

    def _check_rank(self, input: Tensor) -> None:
        if input.ndim not in self.ranks:
            expected = " or ".join(f"{rank}D" for rank in self.ranks)
            raise ShapeError(f"expected {expected} input (got {input.ndim}D input)")

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Statistics):
    def forward(self, input: Tensor) -> Tensor:
        """``input (N, C, ...)``, normalised.

        Raises:
            ShapeError: the number of dimensions is not this layer's, or the channels do not fit.
            ArgumentError: training, and ``eps`` is not positive.
        """
        self._check_rank(input)
        training = self.training
        mean, var, batches = self.running_mean, self.running_var, self.num_batches_tracked
        if not training or batches is None:
            own = training or mean is None
            return F.batch_norm(input, mean, var, self.weight, self.bias, own, self.momentum or 0.0, self.eps)
        if self.momentum is None:
            normalized = self._averaging(input, mean, var, batches)
        else:
            normalized = F.batch_norm(input, mean, var, self.weight, self.bias, True, self.momentum, self.eps)
        batches.add_(1)
        return normalized

    def _averaging(self, input: Tensor, mean: Tensor, var: Tensor, batches: Tensor) -> Tensor:
        """The running statistics become the mean of all batches: the k-th batch weighs 1 / k."""
        out, batch_mean, batch_var, *_ = batch_norm_train(input, mean, var, self.weight, self.bias, 1.0, self.eps)
        count = (batches + 1).to(mean.dtype)
        mean.copy_(mean + (batch_mean.detach() - mean) / count)
        var.copy_(var + (batch_var.detach() - var) / count)
        normalized: Tensor = out
        return normalized


class BatchNorm1d(_BatchNorm):
    """Batch norm over ``(N, C)`` or ``(N, C, L)``; Ioffe and Szegedy (2015)."""

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch norm over ``(N, C, H, W)``; Ioffe and Szegedy (2015)."""

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch norm over ``(N, C, D, H, W)``; Ioffe and Szegedy (2015)."""

    ranks = (5,)


class SyncBatchNorm(_BatchNorm):
    """Batch norm over ``(N, C, ...)``, whose statistics would be those of all processes: here there is one.

    Args:
        num_features, eps, momentum, affine, track_running_stats, bias: as of :class:`BatchNorm2d`.
        process_group: None.

    Raises:
        UnsupportedOpError: a process group is given; there is no communication between processes.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        if process_group is not None:
            raise UnsupportedOpError(
                "SyncBatchNorm: statistics cannot be shared between processes; leave process_group out, and each "
                "process normalises by its own"
            )
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.process_group = process_group

    def _check_rank(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ShapeError(f"expected at least 2D input (got {input.ndim}D input)")
        if input.shape[1] == 0:
            raise ShapeError("SyncBatchNorm number of input channels should be non-zero")

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """``module`` with a SyncBatchNorm in the place of each batch norm in it, holding the same Tensors.

        Raises:
            UnsupportedOpError: a process group is given.
        """
        converted = module
        if isinstance(module, _BatchNorm):
            shape, has_bias = module.num_features, module.bias is not None
            converted = cls(
                shape, module.eps, module.momentum, module.affine, module.track_running_stats, process_group,
                bias=has_bias,
            )  # fmt: skip
            for registry in ("_parameters", "_buffers"):
                converted.__dict__[registry].update(module.__dict__[registry])
            converted.training = module.training
        for name, child in module.named_children():
            converted.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return converted


class _InstanceNorm(_Statistics):
    """Normalises each channel of each instance; Ulyanov et al. (2016).

    Args:
        num_features: channels C.
        eps: added to the variance.
        momentum: weight of the newest batch in the running statistics.
        affine: whether ``weight`` exists.
        track_running_stats: whether running statistics exist, which then are what normalises in evaluation.
        bias: whether ``bias`` exists besides ``weight``.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """``input (N, C, ...)`` or ``(C, ...)``, normalised.

        Raises:
            ShapeError: the number of dimensions is not this layer's, or with ``affine`` the channels do not fit.
        """
        self._check_rank(input)
        batched = input.ndim == self.ranks[-1]
        channel = 1 if batched else 0
        if input.shape[channel] != self.num_features:
            found = f"input's size at dim={channel} to match num_features ({self.num_features})"
            if self.affine:
                raise ShapeError(f"expected {found}, but got: {input.shape[channel]}.")
            warnings.warn(
                f"expected {found}, but got {input.shape[channel]}; with affine=False num_features is not used",
                stacklevel=2,
            )
        normalized: Tensor = F.instance_norm(
            input if batched else input.unsqueeze(0),
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            self.momentum or 0.0,
            self.eps,
        )
        return normalized if batched else normalized.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    """Instance norm over ``(N, C, L)`` or ``(C, L)``; Ulyanov et al. (2016)."""

    ranks = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Instance norm over ``(N, C, H, W)`` or ``(C, H, W)``; Ulyanov et al. (2016)."""

    ranks = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Instance norm over ``(N, C, D, H, W)`` or ``(C, D, H, W)``; Ulyanov et al. (2016)."""

    ranks = (4, 5)


class _LazyStatistics(LazyModuleMixin, _Statistics):
    """A norm that takes ``num_features`` from ``input.shape[1]`` of its first input.

    Args:
        eps, momentum, affine, track_running_stats, bias: as of the norm that it becomes.
    """

    inferred = "num_features"

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(0, eps, momentum, False, False)
        given = (eps, momentum, affine, track_running_stats, device, dtype)
        self.__dict__["_configuration"] = (given, {"bias": bias})  # the norm that it becomes has other defaults
        self.affine = affine
        self.track_running_stats = track_running_stats
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        if affine:
            self.weight = UninitializedParameter(**place)
            if bias:
                self.bias = UninitializedParameter(**place)
        if track_running_stats:
            self.running_mean = UninitializedBuffer(**place)
            self.running_var = UninitializedBuffer(**place)
            self.num_batches_tracked = zeros((), dtype=int32, device=device)

    def reset_parameters(self) -> None:
        """As of any norm, once the shapes are known."""
        if not self.has_uninitialized_params() and self.num_features != 0:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        """Takes ``num_features`` from ``input.shape[1]``."""
        self.num_features = input.shape[1]
        if self.has_uninitialized_params():
            for held in (self.weight, self.bias, self.running_mean, self.running_var):
                if held is not None:
                    held.materialize((self.num_features,))
            self.reset_parameters()


class LazyBatchNorm1d(_LazyStatistics, _BatchNorm):
    """A :class:`BatchNorm1d` that takes ``num_features`` from its first input."""

    cls_to_become = BatchNorm1d
    ranks = BatchNorm1d.ranks


class LazyBatchNorm2d(_LazyStatistics, _BatchNorm):
    """A :class:`BatchNorm2d` that takes ``num_features`` from its first input."""

    cls_to_become = BatchNorm2d
    ranks = BatchNorm2d.ranks


class LazyBatchNorm3d(_LazyStatistics, _BatchNorm):
    """A :class:`BatchNorm3d` that takes ``num_features`` from its first input."""

    cls_to_become = BatchNorm3d
    ranks = BatchNorm3d.ranks


class LazyInstanceNorm1d(_LazyStatistics, _InstanceNorm):
    """A :class:`InstanceNorm1d` that takes ``num_features`` from its first input."""

    cls_to_become = InstanceNorm1d
    ranks = InstanceNorm1d.ranks


class LazyInstanceNorm2d(_LazyStatistics, _InstanceNorm):
    """A :class:`InstanceNorm2d` that takes ``num_features`` from its first input."""

    cls_to_become = InstanceNorm2d
    ranks = InstanceNorm2d.ranks


class LazyInstanceNorm3d(_LazyStatistics, _InstanceNorm):
    """A :class:`InstanceNorm3d` that takes ``num_features`` from its first input."""

    cls_to_become = InstanceNorm3d
    ranks = InstanceNorm3d.ranks
