"""More arithmetic, comparison and rounding of elements on TensorFlow."""

from __future__ import annotations

import math

import tensorflow as tf

from unified.backends.protocol import Natives
from unified.backends.tensorflow.dtype import floating, operands
from unified.backends.tensorflow.elementwise import abs as magnitude
from unified.backends.tensorflow.elementwise import holomorphic, is_inexact, unary, with_slopes
from unified.backends.tensorflow.elementwise import natives as elementwise

natives = Natives()
raw = tf.raw_ops

_BITS = {
    tf.float16: (tf.int16, 10, 15), tf.bfloat16: (tf.int16, 7, 127), tf.float32: (tf.int32, 23, 127),
    tf.float64: (tf.int64, 52, 1023),
}  # fmt: skip
"""By float dtype: the integer of its bits, how many of them are the fraction's, and the bias of the exponent."""

_EXACT = {bool: tf.bool, int: tf.int64, float: tf.float64, complex: tf.complex128}
"""Dtypes that hold any Python number of a type."""

natives(
    acosh=unary(raw.Acosh), asinh=unary(raw.Asinh),
    atanh=holomorphic(raw.Atanh, lambda value, x: 1 / (1 - x * x)),
)  # fmt: skip


@natives
def exp2(input):
    input = floating(input)
    return raw.Pow(x=tf.constant(2, input.dtype), y=input)


@natives
def log10(input):
    input = floating(input)
    return elementwise["log"](input) * tf.constant(1 / math.log(10), input.dtype)


def _larger_times_root(x, y):
    """``sqrt(x ** 2 + y ** 2)`` by way of the quotient of smaller and larger, which cannot overflow."""
    x, y = tf.abs(x), tf.abs(y)
    larger, smaller = tf.maximum(x, y), tf.minimum(x, y)
    quotient = smaller / tf.where(larger == 0, tf.ones_like(larger), larger)
    infinite = tf.math.is_inf(x) | tf.math.is_inf(y)
    return tf.where(infinite, tf.constant(math.inf, x.dtype), larger * tf.sqrt(1 + quotient * quotient))


_hypot = with_slopes(_larger_times_root, lambda value, x, y: (lambda: x / value, lambda: y / value))


@natives.having("program")
def hypot(input, other):
    return _hypot(input, other)


# ---- integers --------------------------------------------------------------------------------------------------


def _absolute(integers):
    return tf.abs(integers) if integers.dtype.min < 0 else integers


def _wide_integers(function):
    """``function`` of non-negative integers, narrow ones in 32 bits, whose kernels there are."""

    def native(input, other):
        input, other = operands(input, other)
        wide = input.dtype if input.dtype.size > 4 else tf.int64 if input.dtype == tf.uint32 else tf.int32
        return tf.cast(function(*[_absolute(tf.cast(v, wide)) for v in (input, other)]), input.dtype)

    return native


def _euclid(a, b):
    """The greatest common divisor: (a, b) becomes (b, a mod b) until b is 0."""
    shape = tf.broadcast_static_shape(a.shape, b.shape)
    zero, one = tf.zeros(shape, a.dtype), tf.ones(shape, a.dtype)

    def step(a, b):
        done = b == 0
        return tf.where(done, a, b), tf.where(done, zero, a % tf.where(done, one, b))

    start = [tf.broadcast_to(a, shape), tf.broadcast_to(b, shape)]
    return tf.while_loop(lambda a, b: tf.reduce_any(b != 0), step, start)[0]


@natives.having("program")
def gcd(input, other):
    return _wide_integers(_euclid)(input, other)


def _least_common_multiple(a, b):
    divisor = _euclid(a, b)
    return a // tf.maximum(divisor, tf.ones_like(divisor)) * b


@natives.having("program")
def lcm(input, other):
    return _wide_integers(_least_common_multiple)(input, other)


def _shift(kernel, input, other, beyond):
    """``kernel`` where ``other`` is a number of bits, else ``beyond``: TensorFlow leaves the rest undefined."""
    input, other = operands(input, other)
    last = tf.constant(input.dtype.size * 8 - 1, other.dtype)
    inside = other <= last
    if other.dtype.min < 0:
        inside &= other >= 0
    return tf.where(inside, kernel(x=input, y=tf.where(inside, other, last)), beyond(input, last))


