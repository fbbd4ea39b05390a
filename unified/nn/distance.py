"""Distances between vectors, as Modules."""

from __future__ import annotations

from unified._tensor import Tensor
from unified.nn import functional as F
from unified.nn.module import Module


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along ``dim``; see ``nn.functional.cosine_similarity``."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The shape of both without ``dim``."""
        similarity: Tensor = F.cosine_similarity(x1, x2, self.dim, self.eps)
        return similarity


class PairwiseDistance(Module):
    """The p-norm of ``x1 - x2 + eps`` along the last dimension; see ``nn.functional.pairwise_distance``."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """``(N,)``, or ``(N, 1)`` with ``keepdim``, of points ``(N, D)``."""
        distance: Tensor = F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
        return distance
