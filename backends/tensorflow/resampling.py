"""Weighted sums along a dimension on TensorFlow; interpolation and sampling at points are made of other ops."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from unified.backends.protocol import Natives

natives = Natives()


def _swapped(input, dim):
    order = list(range(input.shape.rank))
    order[dim], order[-1] = order[-1], order[dim]
    return tf.transpose(input, order)


@natives.having("program")
def weigh(input, dim, places, weights):
    at, length = input.shape.rank + dim, input.shape[dim]
    tail = (1,) * (-dim - 1)
    listed, factors = np.asarray(places), np.asarray(weights)
    there = listed >= 0

    def gradient(cotangent):
        """By one product with the weights as a matrix: XLA scatters element by element."""
        matrix = np.zeros((len(listed), length))
        rows = np.broadcast_to(np.arange(len(listed))[:, None], listed.shape)
        np.add.at(matrix, (rows[there], listed[there]), factors[there])
        moved = _swapped(cotangent, dim)
        flat = tf.matmul(tf.reshape(moved, (-1, len(listed))), tf.constant(matrix, cotangent.dtype))
        return _swapped(tf.reshape(flat, (*moved.shape[:-1], length)), dim)

    @tf.custom_gradient
    def weighed(values):
        read = tf.gather(values, tf.constant(np.maximum(listed, 0), tf.int32), axis=at)
        terms = read * tf.constant(factors.reshape(*listed.shape, *tail), values.dtype)
        if not there.all():
            terms = tf.where(there.reshape(*listed.shape, *tail), terms, tf.zeros((), values.dtype))
        return tf.reduce_sum(terms, at + 1), gradient

    return weighed(input)
