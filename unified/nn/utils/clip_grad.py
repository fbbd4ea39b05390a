"""Clipping of gradients. However many there are, it is two ops: the norm of all, and the product with one factor."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from types import GeneratorType
from typing import Any

from unified._dispatch import composite
from unified._recorded import rebind_all
from unified._tensor import Tensor
from unified.autograd import no_grad
from unified.errors import ArgumentError, AutogradError, OperandError
from unified.ops.creation import tensor
from unified.ops.elementwise import Operand
from unified.ops.joining import stack
from unified.ops.reduction import linalg_vector_norm
from unified.optim._many import Many

Tensors = Tensor | Iterable[Tensor]

_EPS = 1e-6
"""PyTorch's, beside the norm that is divided by."""


@composite
def total_norm(tensors: Sequence[Tensor], norm_type: float) -> Tensor:
    """The ``norm_type``-norm of all elements, by way of each Tensor's own."""
    return linalg_vector_norm(stack([linalg_vector_norm(each, norm_type) for each in tensors]), norm_type)


@composite
def scaled_to_norm(tensors: Sequence[Tensor], norm: Tensor, max_norm: Operand) -> tuple[Tensor, ...]:
    """``tensor * min(max_norm / (norm + 1e-6), 1)`` of each."""
    factor = (max_norm / (norm + _EPS)).clamp(max=1.0)
    scaled = (Many.of(tensors) * factor).tensors
    return tuple([new.to(old.dtype) for new, old in zip(scaled, tensors, strict=True)])


@composite
def clamped(tensors: Sequence[Tensor], limit: Operand) -> tuple[Tensor, ...]:
    """Each, with no element further from 0 than ``limit``."""
    return tuple([each.clamp(-limit, limit) for each in tensors])


def _listed(name: str, tensors: Tensors) -> list[Tensor]:
    given = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    for position, each in enumerate(given):
        if not isinstance(each, Tensor):
            raise OperandError(f"{name}: takes Tensors, and number {position} is a {type(each).__name__}")
    if isinstance(tensors, GeneratorType) and not given:
        warnings.warn(f"{name}: the generator of parameters is empty, no gradient is clipped", stacklevel=3)
    return given


def _grads(parameters: list[Tensor]) -> list[Tensor]:
    found = [param.grad for param in parameters]
    return [grad for grad in found if grad is not None]


def _number(name: str, what: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name}: {what} must be a number or 'inf', not {value!r}") from None


def _norm(name: str, tensors: list[Tensor], norm_type: float, error_if_nonfinite: bool) -> Tensor:
    if not tensors:
        return tensor(0.0)
    norm: Tensor = total_norm(tensors, _number(name, "norm_type", norm_type))
    if error_if_nonfinite and not bool(norm.isfinite()):
        raise AutogradError(
            f"{name}: the total norm of order {norm_type} is {norm.item()}, so the gradients cannot be clipped; to "
            "scale them by it anyway, pass error_if_nonfinite=False"
        )
    return norm


@no_grad()
def get_total_norm(
    tensors: Tensors, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """The norm of all Tensors as if they were one vector, 0-d.

    Args:
        tensors: one or several, of any shapes.
        norm_type: order of the norm; ``"inf"`` or ``float("inf")`` for the largest absolute value.
        error_if_nonfinite: raise where it is NaN or infinite, which takes a look at its value.
        foreach: taken for PyTorch's sake; it is always one op over the list.

    Raises:
        AutogradError: the norm is not finite, if ``error_if_nonfinite``.
        OperandError, ArgumentError: something else than Tensors; an order that is no number.
    """
    return _norm("get_total_norm", _listed("get_total_norm", tensors), norm_type, error_if_nonfinite)


@no_grad()
def clip_grads_with_norm_(
    parameters: Tensors, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Multiplies all gradients by ``max_norm / (total_norm + 1e-6)``, unless that is above 1.

    Args:
        parameters: Tensors with gradients; those without are passed over.
        max_norm: what the norm is to be at most.
        total_norm: what it is, from :func:`get_total_norm`.
        foreach: taken for PyTorch's sake.

    Raises:
        OperandError, ArgumentError: something else than Tensors; a limit that is no number.
    """
    name = "clip_grads_with_norm_"
    limit = _number(name, "max_norm", max_norm)
    grads = _grads(_listed(name, parameters))
    if grads:
        rebind_all(grads, scaled_to_norm(grads, total_norm, limit))


@no_grad()
def clip_grad_norm_(
    parameters: Tensors, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """Scales the gradients of all parameters down, in place, so that their common norm is at most ``max_norm``.

    Args:
        parameters: Tensors with gradients; those without are passed over.
        max_norm: the limit.
        norm_type: order of the norm; ``"inf"`` for the largest absolute value.
        error_if_nonfinite: raise where the norm is NaN or infinite. Not inside ``un.compile``, where it has no value.
        foreach: taken for PyTorch's sake; it is always one op over all gradients.

    Returns:
        The norm before, 0-d.

    Example: ``loss.backward(); nn.utils.clip_grad_norm_(model.parameters(), 1.0); optimizer.step()``.

    Raises:
        AutogradError: the norm is not finite, if ``error_if_nonfinite``; the gradients are as they were.
        OperandError, ArgumentError: something else than Tensors; a limit or an order that is no number.
    """
    name = "clip_grad_norm_"
    limit = _number(name, "max_norm", max_norm)
    grads = _grads(_listed(name, parameters))
    norm = _norm(name, grads, norm_type, error_if_nonfinite)
    if grads:
        rebind_all(grads, scaled_to_norm(grads, norm, limit))
    return norm


@no_grad()
def clip_grad_value_(parameters: Tensors, clip_value: float, foreach: bool | None = None) -> None:
    """Clamps every element of the gradients, in place, to ``[-clip_value, clip_value]``.

    Raises:
        OperandError, ArgumentError: something else than Tensors; a limit that is no number.
    """
    name = "clip_grad_value_"
    limit = _number(name, "clip_value", clip_value)
    grads = _grads(_listed(name, parameters))
    if grads:
        rebind_all(grads, clamped(grads, limit))
