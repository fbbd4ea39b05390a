"""Ops that rearrange elements on PyTorch."""

from __future__ import annotations

import torch

from unified.backends.protocol import Natives
from unified.backends.torch import device as _device

natives = Natives()

natives(
    reshape=torch.reshape, unsqueeze=torch.unsqueeze, permute=torch.permute, transpose=torch.transpose,
    flip=torch.flip, cat=torch.cat, stack=torch.stack, split_lengths=torch.split, unbind=torch.unbind,
    repeat=torch.Tensor.repeat, diagonal=torch.diagonal, tril=torch.tril, triu=torch.triu,
    expand=torch.Tensor.expand,
)  # fmt: skip


@natives
def squeeze(input, dim):
    return torch.squeeze(input) if dim is None else torch.squeeze(input, dim)


@natives
def roll(input, shifts, dims):
    return torch.roll(input, shifts) if dims is None else torch.roll(input, shifts, dims)


@natives
def repeated_positions(repeats, total):
    return torch.repeat_interleave(repeats, output_size=total).to(torch.int32)


@natives
def constant_pad(input, pad, value):
    return torch.constant_pad_nd(input, pad, value)


@natives
def to_device(input, device):
    return input.to(_device.to_native(device))
