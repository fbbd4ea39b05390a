"""Arithmetic on many tensors at once on PyTorch, by its ``_foreach`` kernels, and Muon's iteration."""

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


@natives
def foreach_toward(tensors, others, weight):
    if isinstance(weight, torch.Tensor):  # the kernels take a number only
        change = torch._foreach_mul(torch._foreach_sub(others, tensors), weight)
        return torch._foreach_add(tensors, change)
    return torch._foreach_lerp(tensors, others, weight)


@natives
def foreach_add_square(tensors, others, weight):
    if isinstance(weight, torch.Tensor):
        return torch._foreach_add(tensors, torch._foreach_mul(torch._foreach_mul(others, others), weight))
    return torch._foreach_addcmul(tensors, others, others, weight)


@natives
def total_norm(tensors, norm_type):
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors, norm_type)), norm_type)


@natives
def clamped(tensors, limit):
    return torch._foreach_clamp_max(torch._foreach_clamp_min(tensors, -limit), limit)


@natives
def orthogonalized(matrix, coefficients, steps, eps):
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).to(torch.bfloat16)
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if tall else x).to(torch.float32)
