"""Losses that ask for a margin between what should be near and what should be far."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from unified._dispatch import composite
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError, ShapeError
from unified.nn.functional import _checks
from unified.nn.functional._reduction import reduced, resolve
from unified.nn.functional.activation import logsigmoid
from unified.nn.functional.embedding import indexed_rows
from unified.ops.creation import zeros_like
from unified.ops.distance import pairwise_distance
from unified.ops.elementwise import Scalar, clamp, minimum, relu, sqrt, where
from unified.ops.reduction import cumprod

Distance = Callable[[Tensor, Tensor], Tensor]


def _same_rank(**operands: Any) -> None:
    if len({len(operand.shape) for operand in operands.values()}) > 1:
        listed = ", ".join(f"{name} {tuple(operand.shape)}" for name, operand in operands.items())
        raise ShapeError(f"operands must have the same number of dimensions, but are {listed}")


# ---- of two classes ----------------------------------------------------------------------------------------------


@composite(check=_checks.elementwise_loss)
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``log(1 + exp(-target * input))`` for targets 1 and -1, reduced; finite where PyTorch's overflows.

    Raises:
        ShapeError: the shapes do not broadcast.
        ArgumentError: the reduction is unknown.
    """
    return reduced(-logsigmoid(target * input), resolve(size_average, reduce, reduction))


def _hinge(input: Any, target: Any, margin: Any, size_average: Any, reduce: Any, reduction: str) -> None:
    _checks.elementwise_loss(input, target, size_average, reduce, reduction)


@composite(check=_hinge)
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: Scalar = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``input``, a distance, where ``target`` is 1, and ``max(0, margin - input)`` where it is -1, reduced.

    Raises:
        ShapeError: the shapes do not broadcast.
        ArgumentError: the reduction is unknown.
    """
    far = where(target != 1, clamp(margin - input, min=0), 0.0)
    near = where(target != -1, input, 0.0)
    return reduced(far + near, resolve(size_average, reduce, reduction))


def _ranking(input1: Any, input2: Any, target: Any, margin: Any, *options: Any) -> None:
    _same_rank(input1=input1, input2=input2, target=target)
    _checks.base.broadcastable(input1, input2, target)
    _checks.reduction(options[-1])


@composite(check=_ranking)
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: Scalar = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, margin - target * (input1 - input2))``: 1 asks for ``input1`` to rank higher, -1 for ``input2``.

    Raises:
        ShapeError: the shapes do not broadcast, or differ in their number of dimensions.
        ArgumentError: the reduction is unknown.
    """
    losses = clamp(-target * (input1 - input2) + margin, min=0)
    return reduced(losses, resolve(size_average, reduce, reduction))


def _pairs(input1: Any, input2: Any, target: Any, margin: Any, *options: Any) -> None:
    rank = len(target.shape)
    if rank > 1 or len(input1.shape) != rank + 1 or len(input2.shape) != rank + 1:
        raise ShapeError(
            f"target {tuple(target.shape)} must have one dimension, and input1 {tuple(input1.shape)} and input2 "
            f"{tuple(input2.shape)} two, or none and one"
        )
    _checks.base.broadcastable(input1, input2)
    _checks.reduction(options[-1])


@composite(check=_pairs)
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: Scalar = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``1 - cos`` where ``target`` is 1, ``max(0, cos - margin)`` where it is -1, of the angle between two vectors.

    Args:
        input1, input2: ``(N, D)``, or ``(D,)``.
        target: ``(N,)``, or ``()``.
        margin: between -1 and 1.
        size_average, reduce, reduction: as of every loss.

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: the reduction is unknown.
    """
    small = 1e-12  # PyTorch's, against a division by 0
    lengths = ((input1 * input1).sum(-1) + small) * ((input2 * input2).sum(-1) + small)
    cosine = (input1 * input2).sum(-1) / sqrt(lengths)
    losses = where(target == 1, 1 - cosine, 0.0) + where(target == -1, clamp(cosine - margin, min=0), 0.0)
    return reduced(losses, resolve(size_average, reduce, reduction))


# ---- of many classes ---------------------------------------------------------------------------------------------


def _class_rows(input: Any) -> None:
    rank = len(input.shape)
    if rank > 2 or (rank and not input.shape[-1]):
        raise ShapeError(f"input {tuple(input.shape)} must be (N, C) or (C,) with at least one class")
    _checks.base.floating(input)


def _multi_margin(
    input: Any, target: Any, p: int, margin: Any, weight: Any, size_average: Any, reduce: Any, reduction: str
) -> None:
    _checks.reduction(reduction)
    _class_rows(input)
    batch = input.shape[0] if len(input.shape) == 2 else 1
    if math.prod(target.shape) != batch or len(target.shape) > 1:
        raise ShapeError(f"target {tuple(target.shape)} must have the shape ({batch},) of the rows of input")
    if target.dtype.kind not in "iu":
        raise DTypeError(f"target must be class indices, not {target.dtype.name}")
    if p not in (1, 2):
        raise ArgumentError(f"p must be 1 or 2, not {p!r}")
    classes = input.shape[-1] if input.shape else 1
    if weight is not None and tuple(weight.shape) != (classes,):
        raise ShapeError(f"weight {tuple(weight.shape)} must have the shape ({classes},) of the classes")


@composite(check=_multi_margin)
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: Scalar = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``sum over i != target of max(0, margin - input[target] + input[i]) ** p / C``, reduced.

    Args:
        input: scores ``(N, C)`` or ``(C,)``.
        target: class indices ``(N,)`` or ``()``.
        p: 1 or 2.
        margin: how much higher the right class should score.
        weight: of the right class, ``(C,)``.
        size_average, reduce, reduction: as of every loss.

    Raises:
        ShapeError, DTypeError: the operands do not fit.
        ArgumentError: the reduction is unknown, or ``p`` neither 1 nor 2.
    """
    classes = input.shape[-1] if input.ndim else 1
    rows, chosen = input.reshape((-1, classes)), target.reshape((-1, 1))
    excess = relu(rows - rows.gather(1, chosen) + margin)
    if p == 2:
        excess = excess * excess
    if weight is not None:
        excess = excess * indexed_rows(chosen.squeeze(1), weight.unsqueeze(1))
    own = zeros_like(rows).scatter(1, chosen, 1.0) > 0
    losses: Tensor = where(own, 0.0, excess).sum(1) / classes
    return reduced(losses if target.ndim else losses.squeeze(0), resolve(size_average, reduce, reduction))


