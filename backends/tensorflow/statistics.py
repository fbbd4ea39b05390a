"""Covariance and hashes on TensorFlow."""

from __future__ import annotations

import functools

import tensorflow as tf

from unified.backends.protocol import Natives
from unified.backends.tensorflow.dtype import floating, operands, to_native
from unified.backends.tensorflow.reduction import listed

natives = Natives()
raw = tf.raw_ops


def _covariance(input, correction, fweights, aweights):
    if input.shape.rank > 2:
        raise ValueError("no matrix")  # the op's check says it in everyone's words
    rows = floating(tf.reshape(input, (1, -1)) if input.shape.rank < 2 else input)
    given = [tf.reshape(w, (-1,)) for w in (fweights, aweights) if w is not None]
    counted = tf.ones(rows.shape[1], rows.dtype)
    if given:
        rows, counted = operands(rows, functools.reduce(tf.multiply, operands(*given)))
    weights = tf.math.real(counted)
    real = weights.dtype
    total = tf.reduce_sum(weights)
    lost = tf.cast(correction, real)
    if aweights is not None:
        lost = lost * tf.reduce_sum(weights * tf.cast(given[-1], real)) / total
    deviations = rows - tf.reduce_sum(rows * counted, 1, keepdims=True) / tf.cast(total, rows.dtype)
    products = tf.matmul(deviations, deviations * counted, adjoint_b=True)
    return products / tf.cast(tf.maximum(total - lost, 0), rows.dtype)


@natives.having("program")
def cov(input, correction, fweights, aweights):
    return tf.squeeze(_covariance(input, correction, fweights, aweights))


@natives.having("program")
def corrcoef(input):
    found = tf.squeeze(_covariance(input, 1, None, None))
    if not found.shape.rank:
        return found / found
    deviations = tf.cast(tf.sqrt(tf.math.real(tf.linalg.diag_part(found))), found.dtype)
    found = found / deviations[:, None] / deviations[None, :]
    if found.dtype.is_complex:
        return tf.complex(*[tf.clip_by_value(part, -1, 1) for part in (tf.math.real(found), tf.math.imag(found))])
    return tf.clip_by_value(found, -1, 1)


@natives.having("program")
def hash_tensor(input, dim, keepdim, dtype):
    wide = tf.cast(input, tf.float64 if input.dtype.is_floating else tf.int64)
    bits = tf.bitcast(wide, to_native(dtype))
    dims = sorted({index % bits.shape.rank for index in listed(input, dim)})
    for axis in dims:
        bits = _joined(bits, axis)
    return bits if keepdim else tf.squeeze(bits, dims) if dims else bits


def _joined(bits, axis):
    """The exclusive or along ``axis``, by halves: TensorFlow has no reduction for it."""
    length = bits.shape[axis]
    if not length:
        shape = [1 if i == axis else n for i, n in enumerate(bits.shape)]
        return tf.zeros(shape, bits.dtype)
    while length > 1:
        half = length // 2
        first, second, rest = tf.split(bits, [half, half, length - 2 * half], axis)
        bits = tf.concat([raw.BitwiseXor(x=first, y=second), rest], axis)
        length = bits.shape[axis]
    return bits
