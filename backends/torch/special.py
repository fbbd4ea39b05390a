"""Special functions on PyTorch: its own of the same name."""

from __future__ import annotations

import torch

from unified.backends.protocol import Natives

natives = Natives()

natives(
    erfc=torch.erfc, erfinv=torch.erfinv, lgamma=torch.lgamma, digamma=torch.digamma, mvlgamma=torch.mvlgamma,
    igamma=torch.igamma, igammac=torch.igammac, i0=torch.i0, logit=torch.logit, sinc=torch.sinc, xlogy=torch.xlogy,
)  # fmt: skip
natives(**{f"special_{name}": getattr(torch.special, name) for name in (
    "entr", "erfcx", "i0e", "i1", "i1e", "log_ndtr", "ndtr", "ndtri", "xlog1py", "zeta",
)})  # fmt: skip


@natives
def polygamma(input, n):
    return torch.polygamma(n, input)
