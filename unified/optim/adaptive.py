"""Step sizes of each element's own from past squared gradients: Adagrad, Adadelta, RMSprop; and Rprop."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from unified._tensor import Tensor
from unified.ops.search import where
from unified.optim._options import decay_rate, require
from unified.optim._update import Update
from unified.optim.optimizer import Optimizer, Params


class Adagrad(Optimizer):
    """Divides by the root of all past squared gradients' sum (Duchi et al., JMLR 2011).

    Args:
        params: Tensors, or dicts with ``params`` and options.
        lr: learning rate.
        lr_decay: the rate falls as ``lr / (1 + (step - 1) * lr_decay)``.
        weight_decay: adds ``weight_decay * param`` to the gradient.
        initial_accumulator_value: the sum before the first step.
        eps: added to the denominator.
        foreach, fused: accepted, see :class:`Optimizer`.
        maximize: climbs instead.
        differentiable: lets gradients flow through the step, see :class:`Optimizer`.

    Raises:
        ArgumentError: an option has a value that makes no sense.
    """

    not_negative = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-2, lr_decay: float = 0.0, weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0, eps: float = 1e-10, foreach: bool | None = None, *,
        maximize: bool = False, differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        defaults = {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _numbers(self, options: Mapping[str, Any]) -> dict[str, float]:
        return {"lr_decay": float(options["lr_decay"]), "eps": float(options["eps"])}

    def _moments(self, options: Mapping[str, Any], kind: Hashable = None) -> tuple[str, ...]:
        return ("sum",)

    def _initial(self, name: str, param: Tensor, options: Mapping[str, Any]) -> Tensor:
        first = options["initial_accumulator_value"]
        filled: Tensor = param.detach().full_like(complex(first, first) if param.is_complex() else first)
        return filled

    @staticmethod
    def _update(update: Update) -> None:
        grad = update.grad
        total = update["sum"] = update["sum"] + grad * grad
        rate = update["lr"] / ((update["step"] - 1.0) * update["lr_decay"] + 1.0)
        update.param = update.param - grad / (total.sqrt() + update["eps"]) * rate


class Adadelta(Optimizer):
    """Steps in the parameter's own units, by running means of squared gradients and of squared steps.

    Zeiler, 2012 (https://arxiv.org/abs/1212.5701).

    Args:
        params, weight_decay, maximize, foreach, differentiable: as for :class:`Adagrad`.
        lr: factor of the step.
        rho: decay of the running means.
        eps: added under both roots.
        capturable: accepted, see :class:`Optimizer`.
    """

    not_negative = ("lr", "weight_decay", "eps")

    def __init__(
        self, params: Params, lr: float | Tensor = 1.0, rho: float = 0.9, eps: float = 1e-6,
        weight_decay: float = 0.0, foreach: bool | None = None, *, capturable: bool = False, maximize: bool = False,
        differentiable: bool = False,
    ) -> None:  # fmt: skip
        defaults = {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _validate(self, options: Mapping[str, Any]) -> None:
        require(0.0 <= options["rho"] <= 1.0, self, "rho must lie in [0, 1]", options["rho"])

    def _numbers(self, options: Mapping[str, Any]) -> dict[str, float]:
        return {**decay_rate("rho", options["rho"]), "eps": float(options["eps"])}

    def _moments(self, options: Mapping[str, Any], kind: Hashable = None) -> tuple[str, ...]:
        return ("square_avg", "acc_delta")

    @staticmethod
    def _update(update: Update) -> None:
        grad, eps = update.grad, update["eps"]
        squares = update["square_avg"] = (update["square_avg"] * update["rho"]).add_square(grad, update["1-rho"])
        delta = (update["acc_delta"] + eps).sqrt() / (squares + eps).sqrt() * grad
        update["acc_delta"] = (update["acc_delta"] * update["rho"]).add_square(delta, update["1-rho"])
        update.param = update.param - delta * update["lr"]


class RMSprop(Optimizer):
    """Divides by a running root mean square of gradients (Hinton's lecture 6e); centred, Graves, 2013, equation 38.

    Args:
        params, lr, weight_decay, maximize, foreach, differentiable: as for :class:`Adagrad`.
        alpha: decay of the running mean.
        eps: added to the denominator.
        momentum: share of the last step that stays.
        centered: divides by the standard deviation instead.
        capturable: accepted, see :class:`Optimizer`.
    """

    not_negative = ("lr", "weight_decay", "eps", "momentum", "alpha")

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
        weight_decay: float = 0.0, momentum: float = 0.0, centered: bool = False, capturable: bool = False,
        foreach: bool | None = None, maximize: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        defaults = {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _numbers(self, options: Mapping[str, Any]) -> dict[str, float]:
        alpha = decay_rate("alpha", options["alpha"])
        return {**alpha, "eps": float(options["eps"]), "momentum": float(options["momentum"])}

    def _moments(self, options: Mapping[str, Any], kind: Hashable = None) -> tuple[str, ...]:
        momentum = ("momentum_buffer",) if options["momentum"] > 0 else ()
        return ("square_avg", *momentum, *(("grad_avg",) if options["centered"] else ()))

    @staticmethod
    def _update(update: Update) -> None:
        grad = update.grad
        spread = update["square_avg"] = (update["square_avg"] * update["alpha"]).add_square(grad, update["1-alpha"])
        if "grad_avg" in update:
            mean = update["grad_avg"] = update["grad_avg"].toward(grad, update["1-alpha"])
            spread = spread - mean * mean
        step = grad / (spread.sqrt() + update["eps"])
        if "momentum_buffer" in update:
            step = update["momentum_buffer"] = update["momentum_buffer"] * update["momentum"] + step
        update.param = update.param - step * update["lr"]


class Rprop(Optimizer):
    """Each element's step grows while its gradient keeps its sign, and shrinks when that turns.

    Riedmiller and Braun, ICNN 1993, in the variant without weight backtracking (iRprop-, Igel and Huesken, 2000).

    Args:
        params, maximize, foreach, differentiable: as for :class:`Adagrad`.
        lr: the first step.
        etas: factors that shrink and that grow a step.
        step_sizes: the smallest and the largest step.
        capturable: accepted, see :class:`Optimizer`.
    """

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-2, etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0), *, capturable: bool = False, foreach: bool | None = None,
        maximize: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        defaults = {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _validate(self, options: Mapping[str, Any]) -> None:
        shrink, grow = options["etas"]
        require(0.0 < shrink < 1.0 < grow, self, "etas must lie on either side of 1, above 0", options["etas"])

    def _numbers(self, options: Mapping[str, Any]) -> dict[str, float]:
        (shrink, grow), (least, most) = options["etas"], options["step_sizes"]
        return {"shrink": float(shrink), "grow": float(grow), "least": float(least), "most": float(most)}

    def _moments(self, options: Mapping[str, Any], kind: Hashable = None) -> tuple[str, ...]:
        return ("prev", "step_size")

    def _initial(self, name: str, param: Tensor, options: Mapping[str, Any]) -> Tensor:
        if name == "prev":
            return super()._initial(name, param, options)
        rate = float(options["lr"])
        filled: Tensor = param.detach().full_like(complex(rate, rate) if param.is_complex() else rate)
        return filled

    @staticmethod
    def _update(update: Update) -> None:
        first, rate = update["step"] <= 1.0, update["lr"]
        sign = (update.grad * update["prev"]).sign()

        def resize(size: Tensor, sign: Tensor) -> Tensor:
            size = where(first, rate, size)  # a schedule may have changed lr since construction
            return size * where(sign > 0, update["grow"], where(sign < 0, update["shrink"], 1.0))

        sizes = update["step_size"].each(resize, sign).maximum(update["least"]).minimum(update["most"])
        update["step_size"] = sizes
        kept = update["prev"] = update.grad.each(lambda grad, sign: where(sign < 0, 0.0, grad), sign)
        update.param = update.param - kept.sign() * sizes
