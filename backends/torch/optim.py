"""Arithmetic on many tensors at once on PyTorch: its ``_foreach`` kernels."""

from __future__ import annotations

import torch

from unified.backends.protocol import Natives

natives = Natives()

_TAKES_SCALAR_TENSOR = ("mul", "div")
"""Kernels that take one 0-d tensor for all, and leave it on its device."""


@natives
def foreach(tensors, others, kind):
    function = getattr(torch, f"_foreach_{kind}")
    if not others:
        return function(tensors)
    if len(others) == len(tensors):
        return function(tensors, others)
    other = others[0]
    whole = not isinstance(other, torch.Tensor) or kind in _TAKES_SCALAR_TENSOR
    return function(tensors, other if whole else [other] * len(tensors))
