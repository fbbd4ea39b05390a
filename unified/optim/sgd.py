"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unified._dispatch import composite
from unified._tensor import Tensor
from unified.errors import ArgumentError
from unified.optim.optimizer import Optimizer, Params
from unified.optim.param_group import ParamGroup


@composite
def sgd_update(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    momenta: Sequence[Tensor],
    lr: Tensor,
    weight_decay: Tensor | None,
    step: Tensor | None,
    momentum: float,
    dampening: float,
    nesterov: bool,
    maximize: bool,
) -> tuple[Tensor, ...]:
    """The new params, then the new momenta, then the new step count where there is one.

    PyTorch starts a momentum as the first gradient itself, not damped: ``step`` 0 switches ``dampening`` off.
    """
    gain = 1.0 if dampening == 0.0 or step is None else 1.0 - dampening * step.clamp(max=1.0)
    updated, moved = [], []
    for index, (param, grad) in enumerate(zip(params, grads, strict=True)):
        direction = -grad if maximize else grad
        if weight_decay is not None:
            direction = direction + param * weight_decay
        if momentum:
            velocity = momenta[index] * momentum + direction * gain
            moved.append(velocity.to(param.dtype))
            direction = direction + velocity * momentum if nesterov else velocity
        updated.append((param - direction * lr).to(param.dtype))
    return (*updated, *moved, *(() if step is None else (step + 1.0,)))


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

    Example: ``SGD(model.parameters(), lr=0.1, momentum=0.9)``.

    Raises:
        ArgumentError: an option has a value that makes no sense.
    """

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-3, momentum: float = 0.0, dampening: float = 0.0,
        weight_decay: float | Tensor = 0.0, nesterov: bool = False, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize,
        }  # fmt: skip
        self._validate(defaults)
        super().__init__(params, defaults)

    def _validate(self, options: Mapping[str, Any]) -> None:
        for name in ("lr", "momentum", "weight_decay"):
            value = options[name]
            if not isinstance(value, Tensor) and not value >= 0.0:
                raise ArgumentError(f"SGD: {name} must not be negative, but it is {value}")
        if options["nesterov"] and (options["momentum"] <= 0 or options["dampening"] != 0):
            raise ArgumentError("SGD: nesterov needs a momentum above 0 and no dampening")

    def _buffers(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if options["momentum"] else ()

    def _counts(self, options: Mapping[str, Any]) -> bool:
        return bool(options["momentum"] and options["dampening"])

    def _update(self, group: ParamGroup, params: list[Tensor], grads: list[Tensor], step: Tensor | None) -> None:
        momentum = float(group["momentum"])
        momenta = [self.state[param]["momentum_buffer"] for param in params] if momentum else []
        results = sgd_update(
            params, grads, momenta, group["lr"], group["weight_decay"] if group.decays else None, step,
            momentum, float(group["dampening"]), bool(group["nesterov"]), bool(group["maximize"]),
        )  # fmt: skip
        self._store([*params, *momenta, *(() if step is None else (step,))], results)
