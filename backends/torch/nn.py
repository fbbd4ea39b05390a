"""nn ops on PyTorch: its own kernels, fed with int64 indices where they insist on them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from unified.backends.protocol import Natives
from unified.backends.torch.transforms import pushing

natives = Natives()

natives(
    linear=F.linear, silu=F.silu, elu=F.elu, selu=F.selu, celu=F.celu, leaky_relu=F.leaky_relu, hardtanh=F.hardtanh,
    relu6=F.relu6, softplus=F.softplus, mish=F.mish, hardswish=F.hardswish, hardsigmoid=F.hardsigmoid,
    logsigmoid=F.logsigmoid, softsign=F.softsign, glu=F.glu, group_norm=F.group_norm, rms_norm=F.rms_norm,
    bilinear=torch.bilinear, native_layer_norm=torch.native_layer_norm, local_response_norm=F.local_response_norm,
)  # fmt: skip


@natives
def gelu(input, approximate):
    return F.gelu(input, approximate=approximate)


@natives
def layer_norm(input, normalized_shape, weight, bias, eps):
    return torch.layer_norm(input, normalized_shape, weight, bias, eps)


@natives
def batch_norm_train(input, running_mean, running_var, weight, bias, momentum, eps):
    running = [each for each in (running_mean, running_var) if each is not None]
    if any(len(each) != input.shape[1] for each in running):  # the kernel does not look
        raise ValueError("running statistics do not fit")
    if not running:
        out, mean, inverse = torch.native_batch_norm(input, weight, bias, None, None, True, 0.0, eps)
        return out, None, None, mean, inverse
    operands = (input, running_mean, running_var, weight, bias)
    if (
        len(running) == 2
        and isinstance(input, FakeTensor)
        and _has_kernel(operands)
        and not isinstance(momentum, Tensor)
    ):
        return torch.ops.unified.batch_norm(input.contiguous(), *operands[1:], momentum, eps)
    return _batch_norm(*operands, momentum, eps)


def _batch_norm(input, running_mean, running_var, weight, bias, momentum, eps):
    """Of two running statistics; one that is not there is made up, and not returned."""
    there = [running_mean is not None, running_var is not None]
    made_up = input.new_zeros(input.shape[1]) if not all(there) else None
    out, mean, inverse, *running = torch.ops.aten._native_batch_norm_legit_functional(
        input, weight, bias, *[made_up if r is None else r for r in (running_mean, running_var)], True, momentum, eps
    )
    running_mean, running_var = [r if is_there else None for r, is_there in zip(running, there, strict=True)]
    return out, running_mean, running_var, mean, inverse


def _has_kernel(operands):
    given = [each for each in operands if each is not None]
    first = given[0]
    return all(each.dtype is first.dtype and each.device.type == "cpu" for each in given) and first.dtype in (
        torch.float32,
        torch.float64,
    )


# Inductor would write batch norm out, which takes it seconds to compile and is no faster than PyTorch's kernels. So a
# program has them as they are, by ops of the bare kind: custom_op would look for aliases at each call.

_library = torch.library.Library("unified", "FRAGMENT")
_library.define(
    "batch_norm(Tensor input, Tensor running_mean, Tensor running_var, Tensor? weight, Tensor? bias, float momentum, "
    "float eps) -> (Tensor, Tensor, Tensor, Tensor, Tensor)"
)
_library.define(
    "batch_norm_backward(Tensor cotangent, Tensor input, Tensor? weight, Tensor mean, Tensor inverse, float eps) "
    "-> (Tensor, Tensor, Tensor)"
)
_library.impl("batch_norm", _batch_norm, "CPU")


def _batch_norm_backward(cotangent, input, weight, mean, inverse, eps):
    mask = [True, weight is not None, weight is not None]
    found = torch.ops.aten.native_batch_norm_backward(
        cotangent, input, weight, None, None, mean, inverse, True, eps, mask
    )
    return tuple(mean.new_empty(0) if each is None else each for each in found)


_library.impl("batch_norm_backward", _batch_norm_backward, "CPU")


@torch.library.register_fake("unified::batch_norm", lib=_library)
def _(input, running_mean, running_var, weight, bias, momentum, eps):
    return torch.empty_like(input), *[torch.empty_like(running_mean) for _ in range(4)]


@torch.library.register_fake("unified::batch_norm_backward", lib=_library)
def _(cotangent, input, weight, mean, inverse, eps):
    of_parameters = [mean.new_empty(0 if weight is None else mean.shape) for _ in range(2)]
    return torch.empty_like(input), *of_parameters


def _keep_for_batch_norm(ctx, inputs, output):
    input, _, _, weight, _, _, ctx.eps = inputs
    ctx.save_for_backward(input, weight, output[3], output[4])


def _pull_batch_norm(ctx, cotangent, *_):
    kernel = torch.ops.unified.batch_norm_backward
    if torch.is_grad_enabled():  # which PyTorch can differentiate
        kernel = _batch_norm_backward
    input, weight, mean, inverse = ctx.saved_tensors
    of_input, *of_parameters = kernel(cotangent.contiguous(), input, weight, mean, inverse, ctx.eps)
    of_weight, of_bias = (None, None) if weight is None else of_parameters
    return of_input, None, None, of_weight, of_bias, None, None


torch.library.register_autograd(
    "unified::batch_norm", _pull_batch_norm, setup_context=_keep_for_batch_norm, lib=_library
)


@natives
def instance_norm_train(input, running_mean, running_var, weight, bias, momentum, eps):
    """As PyTorch composes it, but without writing to the running statistics, which examples of a batch may share."""
    if running_mean is None and running_var is None:
        return F.instance_norm(input, None, None, weight, bias, True, momentum, eps), None, None
    count, channels = input.shape[:2]
    repeated = [None if each is None else each.repeat(count) for each in (running_mean, running_var, weight, bias)]
    flat = input.reshape(1, count * channels, *input.shape[2:])
    out, *running, _, _ = _batch_norm(flat, *repeated, momentum, eps)
    mean, var = [None if each is None else each.reshape(count, channels).mean(0) for each in running]
    return out.reshape(input.shape), mean, var


@natives
def native_group_norm(input, weight, bias, batch, channels, size, groups, eps):
    return torch.native_group_norm(input.contiguous(), weight, bias, batch, channels, size, groups, eps)


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
def frequency_scaled_rows(input, weight, padding_idx):
    return F.embedding(input, weight, padding_idx, scale_grad_by_freq=True)


@natives
def bags_of_equal_size(input, weight, per_sample_weights, mode, scale_grad_by_freq, padding_idx):
    return bags_by_offsets(input, weight, None, per_sample_weights, mode, scale_grad_by_freq, padding_idx)


@natives
def bags_by_offsets(input, weight, offsets, per_sample_weights, mode, scale_grad_by_freq, padding_idx):
    return F.embedding_bag(
        input,
        weight,
        offsets,
        scale_grad_by_freq=scale_grad_by_freq,
        mode=mode,
        per_sample_weights=per_sample_weights,
        padding_idx=padding_idx,
    )


@natives
def segment_argmax(input, segments, count):
    length, features = input.shape
    segments = segments.long()[:, None].expand(length, features)
    lowest = input.new_full((count + 1, features), -torch.inf)
    largest = lowest.scatter_reduce(0, segments, input, "amax").gather(0, segments)
    places = torch.arange(length, device=input.device)[:, None].expand(length, features)
    first = places.new_full((count + 1, features), length)
    chosen = torch.where(input == largest, places, length)
    return first.scatter_reduce(0, segments, chosen, "amin")[:count].int()


@natives
def one_hot(tensor, num_classes):
    return F.one_hot(tensor.long(), num_classes).to(tensor.dtype)


@natives
def causal_mask(query, key):
    return torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()


@natives
def attention(query, key, value, attn_mask, is_causal, scale, dropout_mask, dropout_scale):
    if dropout_mask is None and not pushing():
        return F.scaled_dot_product_attention(query, key, value, attn_mask, 0.0, is_causal, scale=scale)
    scores = (query * scale) @ key.transpose(-2, -1)
    if is_causal:
        attn_mask = causal_mask(query, key)
    if attn_mask is not None and attn_mask.dtype is torch.bool:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    weights = torch._safe_softmax(scores, -1)
    if dropout_mask is not None:
        weights = weights * (dropout_mask * dropout_scale).to(weights.dtype)
    return weights @ value
