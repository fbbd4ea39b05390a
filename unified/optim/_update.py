"""One update of many parameters as one op, whatever the optimiser: its rule is a static argument of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from unified._dispatch import composite
from unified._tensor import Tensor
from unified.ops.complex import view_as_complex, view_as_real
from unified.ops.elementwise import Operand
from unified.optim._many import Many


class Rule(NamedTuple):
    """What distinguishes one optimiser's update from another's. Hashable: it is part of the program."""

    function: Callable[[Update], None]
    moments: tuple[str, ...]
    scalars: tuple[str, ...]
    numbers: tuple[str, ...]
    flags: tuple[tuple[str, Hashable], ...]
    decay: str | None
    """Weight decay: ``"coupled"`` into the gradient, ``"decoupled"`` into the parameter, None within the rule."""


class Update(dict[str, Any]):
    """What a rule works on: ``param`` and ``grad``, and by name the moments, scalars, numbers and flags.

    A rule assigns the new ``param`` and ``self[moment]``. ``self["step"]`` counts this update already; the
    gradient has its sign turned by ``maximize``; weight decay is done.
    """

    param: Many
    grad: Many
    decays: bool


@composite
def optimizer_update(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    moments: Sequence[Tensor],
    scalars: Sequence[Tensor],
    numbers: Sequence[Operand],
    rule: Rule,
    decays: bool,
) -> tuple[Tensor, ...]:
    """The new params, then the moments, one kind after the other, then the scalars.

    Complex parameters and all that belongs to them are updated as pairs of real numbers, as in PyTorch.
    """
    count = len(params)
    split = [moments[start : start + count] for start in range(0, len(moments), count)]
    pairs = [param.is_complex() for param in params]
    update = Update(rule.flags)
    update.update(zip(rule.numbers, numbers, strict=True))
    update.update(zip(rule.scalars, scalars, strict=True))
    update.update({name: Many.of(_real(held, pairs)) for name, held in zip(rule.moments, split, strict=True)})
    update.param, update.grad, update.decays = Many.of(_real(params, pairs)), Many.of(_real(grads, pairs)), decays
    if update.get("maximize"):
        update.grad = -update.grad
    if decays and rule.decay == "coupled":
        update.grad = update.grad + update.param * update["weight_decay"]
    elif decays and rule.decay == "decoupled":
        update.param = update.param * (1.0 - update["lr"] * update["weight_decay"])
    if "step" in update:
        update["step"] = update["step"] + 1.0
    rule.function(update)
    results: list[Tensor] = _restored(update.param, params, pairs)
    for name, held in zip(rule.moments, split, strict=True):
        results += _restored(update[name], held, pairs)
    results += [update[name].to(scalar.dtype) for name, scalar in zip(rule.scalars, scalars, strict=True)]
    return tuple(results)


def _real(tensors: Sequence[Tensor], pairs: Sequence[bool]) -> list[Tensor]:
    return [view_as_real(t) if pair and t.is_complex() else t for t, pair in zip(tensors, pairs, strict=True)]


def _restored(updated: Many, before: Sequence[Tensor], pairs: Sequence[bool]) -> list[Tensor]:
    return [
        (view_as_complex(new) if pair and old.is_complex() else new).to(old.dtype)
        for new, old, pair in zip(updated.tensors, before, pairs, strict=True)
    ]


def correction(count: Any, log_beta: Any) -> Any:
    """``1 - beta ** count``, accurate for beta near 1; ``log_beta`` may be minus infinity."""
    return -(count * log_beta).expm1()
