"""Products of tensors beyond the plain matrix product on JAX."""

from __future__ import annotations

import jax.numpy as jnp

from unified.backends.protocol import Natives

natives = Natives()


@natives
def conjugate_dot(x, y, dim):
    wide = jnp.promote_types(x.dtype, jnp.float32) if jnp.issubdtype(x.dtype, jnp.floating) else x.dtype
    return jnp.sum(jnp.conj(x.astype(wide)) * y.astype(wide), dim, dtype=wide).astype(x.dtype)
