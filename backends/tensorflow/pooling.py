"""The inverse of max pooling on TensorFlow; pooling itself is made of other ops."""

from __future__ import annotations

import math

import tensorflow as tf

from unified.backends.protocol import Natives

natives = Natives()


def _places(indices, length):
    """Positions in the flattened ``(rows, length)``."""
    rows = tf.range(indices.shape[0], dtype=indices.dtype)[:, None]
    return tf.reshape(indices + rows * length, (-1, 1))


@natives.having("program")
def max_unpool(input, indices, output_size):
    lead = tuple(input.shape[: input.shape.rank - len(output_size)])
    length = math.prod(output_size)
    places = _places(tf.reshape(indices, (math.prod(lead), -1)), length)

    @tf.custom_gradient
    def placed(values):
        """Each element gets its place's gradient, also where several share it."""
        target = tf.zeros((math.prod(lead) * length,), values.dtype)
        result = tf.tensor_scatter_nd_update(target, places, tf.reshape(values, (-1,)))

        def gradient(cotangent):
            return tf.reshape(tf.gather(tf.reshape(cotangent, (-1,)), places[:, 0]), values.shape)

        return tf.reshape(result, (*lead, *output_size)), gradient

    return placed(input)
