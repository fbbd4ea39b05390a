"""Products of matrices and vectors on PyTorch."""

from __future__ import annotations

import torch

from unified.backends.protocol import Natives

natives = Natives()

natives(matmul=torch.matmul, bmm=torch.bmm, mm=torch.mm)
