"""Discrete Fourier transforms, by the names of ``torch.fft``."""

from __future__ import annotations
