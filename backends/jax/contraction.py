"""Products of tensors beyond the plain matrix product on JAX."""

from __future__ import annotations

import jax.numpy as jnp

from unified.backends.protocol import Natives

natives = Natives()


@natives
def conjugate_dot(x, y, dim):
    return jnp.sum(jnp.conj(x) * y, dim, dtype=x.dtype)
