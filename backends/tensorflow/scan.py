"""Running extremes and sums along a dimension on TensorFlow."""

from __future__ import annotations

import tensorflow as tf

from unified.backends.protocol import Natives, errors

natives = Natives()


def running(combine, input, dim):
    """``combine`` of all elements up to each one along ``dim``, in log2(n) steps; ``combine(earlier, later)``."""
    length, step = input.shape[dim], 1
    while step < length:
        head, tail = tf.split(input, [step, length - step], dim)
        before = tf.split(input, [length - step, step], dim)[0]
        input = tf.concat([head, combine(before, tail)], dim)
        step *= 2
    return input


def _axis(input, dim):
    rank = input.shape.rank
    if not -rank <= dim < rank:
        raise errors.IndexOutOfRangeError(f"dim {dim} is out of range for a tensor of {rank} dimensions")
    return dim % rank


def _extreme(name, exceeds):
    """Elements and where each came from: the last index whose element equals the extreme (or is its NaN)."""

    def combine(earlier, later):
        return tf.where(exceeds(later, earlier) | (later != later), later, earlier)

    def native(input, dim):
        rank = input.shape.rank
        if not rank:
            return input, tf.zeros((), tf.int32)
        axis = _axis(input, dim)
        keys = tf.stop_gradient(tf.cast(input, tf.int32) if input.dtype == tf.bool else input)
        holds = (keys == running(combine, keys, axis)) | (keys != keys)
        places = tf.reshape(tf.range(input.shape[axis]), [-1 if i == axis else 1 for i in range(rank)])
        indices = running(tf.maximum, tf.where(holds, places, 0), axis)
        return _along(input, indices, axis), indices

    native.__name__ = name
    natives.having("program")(native)


def _along(input, indices, axis):
    """The elements at ``indices`` along ``axis``."""
    order = list(range(input.shape.rank))
    order[axis], order[-1] = order[-1], order[axis]
    moved, places = tf.transpose(input, order), tf.transpose(indices, order)
    return tf.transpose(tf.gather(moved, places, axis=-1, batch_dims=len(order) - 1), order)


_extreme("cummax", tf.greater_equal)
_extreme("cummin", tf.less_equal)


@tf.custom_gradient
def _joined(x, y):
    """``log(exp(x) + exp(y))``; the larger by real part is kept, and two infinities of one sign are their own sum."""
    first = tf.math.real(x) >= tf.math.real(y)
    larger, smaller = tf.where(first, x, y), tf.where(first, y, x)
    real = tf.math.real(larger)
    same = tf.math.is_inf(real) & (real == tf.math.real(smaller))
    zero = tf.zeros_like(x)
    value = larger + tf.math.log1p(tf.exp(tf.where(same, zero, smaller - larger)))
    value = tf.where(same, larger, tf.where((x != x) | (y != y), x + y, value))

    def pull(cotangent):
        value = _joined(x, y)
        return [cotangent * tf.math.conj(tf.exp(operand - value)) for operand in (x, y)]

    return value, pull


def _in_turn(input, axis):
    """One element after the other: which of its many logarithms a complex sum gets depends on the order."""
    order = list(range(input.shape.rank))
    order[0], order[axis] = order[axis], order[0]
    return tf.transpose(tf.scan(_joined, tf.transpose(input, order)), order)


@natives.having("program")
def logcumsumexp(input, dim):
    if not input.shape.rank:
        return input
    if input.dtype.is_complex and 0 not in input.shape:
        return _in_turn(input, _axis(input, dim))
    half = input.dtype in (tf.float16, tf.bfloat16)
    result = running(_joined, tf.cast(input, tf.float32) if half else input, _axis(input, dim))
    return tf.cast(result, input.dtype)
