"""Complex numbers: their parts, their conjugates, their making on PyTorch."""

from __future__ import annotations

import torch

from unified.backends.protocol import Natives

natives = Natives()
natives(
    real=torch.real, imag=torch.imag, angle=torch.angle, sgn=torch.sgn, isreal=torch.isreal, conj=torch.conj,
    complex=torch.complex, polar=torch.polar, view_as_complex=torch.view_as_complex,
)  # fmt: skip


@natives
def view_as_real(input):
    return torch.view_as_real(input.resolve_conj())
