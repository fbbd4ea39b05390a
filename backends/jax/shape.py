"""Ops that rearrange elements on JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unified.backends.jax import device as _device
from unified.backends.jax.elementwise import operands
from unified.backends.protocol import Natives

natives = Natives()

natives(
    reshape=jnp.reshape, unsqueeze=jnp.expand_dims, permute=jnp.transpose,
    diagonal=jnp.diagonal, tril=jnp.tril, triu=jnp.triu, roll=jnp.roll, repeat=jnp.tile,
)  # fmt: skip


@natives
def squeeze(input, dim):
    listed = range(input.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    return jnp.squeeze(input, tuple(d for d in listed if input.ndim and input.shape[d] == 1))


@natives
def transpose(input, dim0, dim1):
    return jnp.swapaxes(input, dim0, dim1) if input.ndim else input


@natives
def expand(input, size):
    offset = len(size) - input.ndim
    shape = tuple(input.shape[i - offset] if n == -1 else n for i, n in enumerate(size))
    return jnp.broadcast_to(input, shape)


@natives
def flip(input, dims):
    return jnp.flip(input, dims)


@natives
def cat(tensors, dim):
    kept = [t for t in tensors if t.shape != (0,)] or [tensors[0]]
    arrays = operands(*tensors)
    dtype = arrays[0].dtype
    return jnp.concatenate([t.astype(dtype) for t in kept], dim)


@natives
def stack(tensors, dim):
    return jnp.stack(operands(*tensors), dim)


@natives
def split_lengths(input, lengths, dim):
    ends, total = [], 0
    for length in lengths[:-1]:
        total += length
        ends.append(total)
    return tuple(jnp.split(input, ends, dim))


@natives
def unbind(input, dim):
    return tuple(jnp.moveaxis(input, dim, 0))


@natives
def constant_pad(input, pad, value):
    pairs = [(0, 0, 0)] * (input.ndim - len(pad) // 2)
    pairs += [(pad[i], pad[i + 1], 0) for i in range(len(pad) - 2, -1, -2)]
    return jax.lax.pad(input, jnp.asarray(value).astype(input.dtype), pairs)


@natives.having("eager")
def to_device(input, device):
    return jax.device_put(input, _device.to_native(device))
