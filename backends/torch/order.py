"""Order statistics on PyTorch: 32-bit indices."""

from __future__ import annotations

import torch

from unified.backends.protocol import Natives

natives = Natives()


def _selecting(function):
    def native(input, *arguments):
        found = function(input, *arguments)
        return found.values, found.indices.to(torch.int32)

    return native


def _quantile(function):
    def native(input, q, dim, interpolation):
        share = q if isinstance(q, torch.Tensor) else torch.full((1,), q, dtype=input.dtype, device=input.device)
        found = function(input, share.to(input.dtype).reshape(-1), dim, interpolation=interpolation)
        return torch.movedim(found, 0, dim)

    return native


natives(
    kthvalue=_selecting(torch.kthvalue), mode=_selecting(torch.mode), median=_selecting(torch.median),
    nanmedian=_selecting(torch.nanmedian), median_of_all=torch.median, nanmedian_of_all=torch.nanmedian,
    msort=torch.msort, quantile=_quantile(torch.quantile), nanquantile=_quantile(torch.nanquantile),
)  # fmt: skip
