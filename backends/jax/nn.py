"""nn ops on JAX, in PyTorch's layouts: NCHW activations, (out, in, ...) weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unified.backends.protocol import Natives

natives = Natives()


@natives
def linear(input, weight, bias):
    rows = input.reshape(-1, input.shape[-1])  # one flat product: XLA on CPU is slow on a batched one by a matrix
    out = jax.lax.dot_general(rows, weight, (((1,), (weight.ndim - 1,)), ((), ())))
    out = out if bias is None else out + bias
    return out.reshape(*input.shape[:-1], *weight.shape[:-1])


@natives
def embedding(input, weight, padding_idx):
    # PyTorch refuses negative indices; fill answers one too large, and the shift makes one of every negative
    rows = jnp.where(input < 0, weight.shape[0], input)
    out = jnp.take(weight, rows, axis=0, mode="fill", fill_value=jnp.nan)
    if padding_idx is None:
        return out
    padded = input == padding_idx % weight.shape[0]
    return jnp.where(padded[..., None], jax.lax.stop_gradient(out), out)


@natives
def segment_argmax(input, segments, count):
    length = input.shape[0]
    largest = jax.ops.segment_max(input, segments, count + 1)[segments]
    places = jnp.where(input == largest, jnp.arange(length, dtype=jnp.int32)[:, None], length)
    return jnp.minimum(jax.ops.segment_min(places, segments, count + 1)[:count], length)


@natives
def one_hot(tensor, num_classes):
    return (tensor[..., None] == jnp.arange(num_classes, dtype=tensor.dtype)).astype(tensor.dtype)


@natives
def causal_mask(query, key):
    return jnp.tri(query.shape[-2], key.shape[-2], dtype=bool)


@natives
def batch_norm_train(input, running_mean, running_var, weight, bias, momentum, eps):
    if input.dtype.itemsize < 4:  # half precision is summed in float32, as by PyTorch's kernels
        given = (input, running_mean, running_var, weight, bias)
        wide = [None if each is None else each.astype(jnp.float32) for each in given]
        kinds = [each if each is None else each.dtype for each in (input, running_mean, running_var, input, input)]
        found = batch_norm_train(*wide, momentum, eps)
        return tuple(r if r is None else r.astype(kind) for r, kind in zip(found, kinds, strict=True))
    last = input.transpose(0, *range(2, input.ndim), 1)
    over = tuple(range(last.ndim - 1))
    count = input.size // input.shape[1]
    mean = last.mean(over)
    centred = last - mean
    var = (centred * centred).mean(over)
    inverse = jax.lax.rsqrt(var + eps)
    out = centred * inverse
    if weight is not None:
        out = out * weight
    if bias is not None:
        out = out + bias
    unbiased = var * (count / max(count - 1, 1))
    return (
        out.transpose(0, -1, *range(1, last.ndim - 1)),
        None if running_mean is None else running_mean + momentum * (mean - running_mean),
        None if running_var is None else running_var + momentum * (unbiased - running_var),
        mean,
        inverse,
    )
