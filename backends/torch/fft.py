"""Discrete Fourier transforms on PyTorch."""

from __future__ import annotations

import torch

from unified.backends.protocol import Natives

natives = Natives()

_HALF = (torch.float16, torch.bfloat16)


def _transform(forward, backward):
    def native(input, s, dim, norm, inverse):
        input = input.float() if input.dtype in _HALF else input  # PyTorch has no 16-bit transform on a CPU
        return (backward if inverse else forward)(input, s, dim, norm)

    return native


natives(
    fft_c2c=_transform(torch.fft.fftn, torch.fft.ifftn),
    fft_r2c=_transform(torch.fft.rfftn, torch.fft.ihfftn),
    fft_c2r=_transform(torch.fft.hfftn, torch.fft.irfftn),
)
