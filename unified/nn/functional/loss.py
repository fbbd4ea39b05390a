"""Losses. ``reduction`` is ``"mean"``, ``"sum"`` or ``"none"`` (one loss for each element).

``size_average`` and ``reduce`` are PyTorch's older spelling of it, see ``_reduction.resolve``.
"""

from __future__ import annotations

from unified._dispatch import composite
from unified._tensor import Tensor
from unified.nn.functional import _checks
from unified.nn.functional._reduction import reduced, resolve, weighted
from unified.nn.functional.activation import logsigmoid
from unified.nn.functional.embedding import indexed_rows
from unified.ops.elementwise import abs, clamp, exp, log, log1p, where
from unified.ops.reduction import log_softmax


@composite(check=_checks.elementwise_loss)
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """``(input - target) ** 2``, reduced, the mean over ``weight``. Example: ``mse_loss([1., 3.], [1., 1.]) -> 2.``

    Raises:
        ShapeError: the shapes do not broadcast, or ``weight`` has not the shape of ``input``.
        ArgumentError: the reduction is unknown.
    """
    difference = input - target
    return weighted(difference * difference, weight, resolve(size_average, reduce, reduction))


@composite(check=_checks.elementwise_loss)
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """``|input - target|``, reduced, the mean over ``weight``; the gradient where they are equal is 0.

    Raises:
        ShapeError: the shapes do not broadcast, or ``weight`` has not the shape of ``input``.
        ArgumentError: the reduction is unknown.
    """
    return weighted(abs(input - target), weight, resolve(size_average, reduce, reduction))


@composite(check=_checks.elementwise_loss)
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """``d ** 2 / (2 beta)`` for ``d = |input - target| < beta``, ``d - beta / 2`` above; l1_loss for ``beta=0``.

    Raises:
        ShapeError: the shapes do not broadcast.
        ArgumentError: the reduction is unknown, or ``beta`` negative.
    """
    reduction = resolve(size_average, reduce, reduction)
    distance = abs(input - target)
    if beta == 0:
        return reduced(distance, reduction)
    return reduced(where(distance < beta, 0.5 * distance * distance / beta, distance - 0.5 * beta), reduction)


@composite(check=_checks.huber_loss)
def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """``d ** 2 / 2`` for ``d = |input - target| <= delta``, ``delta * (d - delta / 2)`` above; Huber (1964).

    ``weight`` multiplies the losses; unlike mse_loss's, the mean is over the elements.

    Raises:
        ShapeError: the shapes do not broadcast, or ``weight`` has not the shape of ``input``.
        ArgumentError: the reduction is unknown, or ``delta`` is not positive.
    """
    distance = abs(input - target)
    losses = where(distance <= delta, 0.5 * distance * distance, delta * (distance - 0.5 * delta))
    return reduced(losses if weight is None else losses * weight, reduction)


@composite()
def bernoulli_losses(input: Tensor, target: Tensor) -> Tensor:
    """``-(target log(input) + (1 - target) log(1 - input))``, logarithms cut off at -100, each element alone.

    The slope is PyTorch's ``(input - target) / max(input (1 - input), 1e-12)``, finite at 0 and 1.
    """
    return (target - 1) * clamp(log1p(-input), min=-100) - target * clamp(log(input), min=-100)


@composite(check=_checks.binary_cross_entropy)
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``-(target log(input) + (1 - target) log(1 - input))`` of probabilities, logarithms cut off at -100.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: the reduction is unknown.
    """
    losses = bernoulli_losses(input, target)
    return reduced(losses if weight is None else losses * weight, resolve(size_average, reduce, reduction))


@composite(check=_checks.binary_cross_entropy)
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
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
    return reduced(losses if weight is None else losses * weight, resolve(size_average, reduce, reduction))


@composite(check=_checks.kl_div)
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """``target * (log(target) - input)`` for log-probabilities ``input``; ``"batchmean"`` divides by the batch.

    Raises:
        ShapeError: the shapes do not broadcast.
        ArgumentError: the reduction is unknown.
    """
    reduction = resolve(size_average, reduce, reduction)
    if log_target:
        losses = exp(target) * (target - input)
    else:
        losses = target * log(where(target == 0, 1.0, target)) - target * input
    if reduction == "batchmean":
        output: Tensor = losses.sum() / (input.shape[0] if input.ndim else 1)
        return output
    return reduced(losses, reduction)


@composite(check=_checks.nll_loss)
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``-weight[target] * input[target]`` for log-probabilities ``input (N, C, ...)`` or ``(C)``.

    The mean is over the weights of the targets that are not ``ignore_index``: NaN where there are none.

    Raises:
        ShapeError, DTypeError: the operands do not fit.
        ArgumentError: the reduction is unknown.
    """
    reduction = resolve(size_average, reduce, reduction)
    if input.ndim == 1:
        losses, weights = _nll(input.unsqueeze(0), target.unsqueeze(0), weight, ignore_index)
        losses, weights = losses.squeeze(0), weights.squeeze(0)
    else:
        losses, weights = _nll(input, target, weight, ignore_index)
    if reduction == "mean":
        output: Tensor = losses.sum() / weights.sum()
        return output
    return reduced(losses, reduction)


def _nll(input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Each element's loss and weight, both 0 where the target is ignored."""
    counted = target != ignore_index
    chosen = where(counted, target, 0)
    picked = input.gather(1, chosen.unsqueeze(1)).squeeze(1)
    weights = counted.to(input.dtype)
    if weight is not None:
        weights = weights * indexed_rows(chosen, weight.unsqueeze(1)).squeeze(-1)
    return where(counted, -picked * weights, 0.0), weights


@composite(check=_checks.classes)
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
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
    reduction = resolve(size_average, reduce, reduction)
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
        return losses.sum() / (input.numel() // count) if reduction == "mean" else reduced(losses, reduction)
    exact = nll_loss(log_probability, target, weight, ignore_index=ignore_index, reduction=reduction)
    if not label_smoothing:
        return exact
    counted = target != ignore_index
    spread = -(log_probability if scale is None else log_probability * scale).sum(class_dim)
    spread = where(counted, spread, 0.0)
    if reduction == "mean":
        weights = counted.to(input.dtype)
        if weight is not None:
            weights = weights * indexed_rows(where(counted, target, 0), weight.unsqueeze(1)).squeeze(-1)
        smooth = spread.sum() / weights.sum()
    else:
        smooth = reduced(spread, reduction)
    output: Tensor = (1 - label_smoothing) * exact + (label_smoothing / count) * smooth
    return output
