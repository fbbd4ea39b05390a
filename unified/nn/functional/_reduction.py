"""What ``reduction``, ``size_average`` and ``reduce`` of a loss mean."""

from __future__ import annotations

from unified._tensor import Tensor


def resolve(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction in force: PyTorch's two older arguments, where one is given, take precedence.

    ``reduce=False`` is ``"none"``, ``size_average=False`` is ``"sum"``, and anything else ``"mean"``.
    """
    if size_average is None and reduce is None:
        return reduction
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"


def reduced(losses: Tensor, reduction: str) -> Tensor:
    """The losses, their mean or their sum."""
    if reduction == "none":
        return losses
    result: Tensor = losses.mean() if reduction == "mean" else losses.sum()
    return result


def weighted(losses: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """The losses times ``weight``, reduced; the mean is over the weights, not over the elements."""
    if weight is None:
        return reduced(losses, reduction)
    scaled = losses * weight
    if reduction == "mean":
        result: Tensor = scaled.sum() / weight.sum()
        return result
    return reduced(scaled, reduction)
