"""Losses. ``reduction`` is ``"mean"``, ``"sum"`` or ``"none"`` (one loss for each element)."""

from __future__ import annotations

from unified._dispatch import composite
from unified._tensor import Tensor
from unified.nn.functional import _checks
from unified.nn.functional.activation import logsigmoid
from unified.nn.functional.embedding import embedding
from unified.ops.elementwise import abs, clamp, exp, log, log1p, where
from unified.ops.reduction import log_softmax


def _reduced(losses: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return losses
    result: Tensor = losses.mean() if reduction == "mean" else losses.sum()
    return result


@composite(check=_checks.elementwise_loss)
def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """``(input - target) ** 2``, reduced. Example: ``mse_loss([1., 3.], [1., 1.]) -> 2.``

    Raises:
        ShapeError: the shapes do not broadcast.
        ArgumentError: the reduction is unknown.
    """
    difference = input - target
    return _reduced(difference * difference, reduction)


@composite(check=_checks.elementwise_loss)
def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """``|input - target|``, reduced; the gradient where they are equal is 0.

    Raises:
        ShapeError: the shapes do not broadcast.
        ArgumentError: the reduction is unknown.
    """
    return _reduced(abs(input - target), reduction)


@composite(check=_checks.elementwise_loss)
def smooth_l1_loss(input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """``d ** 2 / (2 beta)`` for ``d = |input - target| < beta``, ``d - beta / 2`` above; l1_loss for ``beta=0``.

    Raises:
        ShapeError: the shapes do not broadcast.
        ArgumentError: the reduction is unknown.
    """
    distance = abs(input - target)
    if beta == 0:
        return _reduced(distance, reduction)
    return _reduced(where(distance < beta, 0.5 * distance * distance / beta, distance - 0.5 * beta), reduction)


@composite(check=_checks.elementwise_loss)
def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """``d ** 2 / 2`` for ``d = |input - target| <= delta``, ``delta * (d - delta / 2)`` above; Huber (1964).

    Raises:
        ShapeError: the shapes do not broadcast.
        ArgumentError: the reduction is unknown.
    """
    distance = abs(input - target)
    losses = where(distance <= delta, 0.5 * distance * distance, delta * (distance - 0.5 * delta))
    return _reduced(losses, reduction)


@composite(check=_checks.binary_cross_entropy)
def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """``-(target log(input) + (1 - target) log(1 - input))`` of probabilities, logarithms cut off at -100.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: the reduction is unknown.
    """
    losses = (target - 1) * clamp(log1p(-input), min=-100) - target * clamp(log(input), min=-100)
    return _reduced(losses if weight is None else losses * weight, reduction)


@composite(check=_checks.binary_cross_entropy)
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Binary cross entropy of ``sigmoid(input)``, without overflow.

    Args:
        input: logits.
        target: probabilities, of the same shape.
        weight: of each element's loss, broadcast.
        pos_weight: of the positive term, broadcast.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: the reduction is unknown.
    """
    log_probability = logsigmoid(input)
    if pos_weight is not None:
        log_probability = ((pos_weight - 1) * target + 1) * log_probability
    losses = (1 - target) * input - log_probability
    return _reduced(losses if weight is None else losses * weight, reduction)


@composite(check=_checks.kl_div)
def kl_div(input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """``target * (log(target) - input)`` for log-probabilities ``input``; ``"batchmean"`` divides by the batch.

    Raises:
        ShapeError: the shapes do not broadcast.
        ArgumentError: the reduction is unknown.
    """
    if log_target:
        losses = exp(target) * (target - input)
    else:
        positive = target > 0
        entropy = where(positive, target * log(where(positive, target, 1.0)), target * 0)
        losses = entropy - target * input
    if reduction == "batchmean":
        output: Tensor = losses.sum() / losses.shape[0]
        return output
    return _reduced(losses, reduction)


@composite(check=_checks.nll_loss)
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """``-weight[target] * input[target]`` for log-probabilities ``input (N, C, ...)`` or ``(C)``.

    The mean is over the weights of the targets that are not ``ignore_index``: NaN where there are none.

    Raises:
        ShapeError, DTypeError: the operands do not fit.
        ArgumentError: the reduction is unknown.
    """
    if input.ndim == 1:
        losses, weights = _nll(input.unsqueeze(0), target.unsqueeze(0), weight, ignore_index)
        losses, weights = losses.squeeze(0), weights.squeeze(0)
    else:
        losses, weights = _nll(input, target, weight, ignore_index)
    if reduction == "mean":
        output: Tensor = losses.sum() / weights.sum()
        return output
    return _reduced(losses, reduction)


def _nll(input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Each element's loss and weight, both 0 where the target is ignored."""
    counted = target != ignore_index
    chosen = where(counted, target, 0)
    picked = input.gather(1, chosen.unsqueeze(1)).squeeze(1)
    weights = counted.to(input.dtype)
    if weight is not None:
        weights = weights * embedding(chosen, weight.unsqueeze(1)).squeeze(-1)
    return where(counted, -picked * weights, 0.0), weights


@composite(check=_checks.classes)
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy of ``softmax(input)`` and ``target``.

    Args:
        input: logits ``(N, C, ...)`` or ``(C)``.
        target: class indices ``(N, ...)`` or ``()``, or probabilities of ``input``'s shape.
        weight: of each class, ``(C,)``.
        ignore_index: an index that does not count.
        reduction: the mean is weighted by the classes' weights.
        label_smoothing: how much of the target is spread evenly over the classes; Szegedy et al. (2015).

    Returns:
        A scalar, or with ``reduction="none"`` the shape ``(N, ...)``.

    Raises:
        ShapeError, DTypeError: the operands do not fit.
        ArgumentError: the reduction is unknown.
    """
    class_dim = 1 if input.ndim > 1 else 0
    count = input.shape[class_dim]
    log_probability = log_softmax(input, class_dim)
    scale = None
    if weight is not None:
        scale = weight.reshape([-1 if dim == class_dim else 1 for dim in range(input.ndim)])
    if target.dtype.kind == "f":
        if label_smoothing:
            target = target * (1 - label_smoothing) + label_smoothing / count
        weighted = log_probability * target
        losses = -(weighted if scale is None else weighted * scale).sum(class_dim)
        return losses.sum() / (input.numel() // count) if reduction == "mean" else _reduced(losses, reduction)
    exact = nll_loss(log_probability, target, weight, ignore_index, reduction)
    if not label_smoothing:
        return exact
    counted = target != ignore_index
    spread = -(log_probability if scale is None else log_probability * scale).sum(class_dim)
    spread = where(counted, spread, 0.0)
    if reduction == "mean":
        weights = counted.to(input.dtype)
        if weight is not None:
            weights = weights * embedding(where(counted, target, 0), weight.unsqueeze(1)).squeeze(-1)
        smooth = spread.sum() / weights.sum()
    else:
        smooth = _reduced(spread, reduction)
    output: Tensor = (1 - label_smoothing) * exact + (label_smoothing / count) * smooth
    return output
