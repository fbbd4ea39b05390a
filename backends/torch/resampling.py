"""Interpolation and sampling at points on PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from unified.backends.protocol import Natives

natives = Natives()

_aten = torch.ops.aten
_NEAREST = {
    ("nearest", 1): _aten.upsample_nearest1d,
    ("nearest", 2): _aten.upsample_nearest2d,
    ("nearest", 3): _aten.upsample_nearest3d,
    ("nearest-exact", 1): _aten._upsample_nearest_exact1d,
    ("nearest-exact", 2): _aten._upsample_nearest_exact2d,
    ("nearest-exact", 3): _aten._upsample_nearest_exact3d,
}
_SMOOTH = {
    ("linear", False): _aten.upsample_linear1d,
    ("bilinear", False): _aten.upsample_bilinear2d,
    ("bicubic", False): _aten.upsample_bicubic2d,
    ("trilinear", False): _aten.upsample_trilinear3d,
    ("bilinear", True): _aten._upsample_bilinear2d_aa,
    ("bicubic", True): _aten._upsample_bicubic2d_aa,
}


@natives
def resample(input, size, scales, mode, align_corners, antialias):
    nearest = _NEAREST.get((mode, len(size)))
    if nearest is not None:
        return nearest(input, size, *scales)
    return _SMOOTH[mode, antialias](input, size, align_corners, *scales)


@natives
def grid_sample(input, grid, mode, padding_mode, align_corners):
    return F.grid_sample(input, grid, mode, padding_mode, bool(align_corners))


@natives
def affine_grid(theta, size, align_corners):
    return F.affine_grid(theta, list(size), bool(align_corners))
