"""Complex numbers: their parts, their conjugates, their making on TensorFlow."""

from __future__ import annotations

import tensorflow as tf

from unified.backends.protocol import Natives
from unified.backends.tensorflow.elementwise import direction, sign

natives = Natives()
raw = tf.raw_ops


@natives
def real(input):
    return raw.Real(input=input, Tout=input.dtype.real_dtype) if input.dtype.is_complex else raw.Identity(input=input)


@natives
def imag(input):
    if not input.dtype.is_complex:
        raise TypeError(input.dtype)  # the op's check says it in everyone's words
    return raw.Imag(input=input, Tout=input.dtype.real_dtype)


@natives.having("program")
def sgn(input):
    return direction(input) if input.dtype.is_complex else sign(input)


@natives
def conj(input):
    return raw.Conj(input=input) if input.dtype.is_complex else raw.Identity(input=input)


@natives
def complex(real, imag):
    return tf.complex(real, imag)
