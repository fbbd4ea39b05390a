"""The inverse of max pooling on JAX; pooling itself is made of other ops."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp

from unified.backends.protocol import Natives

natives = Natives()


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _placed(rows, indices, length):
    """``rows (R, P)`` at ``indices (R, P)`` in zeros ``(R, length)``; each element gets its place's gradient."""
    target = jnp.zeros((rows.shape[0], length), rows.dtype)
    return target.at[jnp.arange(rows.shape[0])[:, None], indices].set(rows)


def _forward(rows, indices, length):
    return _placed(rows, indices, length), indices


def _backward(length, indices, cotangent):
    return jnp.take_along_axis(cotangent, indices, 1), None


_placed.defvjp(_forward, _backward)


@natives
def max_unpool(input, indices, output_size):
    lead = input.shape[: input.ndim - len(output_size)]
    rows = (math.prod(lead), math.prod(input.shape[len(lead) :]))
    placed = _placed(input.reshape(rows), indices.reshape(rows), math.prod(output_size))
    return placed.reshape(*lead, *output_size)