def _multilabel_margin(input: Any, target: Any, size_average: Any, reduce: Any, reduction: str) -> None:
    _checks.reduction(reduction)
    _class_rows(input)
    if tuple(target.shape) != tuple(input.shape) and (len(input.shape) > 1 or math.prod(target.shape) != 1):
        raise ShapeError(f"target {tuple(target.shape)} must have the shape {tuple(input.shape)} of input")
    if target.dtype.kind not in "iu":
        raise DTypeError(f"target must be class indices, not {target.dtype.name}")


@composite(check=_multilabel_margin)
def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``sum over labels j and other classes i of max(0, 1 - (input[j] - input[i])) / C``, reduced.

    Args:
        input: scores ``(N, C)`` or ``(C,)``.
        target: of the same shape; each row lists its labels and ends with the first -1.
        size_average, reduce, reduction: as of every loss.

    Raises:
        ShapeError, DTypeError: the operands do not fit.
        ArgumentError: the reduction is unknown.
    """
    classes = input.shape[-1] if input.ndim else 1
    rows, labels = input.reshape((-1, classes)), target.reshape((-1, classes))
    listed = cumprod((labels >= 0).to(labels.dtype), 1) > 0
    labels = where(listed, labels, 0)
    is_label = zeros_like(rows).scatter_add(1, labels, listed.to(rows.dtype)) > 0
    excess = relu(1 - rows.gather(1, labels).unsqueeze(2) + rows.unsqueeze(1))
    losses: Tensor = where(listed.unsqueeze(2) & ~is_label.unsqueeze(1), excess, 0.0).sum((1, 2)) / classes
    return reduced(losses if input.ndim > 1 else losses.squeeze(0), resolve(size_average, reduce, reduction))


def _multilabel_soft(input: Any, target: Any, weight: Any, size_average: Any, reduce: Any, reduction: str) -> None:
    _checks.base.floating(input)
    _checks.base.broadcastable(input, target, *([] if weight is None else [weight]))
    _checks.reduction(reduction)


@composite(check=_multilabel_soft)
def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over classes, the last dimension, of each one's binary cross entropy of logits, reduced.

    Args:
        input: logits ``(N, C)`` or ``(C,)``.
        target: 0 or 1, of the same shape.
        weight: of each class, ``(C,)``.
        size_average, reduce, reduction: as of every loss.

    Raises:
        ShapeError: the shapes do not broadcast.
        ArgumentError: the reduction is unknown.
    """
    losses = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        losses = losses * weight
    return reduced(losses.mean(-1), resolve(size_average, reduce, reduction))


# ---- of three points ---------------------------------------------------------------------------------------------


@composite(name="distance_margin")
def _distance_margin(near: Tensor, far: Tensor, margin: Scalar, reduction: str) -> Tensor:
    """``max(0, margin + near - far)``, reduced."""
    return reduced(clamp(margin + near - far, min=0), reduction)


def _triplets(anchor: Any, positive: Any, negative: Any, *options: Any) -> None:
    _same_rank(anchor=anchor, positive=positive, negative=negative)
    _checks.base.broadcastable(anchor, positive, negative)


@composite(name="triplet_margin_loss", check=_triplets)
def _triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: Scalar,
    p: float,
    eps: Scalar,
    swap: bool,
    reduction: str,
) -> Tensor:
    """``max(0, margin + d(anchor, positive) - d(anchor, negative))``, reduced."""
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced(clamp(margin + near - far, min=0), reduction)


def _check_triplet_options(name: str, margin: float, reduction: str) -> None:
    if margin <= 0:
        raise ArgumentError(f"{name}: margin must be positive, not {margin}")
    _checks.reduction(reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, margin + d(anchor, positive) - d(anchor, negative))`` of p-norm distances, reduced.

    Args:
        anchor, positive, negative: points ``(N, D)`` or ``(D,)``.
        margin: how much farther the negative should be, positive.
        p: of the norm.
        eps: added to differences, so that no gradient is infinite.
        swap: the negative's distance is from the positive where that is nearer; Balntas et al. (2016).
        size_average, reduce, reduction: as of every loss.

    Raises:
        ShapeError: the shapes do not broadcast, or differ in their number of dimensions.
        ArgumentError: the reduction is unknown, or ``margin`` is not positive.
    """
    reduction = resolve(size_average, reduce, reduction)
    _check_triplet_options("triplet_margin_loss", margin, reduction)
    loss: Tensor = _triplet_margin_loss(anchor, positive, negative, margin, float(p), eps, swap, reduction)
    return loss


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Distance | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """``triplet_margin_loss`` by a distance of the caller's: a function of two Tensors, the Euclidean one by default.

    Raises:
        ShapeError: the shapes do not broadcast, or differ in their number of dimensions.
        ArgumentError: the reduction is unknown, or ``margin`` is not positive.
    """
    _check_triplet_options("triplet_margin_with_distance_loss", margin, reduction)
    _triplets(anchor, positive, negative)
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    loss: Tensor = _distance_margin(near, far, margin, reduction)
    return loss
