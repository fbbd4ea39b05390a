"""Searching on TensorFlow."""

from __future__ import annotations

import tensorflow as tf

from unified.backends.protocol import Natives
from unified.backends.tensorflow.dtype import operands

natives = Natives()
raw = tf.raw_ops


@natives
def searchsorted(sorted_sequence, input, right):
    sequence, values = operands(sorted_sequence, input)
    if not sequence.shape.rank or (sequence.shape.rank > 1 and sequence.shape[:-1] != values.shape[:-1]):
        raise ValueError("rows differ")  # the op's check says it in everyone's words
    rows = tf.reshape(sequence, (-1, sequence.shape[-1])) if sequence.shape.rank > 1 else sequence[None]
    found = tf.reshape(values, (rows.shape[0], -1)) if rows.shape[0] else tf.reshape(values, (0, 0))
    bound = raw.UpperBound if right else raw.LowerBound
    return tf.reshape(bound(sorted_inputs=rows, values=found, out_type=tf.int32), values.shape)
