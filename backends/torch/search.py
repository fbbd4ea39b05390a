"""Searching on PyTorch: 32-bit indices."""

from __future__ import annotations

import torch

from unified.backends.protocol import Natives

natives = Natives()


@natives
def searchsorted(sorted_sequence, input, right):
    if isinstance(input, torch.Tensor):
        input = input.contiguous()  # what PyTorch would warn that it does
    return torch.searchsorted(sorted_sequence.contiguous(), input, out_int32=True, right=right)


@natives
def isin(elements, test_elements, invert):
    return torch.isin(elements, test_elements, invert=invert)
