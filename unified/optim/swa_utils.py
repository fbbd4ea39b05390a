"""Averages of a model's parameters over training: stochastic weight averaging and exponential moving averages."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from unified._dispatch import tracing
from unified._dtype import int32
from unified._tensor import Tensor
from unified.autograd.grad_mode import no_grad
from unified.errors import ArgumentError
from unified.nn.module import Module
from unified.nn.normalization_statistics import _BatchNorm
from unified.ops.creation import zeros
from unified.ops.search import where
from unified.optim._many import foreach_toward
from unified.optim.lr_scheduler.swa import SWALR

__all__ = [
    "AveragedModel", "SWALR", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn",
    "update_bn",
]  # fmt: skip

Average = Callable[[Tensor, Tensor, Tensor], Tensor]
MultiAverage = Callable[[Sequence[Tensor], Sequence[Tensor], Tensor], None]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """``decay * averaged + (1 - decay) * current``, of one parameter.

    Raises:
        ArgumentError: ``decay`` lies outside of [0, 1].
    """
    _check_decay(decay)

    def average(averaged: Tensor, current: Tensor, count: Tensor) -> Tensor:
        return averaged * decay + current * (1.0 - decay)

    return average


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverage:
    """The same of all parameters in one op; rebinds the first list's Tensors.

    Raises:
        ArgumentError: ``decay`` lies outside of [0, 1].
    """
    _check_decay(decay)
    return lambda averaged, current, count: _move(averaged, current, 1.0 - decay)


def get_swa_avg_fn() -> Average:
    """The mean of all models so far, of one parameter (Izmailov et al., UAI 2018)."""

    def average(averaged: Tensor, current: Tensor, count: Tensor) -> Tensor:
        return averaged + (current - averaged) / (count + 1)

    return average


def get_swa_multi_avg_fn() -> MultiAverage:
    """The same of all parameters in one op; rebinds the first list's Tensors."""
    return lambda averaged, current, count: _move(averaged, current, 1.0 / (count + 1))


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ArgumentError(f"decay must lie in [0, 1], but it is {decay}")


def _move(averaged: Sequence[Tensor], current: Sequence[Tensor], weight: Tensor | float) -> None:
    for target, result in zip(averaged, foreach_toward(averaged, current, weight), strict=True):
        target.copy_(result)


class AveragedModel(Module):
    """A copy of a model whose parameters are an average of the model's: ``update_parameters(model)`` adds to it.

    The first update copies. An update may be part of a compiled step.

    Args:
        model: what to average; it is copied.
        device: where the copy lives; None for where the model does.
        avg_fn: ``(averaged, current, number averaged) -> averaged``, of one parameter.
        multi_avg_fn: the same of lists, which rebinds the first list's Tensors; without either, their mean.
        use_buffers: averages buffers too; otherwise they follow the model's.

    Example: ``AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999))``.

    Raises:
        ArgumentError: both functions are given.
    """

    def __init__(
        self, model: Module, device: Any = None, avg_fn: Average | None = None,
        multi_avg_fn: MultiAverage | None = None, use_buffers: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ArgumentError("AveragedModel takes avg_fn or multi_avg_fn, not both")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        first = next(itertools.chain(model.parameters(), model.buffers()), None)
        count = zeros((), dtype=int32, device=device)
        self.register_buffer("n_averaged", count if first is None else count.to(backend=first.backend))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The averaged model's own."""
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Takes the model's present parameters into the average."""
        held, fresh = _members(self.module, self.use_buffers), _members(model, self.use_buffers)
        current = [tensor.detach().to(device=average.device) for average, tensor in zip(held, fresh, strict=True)]
        count: Tensor = self.n_averaged
        traced = tracing() is not None
        if not traced and int(count) == 0:
            results = current
        else:
            results = self._averages([tensor.detach() for tensor in held], current, count)
            if traced:  # one program serves the first update and all others
                first = count == 0
                results = [where(first, new, moved) for new, moved in zip(current, results, strict=True)]
        for average, result in zip(held, results, strict=True):
            average.copy_(result.to(average.dtype))
        if not self.use_buffers:
            for own, buffer in zip(self.module.buffers(), model.buffers(), strict=True):
                own.copy_(buffer.detach().to(device=own.device))
        count.add_(1)

    def _averages(self, averaged: list[Tensor], current: list[Tensor], count: Tensor) -> list[Tensor]:
        if self.avg_fn is not None:
            return [self.avg_fn(*pair, count) for pair in zip(averaged, current, strict=True)]
        function = self.multi_avg_fn or get_swa_multi_avg_fn()
        wide = [tensor if tensor.dtype.is_inexact else tensor.float() for tensor in averaged]
        function(wide, [new.to(old.dtype) for old, new in zip(wide, current, strict=True)], count)
        return wide


def _members(module: Module, buffers: bool) -> list[Tensor]:
    return [*module.parameters(), *(module.buffers() if buffers else ())]


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Takes the running statistics of all batch norms in ``model`` anew, as means over the batches of ``loader``.

    Args:
        loader: inputs of the model, or tuples or lists that start with one.
        model: left in the mode in which it was.
        device: where inputs are moved first.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    momenta, training = [norm.momentum for norm in norms], model.training
    try:
        model.train()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        for batch in loader:
            inputs = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(inputs if device is None else inputs.to(device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train(training)
