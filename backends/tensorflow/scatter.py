"""Writing at positions: scatter, put and their reductions on TensorFlow."""

from __future__ import annotations

import tensorflow as tf

from unified.backends.protocol import Natives

natives = Natives()
raw = tf.raw_ops


def _updated(kernel, input, positions, src):
    return kernel(tensor=input, indices=positions[:, None], updates=src)


def _added(input, positions, src):
    return _updated(raw.TensorScatterAdd, input, positions, src)


def _set(input, positions, number):
    return _updated(raw.TensorScatterUpdate, input, positions, tf.fill(positions.shape, tf.cast(number, input.dtype)))


@natives.having("program")
def reduce_at(input, positions, src, reduce, include_self):
    if input.dtype == tf.bool:
        counted = reduce_at(tf.cast(input, tf.int32), positions, tf.cast(src, tf.int32), reduce, include_self)
        return counted != 0
    if reduce not in ("sum", "mean"):
        return _reduced(input, positions, src, reduce, include_self)
    base = input if include_self else _set(input, positions, 0)
    total = _added(base, positions, src)
    if reduce == "sum":
        return total
    counts = _added(tf.fill(input.shape, int(include_self)), positions, tf.ones(positions.shape, tf.int32))
    counts = tf.cast(tf.maximum(counts, 1), input.dtype)
    return total // counts if input.dtype.is_integer else total / counts


def _neutral(reduce, dtype):
    if reduce == "prod":
        return 1
    if dtype.is_floating:
        return -float("inf") if reduce == "amax" else float("inf")
    return dtype.min if reduce == "amax" else dtype.max


_EXTREMES = {"amax": raw.TensorScatterMax, "amin": raw.TensorScatterMin}


def _value(input, positions, src, reduce, include_self):
    base = input if include_self else _set(input, positions, _neutral(reduce, input.dtype))
    if reduce in _EXTREMES:
        value = _updated(_EXTREMES[reduce], base, positions, src)
        if not input.dtype.is_floating:
            return value
        missing = _added(tf.zeros(input.shape, tf.int32), positions, tf.cast(tf.math.is_nan(src), tf.int32))
        return tf.where(missing > 0, tf.constant(float("nan"), input.dtype), value)  # the kernels skip a NaN of src
    return base * raw.UnsortedSegmentProd(data=src, segment_ids=positions, num_segments=input.shape[0])


def _reduced(input, positions, src, reduce, include_self):
    """PyTorch's derivatives: scatter_reduce_backward in its FunctionsManual.cpp."""

    @tf.custom_gradient
    def reduced(input, src):
        value = _value(input, positions, src, reduce, include_self)

        def gradients(upstream):
            if reduce == "prod":
                by_input, by_src = _others(input, positions, src, include_self)
            else:
                by_input = tf.cast(input == value, input.dtype)
                by_src = tf.cast(src == tf.gather(value, positions), input.dtype)
                ties = _added(by_input, positions, by_src)  # 0 where the value is NaN, which no element equals
                by_input, by_src = by_input / ties, by_src / tf.gather(ties, positions)
            to_input = upstream * tf.math.conj(by_input)
            if not include_self:
                to_input = _set(to_input, positions, 0)
            return to_input, tf.gather(upstream, positions) * tf.math.conj(by_src)

        return value, gradients

    return reduced(input, src)


def _others(input, positions, src, include_self):
    """For each element of ``input`` and of ``src`` the product of the others at its place."""
    value = _reduced(input, positions, src, "prod", include_self)  # once more, for its own derivative
    one = tf.ones((), input.dtype)
    filled = tf.where(input == 0, one, input)
    by_input = _reduced(filled, positions, src, "prod", include_self) / filled
    zero = src == 0
    zeros = _added(tf.zeros(input.shape, tf.int32), positions, tf.cast(zero, tf.int32))
    alone = zero & (tf.gather(zeros, positions) == 1)
    without = _reduced(input, positions, tf.where(alone, one, src), "prod", include_self)
    divided = tf.gather(value, positions) / tf.where(zero, one, src)
    return by_input, tf.where(alone, tf.gather(without, positions), divided)
