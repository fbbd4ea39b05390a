"""Tensors out of nothing on TensorFlow."""

from __future__ import annotations

import tensorflow as tf

from unified.backends.protocol import Natives
from unified.backends.tensorflow import device as _device
from unified.backends.tensorflow.dtype import to_native
from unified.backends.tensorflow.shape import constant, vector

natives = Natives()
raw = tf.raw_ops


def _number(value, dtype):
    """A 0-d tensor of the dtype, also of a float for an int."""
    return tf.cast(value, dtype) if tf.is_tensor(value) else constant(value, dtype)


def _filled(size, value, dtype):
    return raw.Fill(dims=vector(size), value=_number(value, dtype))


@natives
def make_full(size, value, dtype, device):
    if device is None:
        return _filled(size, value, to_native(dtype))
    with tf.device(_device.to_native(device)):
        return _filled(size, value, to_native(dtype))


@natives
def make_arange(start, step, length, dtype, device):
    native = to_native(dtype)
    with tf.device(None if device is None else _device.to_native(device)):
        steps = tf.cast(tf.range(length), native)
        return steps if start == 0 and step == 1 else tf.constant(start, native) + steps * tf.constant(step, native)


@natives
def make_full_like(input, value, dtype):
    native = input.dtype if dtype is None else to_native(dtype)
    return _filled(tuple(input.shape), value, native)


@natives
def make_spaced(start, end, steps, base, dtype, device):
    if not isinstance(steps, int) or any(tf.is_tensor(limit) and limit.shape.rank for limit in (start, end)):
        raise TypeError(steps)  # the op's check says it in everyone's words
    native = to_native(dtype)
    wide = tf.complex128 if native.is_complex else tf.float64
    with tf.device(None if device is None else _device.to_native(device)):
        first, last = (tf.cast(limit, wide) for limit in (start, end))
        if native.is_integer:
            first, last = (tf.cast(tf.cast(limit, tf.int64), wide) for limit in (first, last))
        place = tf.cast(tf.range(steps), wide)
        stride = (last - first) / max(steps - 1, 1)
        rising, falling = first + stride * place, last - stride * (steps - 1 - place)
        values = tf.where(tf.range(steps) < max(steps // 2, steps == 1), rising, falling)
        return tf.cast(values if base is None else tf.pow(tf.cast(base, wide), values), native)
