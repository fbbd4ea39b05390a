"""Optimisers beyond PyTorch's: Lion and LAMB."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from unified._tensor import Tensor
from unified.ops.search import where
from unified.optim._options import beta_numbers
from unified.optim._update import Update, correction
from unified.optim.adam import move_moments
from unified.optim.optimizer import Optimizer, Params


class Lion(Optimizer):
    """Steps of one size, by the sign of a running mean (Chen et al., NeurIPS 2023, https://arxiv.org/abs/2302.06675).

    Algorithm 2 of the paper: ``param -= lr * (sign(beta1 * m + (1 - beta1) * grad) + weight_decay * param)``, then
    ``m = beta2 * m + (1 - beta2) * grad``.

    Args:
        params: Tensors, or dicts with ``params`` and options.
        lr: learning rate; 3 to 10 times smaller than for :class:`AdamW`.
        betas: weight of the mean in the step, and its decay.
        weight_decay: as written above.
        maximize: climbs instead.
        foreach, capturable: accepted, see :class:`Optimizer`.
        differentiable: lets gradients flow through the step, see :class:`Optimizer`.

    Raises:
        ArgumentError: an option has a value that makes no sense.
    """

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-4, betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float | Tensor = 0.0, *, maximize: bool = False, foreach: bool | None = None,
        capturable: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        defaults = {
            "lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _numbers(self, options: Mapping[str, Any]) -> dict[str, float]:
        return beta_numbers(options)

    def _decay(self, options: Mapping[str, Any]) -> str | None:
        return "decoupled"

    def _moments(self, options: Mapping[str, Any], kind: Hashable = None) -> tuple[str, ...]:
        return ("exp_avg",)

    def _scalars(self, options: Mapping[str, Any]) -> dict[str, float]:
        return {}

    @staticmethod
    def _update(update: Update) -> None:
        grad, mean = update.grad, update["exp_avg"]
        direction = mean * update["beta1"] + grad * update["1-beta1"]
        update.param = update.param - direction.sign() * update["lr"]
        update["exp_avg"] = mean * update["beta2"] + grad * update["1-beta2"]


class LAMB(Optimizer):
    """Adam whose step has a size in proportion to its parameter's norm.

    You et al., ICLR 2020 (https://arxiv.org/abs/1904.00962), algorithm 2: with
    ``u = m' / (sqrt(v') + eps) + weight_decay * param``, the bias of both moments corrected,
    ``param -= lr * |param| / |u| * u``; the ratio is 1 where either norm is 0.

    Args:
        params, lr, betas, maximize, foreach, capturable, differentiable: as for :class:`Lion`.
        eps: added to the denominator.
        weight_decay: as written above.

    Raises:
        ArgumentError: an option has a value that makes no sense.
    """

    not_negative = ("lr", "weight_decay", "eps")

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-6,
        weight_decay: float | Tensor = 0.0, *, maximize: bool = False, foreach: bool | None = None,
        capturable: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _numbers(self, options: Mapping[str, Any]) -> dict[str, float]:
        return {**beta_numbers(options), "eps": float(options["eps"])}

    def _decay(self, options: Mapping[str, Any]) -> str | None:
        return None  # within the step, whose norm counts it

    def _moments(self, options: Mapping[str, Any], kind: Hashable = None) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    @staticmethod
    def _update(update: Update) -> None:
        move_moments(update)
        count, param = update["step"], update.param
        first = update["exp_avg"] / correction(count, update["log beta1"])
        second = update["exp_avg_sq"] / correction(count, update["log beta2"])
        step = first / (second.sqrt() + update["eps"])
        if update.decays:
            step = step + param * update["weight_decay"]
        update.param = param - step * (step.each(_trust_ratio, param) * update["lr"])


def _trust_ratio(step: Tensor, param: Tensor) -> Tensor:
    over, under = param.norm(), step.norm()
    nonzero = (over > 0.0) & (under > 0.0)
    return where(nonzero, over / where(nonzero, under, 1.0), 1.0)
