"""Optimiser updates on PyTorch: ``_foreach`` kernels over all parameters, without a write to any operand."""

from __future__ import annotations

import math

import torch

from unified.backends.protocol import Natives

natives = Natives()


@natives
def sgd_update(params, grads, momenta, lr, weight_decay, step, momentum, dampening, nesterov, maximize):
    with torch.no_grad():
        direction = torch._foreach_neg(grads) if maximize else list(grads)
        if weight_decay is not None:
            direction = torch._foreach_add(direction, torch._foreach_mul(params, weight_decay))
        moved = []
        if momentum:
            damped = direction
            if dampening != 0.0 and step is not None:
                damped = torch._foreach_mul(direction, 1.0 - dampening * torch.clamp(step, max=1.0))
            moved = torch._foreach_add(torch._foreach_mul(momenta, momentum), damped)
            direction = torch._foreach_add(direction, moved, alpha=momentum) if nesterov else moved
        updated = torch._foreach_sub(params, torch._foreach_mul(direction, lr))
        return [*updated, *moved, *([] if step is None else [step + 1.0])]


def _correction(count, beta):
    """``1 - beta ** count``, accurate for beta near 1."""
    return -torch.expm1(count * math.log(beta)) if beta else torch.ones_like(count)


@natives
def adam_update(
    params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, step, lr, weight_decay,
    beta1, beta2, eps, decoupled, amsgrad, maximize,
):  # fmt: skip
    with torch.no_grad():
        count = step + 1.0
        gradients = torch._foreach_neg(grads) if maximize else list(grads)
        decayed = params
        if weight_decay is not None and decoupled:
            decayed = torch._foreach_mul(params, 1.0 - lr * weight_decay)
        elif weight_decay is not None:
            gradients = torch._foreach_add(gradients, torch._foreach_mul(params, weight_decay))
        firsts = torch._foreach_lerp(exp_avgs, gradients, 1.0 - beta1)
        seconds = torch._foreach_mul(exp_avg_sqs, beta2)
        torch._foreach_addcmul_(seconds, gradients, gradients, 1.0 - beta2)
        maxima = torch._foreach_maximum(max_exp_avg_sqs, seconds) if amsgrad else []
        denominators = torch._foreach_sqrt(maxima if amsgrad else seconds)
        torch._foreach_div_(denominators, torch.sqrt(_correction(count, beta2)))
        torch._foreach_add_(denominators, eps)
        steps = torch._foreach_div(firsts, denominators)
        torch._foreach_mul_(steps, lr / _correction(count, beta1))
        return [*torch._foreach_sub(decayed, steps), *firsts, *seconds, *maxima, count]
