"""Covariance, hashes and sums without NaN on PyTorch."""

from __future__ import annotations

import functools

import torch

from unified.backends.protocol import Natives
from unified.backends.torch.dtype import to_native
from unified.backends.torch.reduction import accumulator

natives = Natives()
natives(diff=torch.diff)


@natives
def cov(input, correction, fweights, aweights):
    """Written out: ``torch.cov`` looks at values, which there are none of while a program is traced."""
    rows = torch.atleast_2d(input)
    rows = rows if rows.is_floating_point() or rows.is_complex() else rows.to(torch.float32)
    given = [torch.atleast_1d(w) for w in (fweights, aweights) if w is not None]
    if not given:
        deviations = rows - rows.mean(1, keepdim=True)
        return (deviations @ deviations.mH / max(rows.shape[1] - correction, 0)).squeeze()
    weights = functools.reduce(torch.mul, given)
    total = weights.sum()
    lost = correction if aweights is None else correction * (weights * given[-1]).sum() / total
    deviations = rows - (rows * weights).sum(1, keepdim=True) / total
    return (deviations @ (deviations * weights).mH / (total - lost).clamp(min=0)).squeeze()


@natives
def corrcoef(input):
    found = cov(input, 1, None, None)
    if not found.ndim:
        return found / found
    deviations = found.diagonal().abs().sqrt()
    found = found / deviations[:, None] / deviations[None, :]
    if found.is_complex():
        return torch.complex(found.real.clamp(-1, 1), found.imag.clamp(-1, 1))
    return found.clamp(-1, 1)


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
