"""Covariance, hashes and sums without NaN on PyTorch."""

from __future__ import annotations

import torch

from unified.backends.protocol import Natives
from unified.backends.torch.dtype import to_native
from unified.backends.torch.reduction import accumulator

natives = Natives()
natives(corrcoef=torch.corrcoef, diff=torch.diff)


@natives
def cov(input, correction, fweights, aweights):
    return torch.cov(input, correction=correction, fweights=fweights, aweights=aweights)


@natives
def nansum(input, dim, keepdim, dtype):
    return torch.nansum(input, dim, keepdim, dtype=accumulator(input, dtype))


@natives
def nanmean(input, dim, keepdim, dtype):
    return torch.nanmean(input, dim, keepdim, dtype=None if dtype is None else to_native(dtype))


@natives
def aminmax(input, dim, keepdim):
    return tuple(torch.aminmax(input, dim=dim, keepdim=keepdim))


@natives
def hash_tensor(input, dim, keepdim, dtype):
    return torch.hash_tensor(input, () if dim is None else dim, keepdim=keepdim)
