"""Products of tensors beyond the plain matrix product on TensorFlow."""

from __future__ import annotations

import tensorflow as tf

from unified.backends.protocol import Natives

natives = Natives()


@natives.having("program")
def conjugate_dot(x, y, dim):
    return tf.reduce_sum((tf.math.conj(x) if x.dtype.is_complex else x) * y, dim)
