"""Convolutions and their transposes on PyTorch."""

from __future__ import annotations

import torch

from unified.backends.protocol import Natives

natives = Natives()

natives(
    conv1d=torch.conv1d, conv2d=torch.conv2d, conv3d=torch.conv3d, conv_transpose1d=torch.conv_transpose1d,
    conv_transpose2d=torch.conv_transpose2d, conv_transpose3d=torch.conv_transpose3d,
)  # fmt: skip
