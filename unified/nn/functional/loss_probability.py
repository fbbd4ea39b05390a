"""Negative log likelihoods of given distributions, and cross entropy of a linear layer."""

from __future__ import annotations

import math
from typing import Any

from unified._dispatch import composite
from unified._tensor import Tensor
from unified.errors import ArgumentError, ShapeError
from unified.nn.functional import _checks
from unified.nn.functional._reduction import reduced, resolve
from unified.nn.functional.linear import linear
from unified.nn.functional.loss import cross_entropy
from unified.ops.creation import full_like
from unified.ops.elementwise import Scalar, clamp, exp, log, stop_gradient, where


def _poisson(
    input: Any, target: Any, log_input: bool, full: bool, size_average: Any, eps: Any, reduce: Any, reduction: str
) -> None:
    _checks.elementwise_loss(input, target, size_average, reduce, reduction)


@composite(check=_poisson)
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: Scalar = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Negative log likelihood of counts ``target`` under Poisson distributions, reduced.

    Args:
        input: the expectations, or with ``log_input`` their logarithms.
        target: the counts.
        log_input: which of the two ``input`` is.
        full: adds Stirling's approximation of ``log(target!)`` for targets above 1.
        eps: added to expectations before their logarithm is taken.
        size_average, reduce, reduction: as of every loss.

    Raises:
        ShapeError: the shapes do not broadcast.
        ArgumentError: the reduction is unknown.
    """
    losses = exp(input) - target * input if log_input else input - target * log(input + eps)
    if full:
        large = where(target > 1, target, 2)
        stirling = large * log(large) - large + 0.5 * log(2 * math.pi * large)
        losses = losses + where(target > 1, stirling, 0.0)
    return reduced(losses, resolve(size_average, reduce, reduction))


def _gaussian(input: Any, target: Any, var: Any, full: bool, eps: Any, reduction: str) -> None:
    _checks.base.broadcastable(input, target)
    _checks.reduction(reduction)
    found, expected = tuple(var.shape), tuple(input.shape)
    if found == expected or found == expected[:-1]:
        return
    if len(found) != len(expected) or sum(v for v, i in zip(found, expected, strict=True) if v != i) != 1:
        raise ShapeError(
            f"var {found} must have the shape {expected} of input, but for one dimension of 1 or missing"
        )


@composite(name="gaussian_nll_loss", check=_gaussian)
def _gaussian_nll_loss(input: Tensor, target: Tensor, var: Tensor, full: bool, eps: Scalar, reduction: str) -> Tensor:
    """``(log(var) + (input - target) ** 2 / var) / 2``, reduced."""
    if var.ndim < input.ndim:
        var = var.unsqueeze(-1)
    fixed = stop_gradient(var)
    var = var + (clamp(fixed, min=eps) - fixed)  # what PyTorch clamps without telling the gradient
    difference = input - target
    losses = 0.5 * (log(var) + difference * difference / var)
    if full:
        losses = losses + 0.5 * math.log(2 * math.pi)
    return reduced(losses, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Negative log likelihood of ``target`` under normal distributions; Nix and Weigend (1994).

    Args:
        input: the expectations.
        target: what was seen.
        var: the variances, like ``input`` but for one dimension of 1 or the last one missing; a number for all.
        full: adds the constant ``log(2 pi) / 2``.
        eps: variances below count as this, and keep their gradient.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: the reduction is unknown, or ``var`` a negative number. Negative elements of a Tensor count as
            ``eps``: to refuse them would be to wait for values.
    """
    if not isinstance(var, Tensor):
        if var < 0:
            raise ArgumentError(f"gaussian_nll_loss: var must not be negative, not {var}")
        var = full_like(input, var)
    loss: Tensor = _gaussian_nll_loss(input, target, var, full, eps, reduction)
    return loss


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: object = None,
) -> Tensor:
    """``cross_entropy(linear(input, linear_weight, linear_bias), target)``.

    Args:
        input: ``(N, in_features)`` or ``(in_features,)``.
        linear_weight: ``(C, in_features)``, or ``(C, d1, ..., in_features)`` for a loss at each of ``(d1, ...)``.
        target: class indices ``(N, d1, ...)``, or probabilities ``(N, C, d1, ...)``.
        linear_bias: ``linear_weight``'s shape without its last dimension.
        weight, reduction, label_smoothing: as of :func:`cross_entropy`.
        ignore_index: an index that does not count, -100 unless given.
        options: how PyTorch cuts the product into chunks; taken and not looked at, the result is the same.

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: ``ignore_index`` with probabilities.
    """
    name = "linear_cross_entropy"
    if input.ndim not in (1, 2) or linear_weight.ndim < 2 or input.shape[-1] != linear_weight.shape[-1]:
        raise ShapeError(
            f"{name}: input {tuple(input.shape)} must have 1 or 2 dimensions, and linear_weight "
            f"{tuple(linear_weight.shape)} at least 2, with the same number of features in the last one"
        )
    classes, *places = linear_weight.shape[:-1]
    if places and input.ndim == 1:
        raise ShapeError(
            f"{name}: linear_weight {tuple(linear_weight.shape)} of a loss at several places needs a batch"
        )
    if linear_bias is not None and tuple(linear_bias.shape) != (classes, *places):
        raise ShapeError(f"{name}: linear_bias {tuple(linear_bias.shape)} must have the shape {(classes, *places)}")
    shape = (*input.shape[:-1], classes, *places)
    if ignore_index is not None and tuple(target.shape) == shape:
        raise ArgumentError(f"{name}: ignore_index goes with class indices, not with probabilities")
    flat = linear_weight.reshape((-1, input.shape[-1]))
    logits = linear(input, flat, None if linear_bias is None else linear_bias.reshape((-1,))).reshape(shape)
    loss: Tensor = cross_entropy(
        logits,
        target,
        weight,
        ignore_index=-100 if ignore_index is None else ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )
    return loss
