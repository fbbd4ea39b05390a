"""Covariance and hashes on JAX."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from unified.backends.jax.dtype import to_native
from unified.backends.jax.elementwise import floating, is_inexact, operands
from unified.backends.protocol import Natives

natives = Natives()


@natives
def cov(input, correction, fweights, aweights):
    rows = floating(jnp.atleast_2d(input))
    given = [jnp.atleast_1d(w) for w in (fweights, aweights) if w is not None]
    if given:
        rows, weights = operands(rows, functools.reduce(jnp.multiply, operands(*given)))
        weights = weights.real
    else:
        weights = jnp.ones((rows.shape[1],), rows.real.dtype)
    total = jnp.sum(weights)
    lost = correction if aweights is None else correction * jnp.sum(weights * aweights) / total
    deviations = rows - (jnp.sum(rows * weights, 1) / total)[:, None]
    products = deviations @ jnp.conj(deviations * weights).T
    return (products / jnp.maximum(total - lost, 0)).squeeze()


@natives
def corrcoef(input):
    found = cov(input, 1, None, None)
    if not found.ndim:
        return found / found
    deviations = jnp.sqrt(jnp.diagonal(found).real)
    found = found / deviations[:, None] / deviations[None, :]
    if jnp.iscomplexobj(found):
        return jax.lax.complex(jnp.clip(found.real, -1, 1), jnp.clip(found.imag, -1, 1))
    return jnp.clip(found, -1, 1)


@natives
def hash_tensor(input, dim, keepdim, dtype):
    wide = input.astype(jnp.float64 if is_inexact(input) else jnp.int64)
    bits = jax.lax.bitcast_convert_type(wide, to_native(dtype))
    listed = range(bits.ndim) if dim is None or dim == () else (dim,) if isinstance(dim, int) else dim
    dims = tuple(index % bits.ndim for index in listed) if bits.ndim else ()
    joined = jax.lax.reduce(bits, bits.dtype.type(0), jax.lax.bitwise_xor, dims)
    return jnp.expand_dims(joined, dims) if keepdim else joined
