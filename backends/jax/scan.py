"""Running extremes and sums along a dimension on JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unified.backends.jax.elementwise import with_slopes
from unified.backends.protocol import Natives

natives = Natives()


def _running(scan):
    """``scan``'s values and where each came from: the last index whose element equals it (or is its NaN)."""

    def native(input, dim):
        if not input.ndim:
            return input, jnp.zeros((), jnp.int32)
        axis = dim % input.ndim
        keys = jax.lax.stop_gradient(input)
        keys = keys.astype(jnp.int8) if keys.dtype == jnp.bool_ else keys
        holds = (keys == scan(keys, axis)) | (keys != keys)
        places = jax.lax.broadcasted_iota(jnp.int32, input.shape, axis)
        indices = jax.lax.cummax(jnp.where(holds, places, 0), axis)
        return jnp.take_along_axis(input, indices, axis), indices

    return native


natives(cummax=_running(jax.lax.cummax), cummin=_running(jax.lax.cummin))


def _log_add(x, y):
    """PyTorch keeps the larger by real part; two infinities of one sign are their own sum."""
    first = x.real >= y.real
    larger, smaller = jnp.where(first, x, y), jnp.where(first, y, x)
    same = jnp.isinf(larger.real) & (larger.real == smaller.real)
    apart = jnp.where(same, 0, smaller - larger)
    value = larger + jnp.log1p(jnp.exp(apart))
    return jnp.where(same, larger, jnp.where(jnp.isnan(x) | jnp.isnan(y), x + y, value))


_joined = with_slopes(_log_add, lambda value, x, y: (lambda: jnp.exp(x - value), lambda: jnp.exp(y - value)))


def _in_turn(input, dim):
    """One element after the other: which of its many logarithms a complex sum gets depends on the order."""
    moved = jnp.moveaxis(input, dim, 0)

    def add(held, element):
        total = _joined(held, element)
        return total, total

    _, later = jax.lax.scan(add, moved[0], moved[1:])
    return jnp.moveaxis(jnp.concatenate([moved[:1], later]), 0, dim)


@natives
def logcumsumexp(input, dim):
    if not input.ndim:
        return input
    if jnp.iscomplexobj(input) and input.size:
        return _in_turn(input, dim)
    half = input.dtype in (jnp.float16, jnp.bfloat16)
    wide = input.astype(jnp.float32) if half else input
    return jax.lax.associative_scan(_joined, wide, axis=dim % input.ndim).astype(input.dtype)
