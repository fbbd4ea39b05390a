"""Activations on TensorFlow."""

from __future__ import annotations

import math

import tensorflow as tf

from unified.backends.protocol import Natives

natives = Natives()


@natives.having("program")
def gelu(input, approximate):
    if approximate == "tanh":
        return tf.nn.gelu(input, approximate=True)
    if approximate != "none":
        raise ValueError(approximate)  # the op's check says it in everyone's words
    # 1 + erf is not 0 where it should be: XLA's erf is a few units off -1, and a large input makes much of them
    return 0.5 * input * tf.math.erfc(input * -math.sqrt(0.5))
