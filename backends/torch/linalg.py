"""Products of matrices and vectors on PyTorch."""

from __future__ import annotations

import torch

from unified.backends.protocol import Natives

natives = Natives()

natives(matmul=torch.matmul, bmm=torch.bmm, mm=torch.mm, mv=torch.mv, dot=torch.dot, einsum=torch.einsum,
        outer=torch.outer)  # fmt: skip


def added(function):
    def native(input, first, second, beta, alpha):
        return function(input, first, second, beta=beta, alpha=alpha)

    return native


natives(addmm=added(torch.addmm), addmv=added(torch.addmv), baddbmm=added(torch.baddbmm))
