"""Complex numbers: their parts, their conjugates, their making on JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unified.backends.jax.elementwise import direction, sign
from unified.backends.protocol import Natives

natives = Natives()
natives(sgn=lambda input: direction(input) if jnp.iscomplexobj(input) else sign(input))
natives(real=jnp.real, imag=jnp.imag, conj=jnp.conj)


@natives
def complex(real, imag):
    return jax.lax.complex(*jnp.broadcast_arrays(real, imag))
