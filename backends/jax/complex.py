"""Complex numbers: their parts, their conjugates, their making on JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unified.backends.protocol import Natives

natives = Natives()
natives(real=jnp.real, imag=jnp.imag, conj=jnp.conj)


@natives
def complex(real, imag):
    return jax.lax.complex(*jnp.broadcast_arrays(real, imag))
