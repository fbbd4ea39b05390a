"""Losses with a margin, as Modules; see the functions of the same kind in :mod:`unified.nn.functional`."""

from __future__ import annotations

from collections.abc import Callable

from unified._tensor import Tensor
from unified.errors import ArgumentError, ShapeError
from unified.nn import functional as F
from unified.nn.distance import PairwiseDistance
from unified.nn.loss import _Loss, _WeightedLoss


class _MarginLoss(_Loss):
    _margin = 0.0

    def __init__(
        self,
        margin: float | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = self._margin if margin is None else margin


class HingeEmbeddingLoss(_MarginLoss):
    """``input`` where ``target`` is 1, ``max(0, margin - input)`` where it is -1; ``margin`` is 1 by default."""

    _margin = 1.0

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of the distances ``input``."""
        loss: Tensor = F.hinge_embedding_loss(input, target, margin=self.margin, reduction=self.reduction)
        return loss


class MarginRankingLoss(_MarginLoss):
    """``max(0, -target * (input1 - input2) + margin)``; ``margin`` is 0 by default."""

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """The loss of two rankings; ``target`` is 1 where the first should be higher, else -1."""
        loss: Tensor = F.margin_ranking_loss(input1, input2, target, margin=self.margin, reduction=self.reduction)
        return loss


class CosineEmbeddingLoss(_MarginLoss):
    """``1 - cos`` of pairs whose target is 1, ``max(0, cos - margin)`` of -1; ``margin`` is 0 by default."""

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """The loss of the pairs of vectors in ``input1`` and ``input2``."""
        loss: Tensor = F.cosine_embedding_loss(input1, input2, target, margin=self.margin, reduction=self.reduction)
        return loss


class SoftMarginLoss(_Loss):
    """``log(1 + exp(-target * input))``, for targets 1 and -1."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of ``input`` against ``target``."""
        loss: Tensor = F.soft_margin_loss(input, target, reduction=self.reduction)
        return loss


class MultiLabelMarginLoss(_Loss):
    """Hinge of every class that is no target against every one that is, of scores ``(N, C)``."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of ``input`` against the class indices ``target (N, C)``, of which the first -1 ends a row."""
        loss: Tensor = F.multilabel_margin_loss(input, target, reduction=self.reduction)
        return loss


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """The mean over classes of each one's binary cross entropy of logits."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of ``input (N, C)`` against ``target (N, C)`` of 0 and 1."""
        loss: Tensor = F.multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction)
        return loss


class MultiMarginLoss(_WeightedLoss):
    """``sum of max(0, margin - input[target] + input[k]) ** p / C`` over the other classes k.

    Raises:
        ArgumentError: ``p`` is neither 1 nor 2.
        ShapeError: ``weight`` has not one dimension.
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        if p not in (1, 2):
            raise ArgumentError("only p == 1 and p == 2 supported")
        if weight is not None and weight.ndim != 1:
            raise ShapeError(f"MultiMarginLoss: expected weight to be None or 1D tensor, got {weight.ndim}D instead")
        self.p = p
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of scores ``input (N, C)`` or ``(C,)`` against class indices."""
        loss: Tensor = F.multi_margin_loss(
            input, target, p=self.p, margin=self.margin, weight=self.weight, reduction=self.reduction
        )
        return loss


class TripletMarginLoss(_Loss):
    """``max(0, margin + d(anchor, positive) - d(anchor, negative))`` of p-norm distances.

    Args:
        margin: how much farther the negative should be.
        p: of the norm.
        eps: added to differences, so that no gradient is infinite.
        swap: the negative's distance is from the positive where that is nearer; Balntas et al. (2016).
        size_average, reduce, reduction: as of every loss.

    Raises:
        ArgumentError: ``margin`` is not positive.
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        _check_margin(type(self).__name__, margin)
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss of points ``(N, D)`` or ``(D,)``."""
        return F.triplet_margin_loss(
            anchor, positive, negative,
            margin=self.margin, p=self.p, eps=self.eps, swap=self.swap, reduction=self.reduction,
        )  # fmt: skip


class TripletMarginWithDistanceLoss(_Loss):
    """:class:`TripletMarginLoss` by a distance of the caller's, the Euclidean one by default.

    Raises:
        ArgumentError: ``margin`` is not positive.
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        _check_margin(type(self).__name__, margin)
        self.distance_function = PairwiseDistance() if distance_function is None else distance_function
        self.margin = margin
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss of points that the distance function takes."""
        return F.triplet_margin_with_distance_loss(
            anchor, positive, negative,
            distance_function=self.distance_function, margin=self.margin, swap=self.swap, reduction=self.reduction,
        )  # fmt: skip


def _check_margin(name: str, margin: float) -> None:
    if margin <= 0:
        raise ArgumentError(f"{name}: expected margin to be greater than 0, got {margin} instead")
