"""Updates on PyTorch: arithmetic on many tensors by ``_foreach`` kernels, Adam's fused one, Muon's iteration."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor
from torch._subclasses.fake_tensor import FakeTensor

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


# ---- Adam ----------------------------------------------------------------------------------------------------------


@natives.having("or composite")
def adam_update(composite, params, grads, means, squares, largest, numbers, decoupled):
    if not all(map(_has_kernel, params, grads)) or not all(map(_is_dense, [*means, *squares, *largest])):
        return composite(params, grads, means, squares, largest, numbers, decoupled)
    grads = [grad.contiguous() for grad in grads]
    if not isinstance(params[0], FakeTensor):
        return _updated(params, grads, means, squares, largest, numbers, decoupled)
    numbers = [n if isinstance(n, Tensor) else torch.tensor(n, dtype=torch.float64) for n in numbers]
    return torch.ops.unified.adam_update(params, grads, means, squares, largest, numbers, decoupled)


def _has_kernel(param, grad):
    """The kernel computes 16 bits otherwise than PyTorch's other ones do, and on a GPU wants numbers from there."""
    records = torch.is_grad_enabled() and (param.requires_grad or grad.requires_grad)
    return (
        param.dtype in (torch.float32, torch.float64)
        and param.dtype is grad.dtype
        and param.device.type == "cpu"
        and _is_dense(param)
        and not records
        and not is_functorch_wrapped_tensor(param)
        and not is_functorch_wrapped_tensor(grad)
    )


def _is_dense(tensor):
    return tensor.is_contiguous()


def _updated(params, grads, means, squares, largest, numbers, decoupled):
    written = [tensor.detach().clone() for tensor in (*params, *means, *squares, *largest)]
    update_in_place(written, grads, numbers, decoupled)
    return written


def update_in_place(written, grads, numbers, decoupled):
    """Writes the update into ``written``, the params, means, squares and largest, one kind after the other."""
    count = len(grads)
    kinds = [written[start : start + count] for start in range(0, len(written), count)]
    step, *numbers = numbers
    rate, decay, toward1, _, _, toward2, _, eps = [n.item() if isinstance(n, Tensor) else n for n in numbers]
    kernel = torch._fused_adamw_ if decoupled else torch._fused_adam_
    kernel(
        kinds[0],
        grads,
        *kinds[1:3],
        kinds[3] if len(kinds) > 3 else [],
        [step] * count,
        lr=rate,
        beta1=1.0 - toward1,  # exact, where a beta rounded to float32 is not
        beta2=1.0 - toward2,
        weight_decay=decay,
        eps=eps,
        amsgrad=len(kinds) > 3,
        maximize=False,
    )


@torch.library.custom_op("unified::adam_update", mutates_args=())
def _opaque(
    params: list[Tensor],
    grads: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    largest: list[Tensor],
    numbers: list[Tensor],
    decoupled: bool,
) -> list[Tensor]:
    return _updated(params, grads, means, squares, largest, numbers, decoupled)


@_opaque.register_fake
def _(params, grads, means, squares, largest, numbers, decoupled):
    return [torch.empty_like(tensor) for tensor in (*params, *means, *squares, *largest)]


UPDATE = torch.ops.unified.adam_update.default
