"""Tensors out of nothing on PyTorch."""

from __future__ import annotations

import torch

from unified.backends.protocol import Natives
from unified.backends.torch import device as _device
from unified.backends.torch.dtype import to_native

natives = Natives()


def _place(device):
    return None if device is None else _device.to_native(device)


@natives
def make_full(size, value, dtype, device):
    return torch.full(size, value, dtype=to_native(dtype), device=_place(device))


@natives
def make_arange(start, step, length, dtype, device):
    return torch.arange(start, start + step * length, step, dtype=to_native(dtype), device=_place(device))


@natives
def make_full_like(input, value, dtype):
    return torch.full_like(input, value, dtype=None if dtype is None else to_native(dtype))


@natives
def make_spaced(start, end, steps, base, dtype, device):
    options = {"dtype": to_native(dtype), "device": _place(device)}
    if base is None:
        return torch.linspace(start, end, steps, **options)
    return torch.logspace(start, end, steps, base, **options)
