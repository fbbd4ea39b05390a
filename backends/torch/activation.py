"""Activations on PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from unified.backends.protocol import Natives

natives = Natives()

natives(
    prelu=torch.prelu, hardshrink=torch.hardshrink, softshrink=F.softshrink, threshold=F.threshold,
    tanhshrink=F.tanhshrink,
)  # fmt: skip