@natives.having("program")
def bitwise_left_shift(input, other):
    return _shift(raw.LeftShift, input, other, lambda input, last: tf.zeros_like(input))


@natives.having("program")
def bitwise_right_shift(input, other):
    return _shift(
        raw.RightShift, input, other,
        lambda input, last: raw.RightShift(x=input, y=last) if input.dtype.min < 0 else tf.zeros_like(input),
    )  # fmt: skip


# ---- bits of floats --------------------------------------------------------------------------------------------


@natives
def signbit(input):
    if is_inexact(input):
        input = raw.Bitcast(input=input, type=_BITS[input.dtype][0])
    elif input.dtype == tf.bool or input.dtype.min == 0:
        return tf.zeros_like(input, tf.bool)
    return raw.Less(x=input, y=tf.constant(0, input.dtype))


@natives.having("program")
def copysign(input, other):
    input, other = operands(input, other)
    value = magnitude(floating(input))
    return tf.where(signbit(other), -value, value)


def _split(x):
    """Mantissa and exponent out of the bits; subnormals are scaled up to normals first."""
    integer, width, bias = _BITS[x.dtype]
    special = (x == 0) | ~tf.math.is_finite(x)
    small = tf.abs(x) < tf.constant(2.0 ** (1 - bias), x.dtype)
    bits = tf.bitcast(tf.where(small, x * tf.constant(2.0 ** (width + 1), x.dtype), x), integer)
    field = tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, _whole(width, bits)), _whole(2 * bias + 1, bits))
    exponent = tf.cast(field, tf.int32) - (bias - 1) - tf.where(small, width + 1, 0)
    kept = tf.bitwise.bitwise_and(bits, _whole(~((2 * bias + 1) << width), bits))
    mantissa = tf.bitcast(tf.bitwise.bitwise_or(kept, _whole((bias - 1) << width, bits)), x.dtype)
    return tf.where(special, x, mantissa), tf.where(special, tf.zeros_like(exponent), exponent)


def _whole(value, like):
    return tf.constant(value, like.dtype)


@tf.custom_gradient
def _frexp(x):
    mantissa, exponent = _split(x)

    def pull(cotangent, _):
        return cotangent * exp2(-tf.cast(exponent, cotangent.dtype))

    return (mantissa, exponent), pull


@natives.having("program")
def frexp(input):
    input = floating(input)
    if input.dtype.size < 4:
        mantissa, exponent = _frexp(tf.cast(input, tf.float32))
        return tf.cast(mantissa, input.dtype), exponent
    return _frexp(input)


def _neighbour(x, y):
    """One more or less in the bits taken as an integer, which orders floats of one sign."""
    integer = _BITS[x.dtype][0]
    bits = tf.bitcast(x, integer)
    one = tf.ones_like(bits)
    stepped = tf.bitcast(bits + tf.where((y > x) == (x > 0), one, -one), x.dtype)
    sign = tf.bitwise.bitwise_and(tf.bitcast(y, integer), _whole(integer.min, bits))
    smallest = tf.bitcast(tf.bitwise.bitwise_or(sign, one), x.dtype)
    stepped = tf.where(x == 0, smallest, stepped)
    stepped = tf.where(x == y, y, stepped)
    return tf.where(tf.math.is_nan(x) | tf.math.is_nan(y), x + y, stepped)


_nextafter = with_slopes(
    _neighbour, lambda value, x, y: (lambda: tf.cast(x != y, x.dtype), lambda: tf.zeros_like(y))
)  # fmt: skip


@natives.having("program")
def nextafter(input, other):
    return _nextafter(input, other)


@natives
def fill(input, value):
    if not tf.is_tensor(value):
        value = tf.constant(value, _EXACT[type(value)])
    if value.shape.rank or (value.dtype.is_complex and not input.dtype.is_complex):
        raise ValueError(value)  # the op's check says it in everyone's words
    return tf.broadcast_to(tf.cast(value, input.dtype), tf.shape(input))
