"""Joining, splitting and laying out again on PyTorch."""

from __future__ import annotations

import torch

from unified.backends.protocol import Natives

natives = Natives()

natives(diag_embed=torch.diag_embed, rot90=torch.rot90, unfold_dim=torch.Tensor.unfold)


@natives
def block_diagonal(tensors):
    return torch.block_diag(*tensors)
