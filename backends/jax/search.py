"""Searching on JAX."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp

from unified.backends.jax.elementwise import operands
from unified.backends.protocol import Natives

natives = Natives()


@natives
def searchsorted(sorted_sequence, input, right):
    sequence, values = operands(sorted_sequence, input)
    find = functools.partial(jnp.searchsorted, side="right" if right else "left")
    if sequence.ndim == 1:
        return find(sequence, values).astype(jnp.int32)
    count = math.prod(sequence.shape[:-1])
    rows = [array.reshape(count, array.shape[-1]) for array in (sequence, values)]
    if not count:
        return jnp.zeros(values.shape, jnp.int32)
    return jax.vmap(find)(*rows).astype(jnp.int32).reshape(values.shape)
