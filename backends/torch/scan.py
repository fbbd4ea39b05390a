"""Running extremes and sums along a dimension on PyTorch."""

from __future__ import annotations

import torch

from unified.backends.protocol import Natives

natives = Natives()
natives(logcumsumexp=torch.logcumsumexp)


@natives
def cummax(input, dim):
    values, indices = torch.cummax(input, dim)
    return values, indices.to(torch.int32)


@natives
def cummin(input, dim):
    values, indices = torch.cummin(input, dim)
    return values, indices.to(torch.int32)
