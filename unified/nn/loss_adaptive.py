"""Softmax over very many classes, the rare ones in clusters."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from unified._dtype import DType
from unified._tensor import Tensor
from unified.errors import ArgumentError, ShapeError
from unified.nn import functional as F
from unified.nn.container import ModuleList, Sequential
from unified.nn.linear import Linear
from unified.nn.module import Module
from unified.ops.elementwise import where
from unified.ops.reduction import argmax
from unified.ops.shape import cat


class ASMoutput(NamedTuple):
    """What :class:`AdaptiveLogSoftmaxWithLoss` computes."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Adaptive softmax; Grave et al., "Efficient softmax approximation for GPUs" (2017).

    Classes are sorted by their frequency. The head has a score for each of the first ``cutoffs[0]``, and for each
    cluster of the others, whose tail has fewer features the rarer it is.

    Args:
        in_features: length of an input vector.
        n_classes: classes in all.
        cutoffs: where the clusters start, ascending.
        div_value: each cluster has so many times fewer features than the one before.
        head_bias: whether the head has a bias.

    Raises:
        ArgumentError: the cutoffs are not ascending numbers between 1 and ``n_classes - 1``.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ArgumentError("cutoffs should be a sequence of length larger than 0")
        ascending = all(low < high for low, high in itertools.pairwise([0, *cutoffs, n_classes]))
        if not ascending or any(int(cutoff) != cutoff for cutoff in cutoffs):
            raise ArgumentError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, where each "
                f"value is between 1 and n_classes-1, not {cutoffs} of {n_classes}"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = cutoffs[0]
        self.n_clusters = len(cutoffs)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, head_bias, device, dtype)
        self.tail = ModuleList()
        for index, (low, high) in enumerate(itertools.pairwise(self.cutoffs)):
            hidden = int(in_features // div_value ** (index + 1))
            self.tail.append(
                Sequential(
                    Linear(in_features, hidden, False, device, dtype),
                    Linear(hidden, high - low, False, device, dtype),
                )
            )

    def reset_parameters(self) -> None:
        """As of every linear layer."""
        self.head.reset_parameters()
        for projection in self.tail:
            for layer in projection:
                layer.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> ASMoutput:
        """The log-probability of each target, and their mean with the opposite sign as the loss.

        Every cluster is computed for all inputs, so that the program does not depend on the targets' values. A target
        out of range has the log-probability NaN.

        Args:
            input_: ``(N, in_features)`` or ``(in_features,)``.
            target_: class indices ``(N,)`` or ``()``.

        Raises:
            ShapeError: the shapes do not fit.
        """
        if target_.ndim > 1 or input_.ndim != target_.ndim + 1 or input_.shape[:-1] != target_.shape:
            raise ShapeError(
                f"AdaptiveLogSoftmaxWithLoss: a target of 0 or 1 dimensions goes with an input of one more, not "
                f"{tuple(target_.shape)} with {tuple(input_.shape)}"
            )
        batched = target_.ndim == 1
        input, target = (input_, target_) if batched else (input_.unsqueeze(0), target_.unsqueeze(0))
        head = F.log_softmax(self.head(input), 1)
        output = _chosen(head, target, 0, self.shortlist_size)
        for index, (low, high) in enumerate(itertools.pairwise(self.cutoffs)):
            cluster = F.log_softmax(self.tail[index](input), 1)
            within = _chosen(cluster, target, low, high) + head[:, self.shortlist_size + index]
            output = where((target >= low) & (target < high), within, output)
        output = where((target >= 0) & (target < self.n_classes), output, float("nan"))
        loss = (-output).mean()
        return ASMoutput(output if batched else output.squeeze(0), loss)

    def log_prob(self, input: Tensor) -> Tensor:
        """Log-probabilities ``(N, n_classes)`` of ``input (N, in_features)``."""
        head = F.log_softmax(self.head(input), 1)
        parts = [head[:, : self.shortlist_size]]
        for index, projection in enumerate(self.tail):
            cluster = F.log_softmax(projection(input), 1)
            parts.append(cluster + head[:, self.shortlist_size + index].unsqueeze(1))
        return cat(parts, 1)

    def predict(self, input: Tensor) -> Tensor:
        """The most probable class of each input: ``(N,)``.

        As in PyTorch it is sought in the clusters only where the head's best score is that of a cluster.
        """
        scores = self.head(input)
        best = argmax(scores, 1)
        return where(best < self.shortlist_size, best, argmax(self.log_prob(input), 1))


def _chosen(log_probability: Tensor, target: Tensor, low: int, high: int) -> Tensor:
    """``log_probability[i, target[i] - low]``, anything where the target lies outside of ``[low, high)``."""
    inside = (target >= low) & (target < high)
    places = where(inside, target - low, 0)
    picked: Tensor = log_probability.gather(1, places.unsqueeze(1)).squeeze(1)
    return picked
