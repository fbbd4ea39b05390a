"""Writing at positions: scatter, put and their reductions on JAX."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from unified.backends.jax.indexing import cleared
from unified.backends.protocol import Natives

natives = Natives()


@natives
def reduce_at(input, positions, src, reduce, include_self):
    if input.dtype == jnp.bool_:
        return reduce_at(input.astype(jnp.int32), positions, src.astype(jnp.int32), reduce, include_self) != 0
    if reduce not in ("sum", "mean"):
        return _reduced(input, positions, src, reduce, include_self)
    base = input if include_self else cleared(input, positions)
    total = base.at[positions].add(src)
    if reduce == "sum":
        return total
    counts = jnp.full(input.shape, int(include_self), jnp.int32).at[positions].add(1)
    counts = jnp.maximum(counts, 1).astype(input.dtype)
    return total / counts if jnp.issubdtype(input.dtype, jnp.inexact) else total // counts


def _neutral(reduce, dtype):
    if reduce == "prod":
        return 1
    if jnp.issubdtype(dtype, jnp.floating):
        return -jnp.inf if reduce == "amax" else jnp.inf
    return jnp.iinfo(dtype).min if reduce == "amax" else jnp.iinfo(dtype).max


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def _reduced(input, positions, src, reduce, include_self):
    base = input if include_self else input.at[positions].set(_neutral(reduce, input.dtype))
    target = base.at[positions]
    return {"prod": target.multiply, "amax": target.max, "amin": target.min}[reduce](src)


@_reduced.defjvp
def _reduced_jvp(reduce, include_self, primals, tangents):
    """PyTorch's derivatives (scatter_reduce_backward in its FunctionsManual.cpp), read forward."""
    input, positions, src = primals
    slope, _, src_slope = tangents
    value = _reduced(input, positions, src, reduce, include_self)
    if reduce == "prod":
        by_input, by_src = _others(input, positions, src, value, include_self)
    else:
        by_input = (input == value).astype(input.dtype)
        by_src = (src == value[positions]).astype(input.dtype)
        ties = by_input.at[positions].add(by_src)  # 0 where the value is NaN, which no element equals
        by_input, by_src = by_input / ties, by_src / ties[positions]
    kept = slope if include_self else cleared(slope, positions)
    return value, (by_input * kept).at[positions].add(by_src * src_slope)


def _others(input, positions, src, value, include_self):
    """For each element of ``input`` and of ``src`` the product of the others at its place."""
    filled = jnp.where(input == 0, 1, input)
    by_input = _reduced(filled, positions, src, "prod", include_self) / filled
    zero = src == 0
    zeros = jnp.zeros(input.shape, jnp.int32).at[positions].add(zero)
    alone = zero & (zeros[positions] == 1)
    without = _reduced(input, positions, jnp.where(alone, 1, src), "prod", include_self)
    by_src = jnp.where(alone, without[positions], value[positions] / jnp.where(zero, 1, src))
    return by_input, by_src
