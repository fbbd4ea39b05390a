"""PyTorch's own optimizers over copies of parameters, which they may write to."""

from __future__ import annotations

import torch

from unified.backends.protocol import Natives

natives = Natives()


def _copies(holder):
    return [param for group in holder.inner.param_groups for param in group["params"]]


@natives
def torch_optimizer_init(params, holder):
    copies = iter([torch.nn.Parameter(param.detach().clone()) for param in params])
    groups = [{**options, "params": [next(copies) for _ in range(count)]} for count, options in holder.layout]
    holder.inner = holder.kind(groups, **holder.options)
    return []


@natives
def torch_optimizer_step(params, grads, present, holder):
    copies = _copies(holder)
    for copy, param in zip(copies, params, strict=True):
        copy.data.copy_(param)
        copy.grad = None
    for index, grad in zip(present, grads, strict=True):
        copies[index].grad = grad.detach().clone()
    holder.inner.step()
    return [copy.detach().clone() for copy in copies]
