"""Products of tensors beyond the plain matrix product on TensorFlow."""

from __future__ import annotations

import tensorflow as tf

from unified.backends.protocol import Natives

natives = Natives()


@natives.having("program")
def conjugate_dot(x, y, dim):
    dtype = x.dtype
    if dtype in (tf.float16, tf.bfloat16):
        x, y = tf.cast(x, tf.float32), tf.cast(y, tf.float32)
    return tf.cast(tf.reduce_sum((tf.math.conj(x) if dtype.is_complex else x) * y, dim), dtype)
