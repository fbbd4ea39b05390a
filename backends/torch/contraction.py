"""Products of tensors beyond the plain matrix product on PyTorch."""

from __future__ import annotations

import torch

from unified.backends.protocol import Natives
from unified.backends.torch.linalg import added

natives = Natives()

natives(vdot=torch.vdot, inner=torch.inner, kron=torch.kron, linalg_multi_dot=torch.linalg.multi_dot,
        addbmm=added(torch.addbmm), addr=added(torch.addr))  # fmt: skip


@natives
def conjugate_dot(x, y, dim):
    return torch.linalg.vecdot(x, y, dim=dim)


@natives
def trace(input):
    result = torch.trace(input)
    return result if result.dtype is input.dtype else result.to(torch.int32)


@natives
def linalg_cross(input, other, dim):
    return torch.linalg.cross(input, other, dim=dim)


@natives
def tensordot(input, other, dims_self, dims_other):
    return torch.tensordot(input, other, (dims_self, dims_other))
