"""Adam and AdamW."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from unified._dispatch import composite
from unified._tensor import Tensor
from unified.errors import ArgumentError
from unified.ops.elementwise import maximum
from unified.optim.optimizer import Optimizer, Params
from unified.optim.param_group import ParamGroup


@composite
def adam_update(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    exp_avgs: Sequence[Tensor],
    exp_avg_sqs: Sequence[Tensor],
    max_exp_avg_sqs: Sequence[Tensor],
    step: Tensor,
    lr: Tensor,
    weight_decay: Tensor | None,
    beta1: float,
    beta2: float,
    eps: float,
    decoupled: bool,
    amsgrad: bool,
    maximize: bool,
) -> tuple[Tensor, ...]:
    """The new params, first moments, second moments, their maxima (with ``amsgrad``) and step count.

    Kingma and Ba, ICLR 2015 (https://arxiv.org/abs/1412.6980); ``decoupled`` weight decay is Loshchilov and
    Hutter's, ICLR 2019 (https://arxiv.org/abs/1711.05101); ``amsgrad`` is Reddi et al.'s, ICLR 2018.
    """
    count = step + 1.0
    step_size = lr / _correction(count, beta1)
    root = _correction(count, beta2) ** 0.5
    updated, firsts, seconds, maxima = [], [], [], []
    for index, (param, grad) in enumerate(zip(params, grads, strict=True)):
        dtype = param.dtype
        gradient = -grad if maximize else grad
        decayed = param
        if weight_decay is not None and decoupled:
            decayed = param * (1.0 - lr * weight_decay)
        elif weight_decay is not None:
            gradient = gradient + param * weight_decay
        first = exp_avgs[index] + (gradient - exp_avgs[index]) * (1.0 - beta1)
        second = exp_avg_sqs[index] * beta2 + gradient * gradient * (1.0 - beta2)
        firsts.append(first.to(dtype))
        seconds.append(second.to(dtype))
        if amsgrad:
            second = maximum(max_exp_avg_sqs[index], second)
            maxima.append(second.to(dtype))
        updated.append((decayed - first / (second.sqrt() / root + eps) * step_size).to(dtype))
    return (*updated, *firsts, *seconds, *maxima, count)


def _correction(count: Tensor, beta: float) -> Any:
    """``1 - beta ** count``, accurate for beta near 1."""
    return -(count * math.log(beta)).expm1() if beta else count * 0.0 + 1.0


class Adam(Optimizer):
    """Adam (Kingma and Ba, ICLR 2015), with weight decay added to the gradient.

    Args:
        params: Tensors, or dicts with ``params`` and options.
        lr: learning rate.
        betas: decay of the running means of the gradient and of its square.
        eps: added to the denominator.
        weight_decay: adds ``weight_decay * param`` to the gradient.
        amsgrad: divides by the largest second moment so far (Reddi et al., ICLR 2018).
        maximize: climbs instead.
        decoupled_weight_decay: decays the parameter itself, as :class:`AdamW` does.

    Example: ``Adam(model.parameters(), lr=3e-4)``.

    Raises:
        ArgumentError: an option has a value that makes no sense.
    """

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float | Tensor = 0.0, amsgrad: bool = False, *, maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:  # fmt: skip
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay,
        }  # fmt: skip
        self._validate(defaults)
        super().__init__(params, defaults)

    def _validate(self, options: Mapping[str, Any]) -> None:
        name = type(self).__name__
        for key in ("lr", "eps", "weight_decay"):
            value = options[key]
            if not isinstance(value, Tensor) and not value >= 0.0:
                raise ArgumentError(f"{name}: {key} must not be negative, but it is {value}")
        for index, beta in enumerate(options["betas"]):
            if not 0.0 <= beta < 1.0:
                raise ArgumentError(f"{name}: betas[{index}] must lie in [0, 1), but it is {beta}")

    def _buffers(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        moments = ("exp_avg", "exp_avg_sq")
        return (*moments, "max_exp_avg_sq") if options["amsgrad"] else moments

    def _counts(self, options: Mapping[str, Any]) -> bool:
        return True

    def _update(self, group: ParamGroup, params: list[Tensor], grads: list[Tensor], step: Tensor | None) -> None:
        assert step is not None
        states = [self.state[param] for param in params]
        moments = [[state[name] for state in states] for name in self._buffers(group)]
        maxima = moments[2] if len(moments) > 2 else []
        beta1, beta2 = group["betas"]
        results = adam_update(
            params, grads, moments[0], moments[1], maxima, step, group["lr"],
            group["weight_decay"] if group.decays else None, float(beta1), float(beta2), float(group["eps"]),
            bool(group["decoupled_weight_decay"]), bool(group["amsgrad"]), bool(group["maximize"]),
        )  # fmt: skip
        self._store([*params, *moments[0], *moments[1], *maxima, step], results)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019): ``param -= lr * weight_decay * param``.

    Arguments as for :class:`Adam`; ``weight_decay`` is 0.01 by default.

    Example: ``AdamW(model.parameters(), lr=3e-4, weight_decay=0.1)``.
    """

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float | Tensor = 1e-2, amsgrad: bool = False, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True
        )
