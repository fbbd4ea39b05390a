"""Pooling and its inverses on PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from unified.backends.protocol import Natives

natives = Natives()

_MAX = {1: torch.max_pool1d, 2: torch.max_pool2d, 3: torch.max_pool3d}
_MAX_INDEXED = {1: torch.max_pool1d_with_indices, 2: F.max_pool2d_with_indices, 3: F.max_pool3d_with_indices}
_ADAPTIVE_MAX = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}
_ADAPTIVE_AVG = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
_FRACTIONAL = {2: torch._C._nn.fractional_max_pool2d, 3: torch._C._nn.fractional_max_pool3d}

natives(unfold=F.unfold, fold=F.fold)


def _narrow(found):
    values, indices = found
    return values, indices.int()


@natives
def max_pool(input, kernel_size, stride, padding, dilation, ceil_mode):
    return _MAX[len(kernel_size)](input, kernel_size, stride, padding, dilation, ceil_mode)


@natives
def max_pool_indexed(input, kernel_size, stride, padding, dilation, ceil_mode):
    return _narrow(_MAX_INDEXED[len(kernel_size)](input, kernel_size, stride, padding, dilation, ceil_mode))


@natives
def adaptive_max_pool(input, output_size):
    return _narrow(_ADAPTIVE_MAX[len(output_size)](input, output_size, return_indices=True))


@natives
def fractional_max_pool(input, samples, kernel_size, output_size):
    return _narrow(_FRACTIONAL[len(kernel_size)](input, kernel_size, output_size, samples))


@natives
def max_unpool(input, indices, output_size):
    indices = indices.long()
    if len(output_size) > 1:
        if len(output_size) == 2:
            return torch._C._nn.max_unpool2d(input, indices, output_size)
        return torch._C._nn.max_unpool3d(input, indices, output_size, (1, 1, 1), (0, 0, 0))
    return torch._C._nn.max_unpool2d(input.unsqueeze(-1), indices.unsqueeze(-1), (*output_size, 1)).squeeze(-1)


@natives
def avg_pool(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    spatial = len(kernel_size)
    if spatial > 1:
        pool = F.avg_pool2d if spatial == 2 else F.avg_pool3d
        return pool(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return F.avg_pool1d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)


@natives
def adaptive_avg_pool(input, output_size):
    return _ADAPTIVE_AVG[len(output_size)](input, output_size)
