"""Arithmetic on many tensors at once on PyTorch: its ``_foreach`` kernels."""

from __future__ import annotations

import torch

from unified.backends.protocol import Natives

natives = Natives()

_LISTS_ONLY = ("maximum", "minimum")
"""Kernels that take a second list or a number, but no 0-d tensor."""


@natives
def foreach(tensors, others, kind):
    function = getattr(torch, f"_foreach_{kind}")
    if not others:
        return function(tensors)
    if len(others) == len(tensors):
        return function(tensors, others)
    other = others[0]
    if not isinstance(other, torch.Tensor):
        return function(tensors, other)
    if kind in _LISTS_ONLY:
        return function(tensors, [other] * len(tensors))
    if kind == "sub":
        return torch._foreach_add(tensors, other, alpha=-1)
    return function(tensors, other)
