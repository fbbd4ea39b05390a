"""Discrete Fourier transforms on JAX."""

from __future__ import annotations

import jax.numpy as jnp

from unified.backends.protocol import Natives

natives = Natives()

_OTHER_WAY = {"backward": "forward", "forward": "backward", "ortho": "ortho"}
_AT_ONCE = 3  # dimensions that XLA transforms together


def _precise(input):
    """Integers and 16-bit floats as float32, which XLA's transforms need."""
    wide = jnp.issubdtype(input.dtype, jnp.inexact) and input.dtype.itemsize > 2
    return input if wide else input.astype(jnp.float32)


@natives
def fft_c2c(input, s, dim, norm, inverse):
    function = jnp.fft.ifftn if inverse else jnp.fft.fftn
    input = _precise(input)
    input = input if jnp.iscomplexobj(input) else input + 0j
    for end in range(len(dim), 0, -_AT_ONCE):
        start = max(end - _AT_ONCE, 0)
        input = function(input, s[start:end], dim[start:end], norm)
    return input


@natives
def fft_r2c(input, s, dim, norm, inverse):
    norm = _OTHER_WAY[norm] if inverse else norm
    first = max(len(dim) - _AT_ONCE, 0)
    spectrum = jnp.fft.rfftn(_precise(input), s[first:], dim[first:], norm)
    spectrum = fft_c2c(spectrum, s[:first], dim[:first], norm, False)
    return jnp.conj(spectrum) if inverse else spectrum


@natives
def fft_c2r(input, s, dim, norm, inverse):
    input = _precise(input)
    if not inverse:
        input, norm = jnp.conj(input), _OTHER_WAY[norm]
    first = max(len(dim) - _AT_ONCE, 0)
    input = fft_c2c(input, s[:first], dim[:first], norm, True)
    return jnp.fft.irfftn(input, s[first:], dim[first:], norm)
