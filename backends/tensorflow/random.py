"""Philox4x32-10 on TensorFlow: its stateless kernel, alone and under XLA, draws exactly our stream of words.

Floats are computed in float64 and rounded once, so that every backend gets the same bits. Each draw is one cached
XLA program.
"""

from __future__ import annotations

import math

import tensorflow as tf

from unified.backends.protocol import Natives
from unified.backends.tensorflow.dtype import to_native

natives = Natives()
raw = tf.raw_ops

_PHILOX = 1
_MANTISSA = {"float32": 24, "float16": 11, "bfloat16": 8}  # bits of a uniform in [0, 1)


def _words(state, count, dtype=tf.uint32):
    """``count`` words, and the state after them."""
    key = tf.reshape(tf.bitcast(state[:2], tf.uint64), [1])
    offset = tf.bitcast(state[2:], tf.int64)
    counter = tf.stack([tf.bitcast(offset, tf.uint64), tf.zeros([], tf.uint64)])
    words = raw.StatelessRandomUniformFullIntV2(shape=[count], key=key, counter=counter, alg=_PHILOX, dtype=dtype)
    return words, _moved(state, count)


def _moved(state, count):
    """The state after ``count`` words."""
    after = tf.bitcast(tf.bitcast(state[2:], tf.int64) + tf.constant(-(-count // 4), tf.int64), tf.int32)
    return tf.concat([state[:2], after], 0)


def _double(value):
    return tf.cast(value, tf.float64)


def _shifted(words, bits):
    """The upper ``bits`` bits of each word."""
    return tf.bitwise.right_shift(words, tf.constant(32 - bits, tf.uint32))


def _unit(state, count, dtype):
    """``count`` uniforms in [0, 1) as float64, with as many bits as ``dtype`` can tell apart."""
    if dtype.name == "float64":
        words, after = _words(state, 2 * count)
        pairs = tf.reshape(words, [count, 2])
        return (_double(_shifted(pairs[:, 0], 27)) * 2.0**26 + _double(_shifted(pairs[:, 1], 26))) * 2.0**-53, after
    words, after = _words(state, count)
    bits = _MANTISSA[dtype.name]
    return _double(_shifted(words, bits)) * 2.0**-bits, after


@natives
def random_words(state, count):
    return _words(state, count, tf.int32)


@natives.having("program")
def random_uniform(state, size, low, span, dtype):
    unit, after = _unit(state, math.prod(size), dtype)
    return tf.reshape(tf.cast(unit * _double(span) + _double(low), to_native(dtype)), size), after


def _normal(state, count):
    """``count`` standard normals as float64, and the state after them."""
    words, after = _words(state, count + count % 2)
    first, second = tf.unstack(_double(tf.reshape(words, [-1, 2])), axis=1)
    radius = tf.sqrt(-2.0 * tf.math.log((first + 1.0) * 2.0**-32))
    angle = second * (2.0 * math.pi * 2.0**-32)
    return tf.reshape(tf.stack([radius * tf.cos(angle), radius * tf.sin(angle)], -1), [-1])[:count], after


@natives.having("program")
def random_normal(state, size, mean, std, dtype):
    normal, after = _normal(state, math.prod(size))
    return tf.reshape(tf.cast(normal * _double(std) + _double(mean), to_native(dtype)), size), after


@natives.having("program")
def random_log_normal(state, size, mean, std, dtype):
    normal, after = _normal(state, math.prod(size))
    return tf.reshape(tf.cast(tf.exp(normal * _double(std) + _double(mean)), to_native(dtype)), size), after


@natives.having("program")
def random_cauchy(state, size, median, sigma, dtype):
    words, after = _words(state, math.prod(size))
    angle = ((_double(words) + 0.5) * 2.0**-32 - 0.5) * math.pi
    return tf.reshape(tf.cast(tf.tan(angle) * _double(sigma) + _double(median), to_native(dtype)), size), after


def _exponential(state, count):
    """``count`` exponential values of rate 1 as float64, and the state after them."""
    words, after = _words(state, count)
    return -tf.math.log((_double(words) + 1.0) * 2.0**-32), after


@natives.having("program")
def random_geometric(state, size, rate, dtype):
    waits, after = _exponential(state, math.prod(size))
    trials = tf.maximum(tf.math.ceil(waits / _double(rate)), _double(1.0))
    return tf.reshape(tf.cast(trials, to_native(dtype)), size), after


@natives.having("program")
def random_truncated(state, size, low, span, dtype):
    words, after = _words(state, math.prod(size))
    level = (_double(words) + 0.5) * (_double(span) * 2.0**-32) + _double(low)
    return tf.reshape(tf.cast(tf.math.erfinv(level) * math.sqrt(2.0), to_native(dtype)), size), after


@natives.having("program")
def random_exponential(state, size, rate, dtype):
    waits, after = _exponential(state, math.prod(size))
    return tf.reshape(tf.cast(waits / _double(rate), to_native(dtype)), size), after


@natives.having("program")
def random_integers(state, size, low, last, dtype):
    words, after = _words(state, math.prod(size))
    words = tf.cast(words, tf.uint64)
    span = tf.cast(tf.bitcast(tf.cast(last, tf.int32), tf.uint32), tf.uint64)
    scaled = tf.bitwise.right_shift(words * span + words, tf.constant(32, tf.uint64))
    return tf.reshape(tf.cast(tf.cast(scaled, tf.int64) + tf.cast(low, tf.int64), to_native(dtype)), size), after


@natives.having("program")
def random_bernoulli(state, input):
    words, after = _words(state, math.prod(input.shape))
    wider = tf.float64 if input.dtype == tf.float64 else tf.float32
    unit = tf.reshape(tf.cast(_shifted(words, 24), wider) * 2.0**-24, input.shape)
    return tf.cast(unit < tf.cast(input, wider), input.dtype), after


@natives.having("program")
def random_mask(state, like, size, threshold):
    words, after = _words(state, math.prod(size))
    kept = tf.cast(_shifted(words, 24), tf.int32) < tf.cast(threshold, tf.int32)
    return tf.reshape(tf.cast(kept, like.dtype), size), after


@natives.having("program")
def random_permutation(state, length, dtype):
    words, after = _words(state, length)
    return tf.cast(_stable_argsort(_double(words)), to_native(dtype)), after


@natives.having("program")
def random_multinomial(state, input, num_samples, replacement):
    rows = tf.reshape(_double(input), [-1, input.shape[-1]])
    count = rows.shape[0]
    if replacement:
        cumulative = tf.cumsum(rows, -1)
        words, after = _words(state, count * num_samples)
        levels = tf.reshape(_double(words) * 2.0**-32, [count, num_samples]) * cumulative[:, -1:]
        chosen = tf.searchsorted(cumulative, levels, side="right")
    else:
        words, after = _words(state, count * rows.shape[1])
        arrivals = tf.reshape(-tf.math.log((_double(words) + 1.0) * 2.0**-32), rows.shape) / rows
        chosen = _stable_argsort(arrivals)[:, :num_samples]
    return tf.reshape(tf.cast(chosen, tf.int32), (*input.shape[:-1], num_samples)), after


def _stable_argsort(values):
    """Ascending, earlier index first at a tie: what TopK promises of the negated values."""
    return raw.TopKV2(input=-values, k=values.shape[-1], sorted=True)[1]


@natives
def native_uniform(state, size, low, span, dtype):
    unit = tf.random.stateless_uniform(size, tf.bitcast(tf.reshape(state, [2, 2]), tf.int64), dtype=to_native(dtype))
    return unit * tf.cast(span, unit.dtype) + tf.cast(low, unit.dtype), _moved(state, math.prod(size))


@natives
def native_normal(state, size, mean, std, dtype):
    normal = tf.random.stateless_normal(size, tf.bitcast(tf.reshape(state, [2, 2]), tf.int64), dtype=to_native(dtype))
    return normal * tf.cast(std, normal.dtype) + tf.cast(mean, normal.dtype), _moved(state, math.prod(size))


@natives
def native_mask(state, like, size, threshold):
    unit = tf.random.stateless_uniform(size, tf.bitcast(tf.reshape(state, [2, 2]), tf.int64))
    kept = unit < tf.cast(threshold, tf.float32) * tf.constant(2.0**-24, tf.float32)
    return tf.cast(kept, like.dtype), _moved(state, math.prod(size))
