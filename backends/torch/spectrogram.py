"""Spectra over time on PyTorch."""

from __future__ import annotations

import torch

from unified.backends.protocol import Natives

natives = Natives()


@natives
def stft(input, n_fft, hop_length, win_length, window, *options):
    if window is None:  # PyTorch warns of its own default
        real = input.real.dtype if input.is_complex() else input.dtype
        window = torch.ones(n_fft if win_length is None else win_length, dtype=real, device=input.device)
    return torch.stft(input, n_fft, hop_length, win_length, window, *options)
