"""Tensors out of nothing on TensorFlow."""

from __future__ import annotations

import tensorflow as tf

from unified.backends.protocol import Natives
from unified.backends.tensorflow import device as _device
from unified.backends.tensorflow.dtype import FROM_NATIVE, to_native

natives = Natives()
raw = tf.raw_ops


def _number(value, dtype):
    """A 0-d tensor; numpy does the conversion, which TensorFlow refuses from float to int."""
    return value if tf.is_tensor(value) else tf.constant(FROM_NATIVE[dtype].numpy.type(value), dtype)


@natives
def make_full(size, value, dtype, device):
    with tf.device(None if device is None else _device.to_native(device)):
        return raw.Fill(dims=tf.constant(size, tf.int32), value=_number(value, to_native(dtype)))


@natives
def make_arange(start, step, length, dtype, device):
    native = to_native(dtype)
    with tf.device(None if device is None else _device.to_native(device)):
        steps = tf.cast(tf.range(length), native)
        return steps if start == 0 and step == 1 else tf.constant(start, native) + steps * tf.constant(step, native)


@natives
def make_full_like(input, value, dtype):
    native = input.dtype if dtype is None else to_native(dtype)
    return raw.Fill(dims=tf.constant(tuple(input.shape), tf.int32), value=_number(value, native))
