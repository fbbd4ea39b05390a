"""Norms of matrices and distances on PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from unified.backends.protocol import Natives
from unified.backends.torch.dtype import to_native

natives = Natives()

natives(renorm=torch.renorm, pdist=F.pdist,
        dist=torch.dist, pairwise_distance=F.pairwise_distance, cosine_similarity=F.cosine_similarity)  # fmt: skip


@natives
def linalg_matrix_norm(matrices, ord, dim, keepdim, dtype):
    return torch.linalg.matrix_norm(matrices, ord, dim, keepdim, dtype=None if dtype is None else to_native(dtype))


@natives
def cdist(x1, x2, p, compute_mode):
    return torch.cdist(x1, x2, p, compute_mode)


@natives
def normalize(input, p, dim, eps):
    return F.normalize(input, p, dim, eps)
