"""nn ops on PyTorch: its own kernels, fed with int64 indices where they insist on them."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from unified.backends.protocol import Natives

natives = Natives()

natives(
    linear=F.linear, silu=F.silu, elu=F.elu, selu=F.selu, celu=F.celu, leaky_relu=F.leaky_relu, hardtanh=F.hardtanh,
    relu6=F.relu6, softplus=F.softplus, mish=F.mish, hardswish=F.hardswish, hardsigmoid=F.hardsigmoid,
    logsigmoid=F.logsigmoid, softsign=F.softsign, glu=F.glu, group_norm=F.group_norm, rms_norm=F.rms_norm,
)  # fmt: skip


@natives
def gelu(input, approximate):
    return F.gelu(input, approximate=approximate)


@natives
def layer_norm(input, normalized_shape, weight, bias, eps):
    return torch.layer_norm(input, normalized_shape, weight, bias, eps)


@natives
def batch_norm_train(input, running_mean, running_var, weight, bias, momentum, eps):
    if input.numel() == input.shape[1]:
        raise ValueError("one value per channel")
    if running_mean is None or running_var is None:
        out = torch.batch_norm(input, weight, bias, None, None, True, 0.0, eps, torch.backends.cudnn.enabled)
        return out, None, None
    if len(running_mean) != input.shape[1] or len(running_var) != input.shape[1]:  # the kernel does not look
        raise ValueError("running statistics do not fit")
    out, _, _, mean, var = torch.ops.aten._native_batch_norm_legit_functional(
        input, weight, bias, running_mean, running_var, True, momentum, eps
    )
    return out, mean, var


@natives
def batch_norm_eval(input, running_mean, running_var, weight, bias, eps):
    return torch.batch_norm(
        input, weight, bias, running_mean, running_var, False, 0.0, eps, torch.backends.cudnn.enabled
    )


@natives
def embedding(input, weight, padding_idx):
    if weight.dim() != 2:
        raise ValueError("weight must be a matrix")
    return F.embedding(input, weight, padding_idx)


@natives
def one_hot(tensor, num_classes):
    return F.one_hot(tensor.long(), num_classes).to(tensor.dtype)


@natives
def causal_mask(query, key):
    return torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()


@natives
def attention(query, key, value, attn_mask, is_causal, scale, dropout_mask, dropout_scale):
    if dropout_mask is None:
        return F.scaled_dot_product_attention(query, key, value, attn_mask, 0.0, is_causal, scale=scale)
    scores = (query * scale) @ key.transpose(-2, -1)
    if is_causal:
        attn_mask = causal_mask(query, key)
    if attn_mask is not None and attn_mask.dtype is torch.bool:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return (torch._safe_softmax(scores, -1) * (dropout_mask * dropout_scale).to(scores.dtype)) @ value


def _loss(function):
    """``function(input, target, reduction, extra)`` on broadcast operands, so that PyTorch does not warn of it."""

    def native(input, target, reduction, *extra):
        if input.shape != target.shape:
            input, target = torch.broadcast_tensors(input, target)
        return function(input, target, None, None, reduction, *extra)

    return native


natives(mse_loss=_loss(F.mse_loss), l1_loss=_loss(F.l1_loss), smooth_l1_loss=_loss(F.smooth_l1_loss))


@natives
def huber_loss(input, target, reduction, delta):
    if input.shape != target.shape:
        input, target = torch.broadcast_tensors(input, target)
    return F.huber_loss(input, target, reduction, delta)


@natives
def binary_cross_entropy_with_logits(input, target, weight, reduction, pos_weight):
    return F.binary_cross_entropy_with_logits(input, target, weight, reduction=reduction, pos_weight=pos_weight)


@natives
def nll_loss(input, target, weight, ignore_index, reduction):
    return F.nll_loss(input, target.long(), weight, ignore_index=ignore_index, reduction=reduction)


@natives
def cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing):
    if not target.dtype.is_floating_point:
        target = target.long()
    return F.cross_entropy(
        input, target, weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )
