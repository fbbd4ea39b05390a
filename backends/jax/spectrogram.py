"""Spectra over time on JAX."""

from __future__ import annotations

import jax.numpy as jnp

from unified.backends.protocol import Natives

natives = Natives()


@natives
def complex_pairs(input):
    return jnp.stack([input.real, input.imag], -1)
