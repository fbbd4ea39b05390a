"""Distances between vectors, and vectors brought to length 1."""

from __future__ import annotations

from unified._dispatch import composite
from unified._dtype import Number
from unified._tensor import Tensor
from unified.ops._checks import floating
from unified.ops.distance import cosine_similarity, pairwise_distance, pdist
from unified.ops.elementwise import clamp, div
from unified.ops.reduction import Dim, linalg_vector_norm

__all__ = ["cosine_similarity", "normalize", "pairwise_distance", "pdist"]

Scalar = Number


@composite(check=floating)
def normalize(input: Tensor, p: float = 2.0, dim: Dim = 1, eps: Scalar = 1e-12) -> Tensor:
    """``input / max(norm_p(input), eps)`` along ``dim``. Example: ``normalize([[3., 4.]]) -> [[0.6, 0.8]]``."""
    return div(input, clamp(linalg_vector_norm(input, p, dim, True), min=eps))
