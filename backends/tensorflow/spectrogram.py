"""Spectra over time on TensorFlow."""

from __future__ import annotations

import tensorflow as tf

from unified.backends.protocol import Natives

natives = Natives()


@natives.having("program")
def complex_pairs(input):
    return tf.stack([tf.math.real(input), tf.math.imag(input)], -1)
