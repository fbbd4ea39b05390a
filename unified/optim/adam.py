"""Adam and what descends from it: AdamW, Adamax, NAdam and RAdam."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar

from unified._dispatch import composite
from unified._tensor import Tensor
from unified.ops.elementwise import Operand
from unified.ops.search import where
from unified.optim._many import Many
from unified.optim._options import beta_numbers
from unified.optim._update import Update, correction
from unified.optim.optimizer import Optimizer, Params


class _Adaptive(Optimizer):
    """What all of them share: two decay rates and ``eps``."""

    not_negative: ClassVar[tuple[str, ...]] = ("lr", "weight_decay", "eps")

    def _numbers(self, options: Mapping[str, Any]) -> dict[str, float]:
        return {**beta_numbers(options), "eps": float(options["eps"])}

    def _moments(self, options: Mapping[str, Any], kind: Hashable = None) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")


def move_moments(update: Update) -> None:
    """Moves the running means of the gradient and of its square on."""
    grad = update.grad
    update["exp_avg"] = update["exp_avg"].toward(grad, update["1-beta1"])
    update["exp_avg_sq"] = (update["exp_avg_sq"] * update["beta2"]).add_square(grad, update["1-beta2"])


_MOMENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
_NUMBERS = ("1-beta1", "log beta1", "beta2", "1-beta2", "log beta2", "eps")


@composite
def adam_update(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    means: Sequence[Tensor],
    squares: Sequence[Tensor],
    largest: Sequence[Tensor],
    numbers: Sequence[Operand],
    decoupled: bool,
) -> tuple[Tensor, ...]:
    """Adam's rule as one op, because frameworks have kernels for it.

    Args:
        largest: the largest second moments so far, or none.
        numbers: step, learning rate, weight decay, and those of ``_NUMBERS``.
        decoupled: whether weight decay acts on the parameter, or on its gradient.

    Returns:
        The new params, means, squares and largest, one kind after the other.
    """
    values: Sequence[Any] = numbers
    count, rate, decay, toward1, log1, beta2, toward2, log2, eps = values
    param, grad = Many.of(params), Many.of(grads)
    if isinstance(decay, Tensor) or decay:
        if decoupled:
            param = param * (1.0 - rate * decay)
        else:
            grad = grad + param * decay
    first = Many.of(means).toward(grad, toward1)
    second = (Many.of(squares) * beta2).add_square(grad, toward2)
    results = [first, second]
    if largest:
        second = Many.of(largest).maximum(second)
        results.append(second)
    root = correction(count, log2).sqrt()
    denominator = second.sqrt() / root + eps
    param = param - first / denominator * (rate / correction(count, log1))
    return tuple([tensor for many in (param, *results) for tensor in many.tensors])


class Adam(_Adaptive):
    """Adam (Kingma and Ba, ICLR 2015, https://arxiv.org/abs/1412.6980), with weight decay added to the gradient.

    Args:
        params: Tensors, or dicts with ``params`` and options.
        lr: learning rate.
        betas: decay of the running means of the gradient and of its square.
        eps: added to the denominator.
        weight_decay: adds ``weight_decay * param`` to the gradient.
        amsgrad: divides by the largest second moment so far (Reddi et al., ICLR 2018).
        foreach, capturable, fused: accepted, see :class:`Optimizer`.
        maximize: climbs instead.
        differentiable: lets gradients flow through the step, see :class:`Optimizer`.
        decoupled_weight_decay: decays the parameter itself, as :class:`AdamW` does.

    Example: ``Adam(model.parameters(), lr=3e-4)``.

    Raises:
        ArgumentError: an option has a value that makes no sense.
    """

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float | Tensor = 0.0, amsgrad: bool = False, *, foreach: bool | None = None,
        maximize: bool = False, capturable: bool = False, differentiable: bool = False, fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:  # fmt: skip
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _moments(self, options: Mapping[str, Any], kind: Hashable = None) -> tuple[str, ...]:
        moments = super()._moments(options, kind)
        return (*moments, "max_exp_avg_sq") if options["amsgrad"] else moments

    def _flags(self, options: Mapping[str, Any]) -> dict[str, Hashable]:
        return {**super()._flags(options), "decoupled": bool(options["decoupled_weight_decay"])}

    def _decay(self, options: Mapping[str, Any]) -> str | None:
        return None  # it is part of the kernel

    @staticmethod
    def _update(update: Update) -> None:
        moments = [name for name in _MOMENTS if name in update]
        held = [update[name].natives if name in update else [] for name in _MOMENTS]
        decay = update["weight_decay"] if update.decays else 0.0
        numbers = [update["step"], update["lr"], decay, *[update[name] for name in _NUMBERS]]
        results = update.param.update("adam_update", update.grad, *held, numbers, update["decoupled"])
        update.param, moved = results[0], results[1:]
        update.update(zip(moments, moved, strict=True))


class AdamW(Adam):
    """Adam with decoupled weight decay: ``param -= lr * weight_decay * param``.

    Loshchilov and Hutter, ICLR 2019 (https://arxiv.org/abs/1711.05101). Arguments as for :class:`Adam`;
    ``weight_decay`` is 0.01 by default.

    Example: ``AdamW(model.parameters(), lr=3e-4, weight_decay=0.1)``.
    """

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float | Tensor = 1e-2, amsgrad: bool = False, *, maximize: bool = False,
        foreach: bool | None = None, capturable: bool = False, differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize, capturable=capturable,
            differentiable=differentiable, fused=fused, decoupled_weight_decay=True,
        )  # fmt: skip


class Adamax(_Adaptive):
    """Adam with the infinity norm of past gradients in the place of their second moment (Kingma and Ba, section 7.1).

    Arguments as for :class:`Adam`; ``lr`` is 0.002 by default.
    """

    def __init__(
        self, params: Params, lr: float | Tensor = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0, foreach: bool | None = None, *, maximize: bool = False,
        differentiable: bool = False, capturable: bool = False,
    ) -> None:  # fmt: skip
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _moments(self, options: Mapping[str, Any], kind: Hashable = None) -> tuple[str, ...]:
        return ("exp_avg", "exp_inf")

    @staticmethod
    def _update(update: Update) -> None:
        grad = update.grad
        first = update["exp_avg"] = update["exp_avg"].toward(grad, update["1-beta1"])
        largest = update["exp_inf"] = (update["exp_inf"] * update["beta2"]).maximum(grad.abs() + update["eps"])
        size = update["lr"] / correction(update["step"], update["log beta1"])
        update.param = update.param - first / largest * size


class NAdam(_Adaptive):
    """Adam with Nesterov momentum (Dozat, ICLR workshop 2016, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ).

    Args:
        params, lr, betas, eps, weight_decay: as for :class:`Adam`.
        momentum_decay: how fast the momentum warms up: it is ``beta1 * (1 - 0.96 ** (step * momentum_decay) / 2)``.
        decoupled_weight_decay: decays the parameter itself, as :class:`AdamW` does.
        foreach, capturable: accepted, see :class:`Optimizer`.
        maximize, differentiable: as for :class:`Adam`.
    """

    not_negative = ("lr", "weight_decay", "eps", "momentum_decay")

    def __init__(
        self, params: Params, lr: float | Tensor = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0, momentum_decay: float = 4e-3, decoupled_weight_decay: bool = False, *,
        foreach: bool | None = None, maximize: bool = False, capturable: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _numbers(self, options: Mapping[str, Any]) -> dict[str, float]:
        cooling = float(options["momentum_decay"]) * math.log(0.96)
        return {**super()._numbers(options), "cooling": cooling}

    def _scalars(self, options: Mapping[str, Any]) -> dict[str, float]:
        return {"step": 0.0, "mu_product": 1.0}

    @staticmethod
    def _update(update: Update) -> None:
        move_moments(update)
        count, rate = update["step"], update["lr"]
        momentum = update["beta1"] * (1.0 - 0.5 * (count * update["cooling"]).exp())
        following = update["beta1"] * (1.0 - 0.5 * ((count + 1.0) * update["cooling"]).exp())
        product = update["mu_product"] = update["mu_product"] * momentum
        denominator = (update["exp_avg_sq"] / correction(count, update["log beta2"])).sqrt() + update["eps"]
        now = update.grad * (rate * (1.0 - momentum) / (1.0 - product))
        ahead = update["exp_avg"] * (rate * following / (1.0 - product * following))
        update.param = update.param - now / denominator - ahead / denominator


class RAdam(_Adaptive):
    """Rectified Adam: adaptive only once the second moment's variance is tractable.

    Liu et al., ICLR 2020 (https://arxiv.org/abs/1908.03265). Arguments as for :class:`NAdam`, without
    ``momentum_decay``; ``lr`` is 0.001 by default.
    """

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0, decoupled_weight_decay: bool = False, *, foreach: bool | None = None,
        maximize: bool = False, capturable: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _numbers(self, options: Mapping[str, Any]) -> dict[str, float]:
        beta2 = float(options["betas"][1])
        longest = 2.0 / (1.0 - beta2) - 1.0
        return {
            **super()._numbers(options), "longest": longest,
            "longest - 2/-log beta2": longest + (2.0 / math.log(beta2) if beta2 else 0.0),
            "longest / ((longest-4)(longest-2))": longest / (((longest - 4.0) * (longest - 2.0)) or 1.0),
        }  # fmt: skip

    @staticmethod
    def _update(update: Update) -> None:
        move_moments(update)
        count = update["step"]
        bias = correction(count, update["log beta2"])
        length = _average_length(count, update)
        tractable = length > 5.0
        inside = where(tractable, length, 6.0)
        scale = update["longest / ((longest-4)(longest-2))"]
        rectifier = ((inside - 4.0) * (inside - 2.0) * scale / inside).sqrt()
        first = update["exp_avg"] * (update["lr"] / correction(count, update["log beta1"]))
        factor = rectifier * bias.sqrt()
        root = update["exp_avg_sq"].sqrt() + update["eps"]
        adapted = first / root * factor
        update.param = update.param - first.each(lambda plain, own: where(tractable, own, plain), adapted)


def _average_length(count: Tensor, update: Update) -> Tensor:
    """``longest - 2 t beta**t / (1 - beta**t)``, without the cancellation that float32 would suffer for small ``t``.

    With ``y = -t log(beta)`` the subtrahend is ``2 t / (e**y - 1)``; while ``y < 1`` it is taken from the Bernoulli
    series of ``y / (e**y - 1)``, whose first term nearly is ``longest``: their difference is a constant.
    """
    y = -(count * update["log beta2"])
    square = y * y
    tail = square * (1.0 / 360.0 - square * (1.0 / 15120.0 - square * (1.0 / 604800.0)))
    early = update["longest - 2/-log beta2"] + count * (1.0 - y / 6.0 + y * tail)
    late = update["longest"] - 2.0 * count / y.expm1()
    return where(y < 1.0, early, late)
