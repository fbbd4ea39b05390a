"""Stochastic gradient descent, plain, with momentum, and averaged."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from unified._tensor import Tensor
from unified.ops.search import where
from unified.optim._options import require
from unified.optim._update import Update
from unified.optim.optimizer import Optimizer, Params


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum (Sutskever et al., ICML 2013) in PyTorch's formulation.

    Args:
        params: Tensors, or dicts with ``params`` and options.
        lr: learning rate.
        momentum: share of the last velocity that stays.
        dampening: share of the gradient that is left out of the velocity, after the first step.
        weight_decay: adds ``weight_decay * param`` to the gradient.
        nesterov: looks ahead; needs momentum and no dampening.
        maximize: climbs instead.
        foreach, fused: accepted, see :class:`Optimizer`.
        differentiable: lets gradients flow through the step, see :class:`Optimizer`.

    Example: ``SGD(model.parameters(), lr=0.1, momentum=0.9)``.

    Raises:
        ArgumentError: an option has a value that makes no sense.
    """

    not_negative = ("lr", "momentum", "weight_decay")

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-3, momentum: float = 0.0, dampening: float = 0.0,
        weight_decay: float | Tensor = 0.0, nesterov: bool = False, *, maximize: bool = False,
        foreach: bool | None = None, differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "foreach": foreach, "differentiable": differentiable,
            "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _validate(self, options: Mapping[str, Any]) -> None:
        if options["nesterov"]:
            momentum, dampening = options["momentum"], options["dampening"]
            fits = momentum > 0 and dampening == 0
            require(fits, self, "nesterov needs a momentum above 0 and no dampening", (momentum, dampening))

    def _numbers(self, options: Mapping[str, Any]) -> dict[str, float]:
        return {"momentum": float(options["momentum"]), "dampening": float(options["dampening"])}

    def _flags(self, options: Mapping[str, Any]) -> dict[str, Hashable]:
        return {**super()._flags(options), "nesterov": bool(options["nesterov"])}

    def _moments(self, options: Mapping[str, Any], kind: Hashable = None) -> tuple[str, ...]:
        return ("momentum_buffer",) if options["momentum"] else ()

    def _scalars(self, options: Mapping[str, Any]) -> dict[str, float]:
        return {"step": 0.0} if options["momentum"] and options["dampening"] else {}

    @staticmethod
    def _update(update: Update) -> None:
        direction = update.grad
        if "momentum_buffer" in update:
            gained = direction
            if "step" in update:  # PyTorch starts a velocity as the first gradient itself, not damped
                gained = direction * where(update["step"] > 1.0, 1.0 - update["dampening"], 1.0)
            velocity = update["momentum_buffer"] = update["momentum_buffer"] * update["momentum"] + gained
            direction = direction + velocity * update["momentum"] if update["nesterov"] else velocity
        update.param = update.param - direction * update["lr"]


class ASGD(Optimizer):
    """SGD whose iterates are averaged (Polyak and Juditsky, 1992; Bottou's schedule), in ``state[param]["ax"]``.

    Args:
        params, lr, weight_decay, maximize, foreach, capturable, differentiable: as for :class:`SGD`.
        lambd: decay of parameters, and of the step size.
        alpha: power of the step size's decay: ``lr / (1 + lambd * lr * step) ** alpha``.
        t0: step after which averaging starts.
    """

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-2, lambd: float = 1e-4, alpha: float = 0.75, t0: float = 1e6,
        weight_decay: float = 0.0, foreach: bool | None = None, maximize: bool = False, differentiable: bool = False,
        capturable: bool = False,
    ) -> None:  # fmt: skip
        defaults = {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _numbers(self, options: Mapping[str, Any]) -> dict[str, float]:
        return {name: float(options[name]) for name in ("lambd", "alpha", "t0")}

    def _moments(self, options: Mapping[str, Any], kind: Hashable = None) -> tuple[str, ...]:
        return ("ax",)

    def _scalars(self, options: Mapping[str, Any]) -> dict[str, float]:
        return {"step": 0.0, "eta": float(options["lr"]), "mu": 1.0}

    @staticmethod
    def _update(update: Update) -> None:
        count, rate, lambd = update["step"], update["lr"], update["lambd"]
        eta = where(count > 1.0, update["eta"], rate)  # a schedule may have changed lr before the first step
        update.param = update.param * (1.0 - eta * lambd) - update.grad * eta
        mean = update["ax"].toward(update.param, update["mu"])
        starts = update["mu"] == 1.0
        update["ax"] = mean.each(lambda moved, param: where(starts, param, moved), update.param)
        update["eta"] = rate / (1.0 + lambd * rate * count) ** update["alpha"]
        update["mu"] = 1.0 / (count - update["t0"]).clamp(min=1.0)
