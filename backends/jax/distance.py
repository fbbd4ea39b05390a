"""Norms of matrices and distances on JAX."""

from __future__ import annotations

import jax.numpy as jnp

from unified.backends.protocol import Natives

natives = Natives()


@natives
def singular_values(matrices):
    return jnp.linalg.svd(matrices, full_matrices=False, compute_uv=False)
