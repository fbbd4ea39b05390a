"""Products of matrices and vectors on JAX."""

from __future__ import annotations

import math

import jax.numpy as jnp

from unified.backends.protocol import Natives

natives = Natives()


@natives
def matmul(input, other):
    if other.ndim == 2 and input.ndim > 2:  # one flat product: XLA on CPU is slow on a batched one by a matrix
        rows = math.prod(input.shape[:-1])
        flat = jnp.matmul(input.reshape(rows, input.shape[-1]), other)
        return flat.reshape(*input.shape[:-1], other.shape[-1])
    return jnp.matmul(input, other)


@natives
def einsum(equation, operands):
    return jnp.einsum(equation, *operands, optimize="auto")  # the best order of few operands, a good one of many
