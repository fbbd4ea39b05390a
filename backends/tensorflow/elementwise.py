"""Elementwise ops on TensorFlow. ``tf.raw_ops`` skip the argument handling that costs more than the kernels.

Where TensorFlow's gradient is not PyTorch's, a native is a bare kernel when it runs eagerly and a function with its
own gradient inside a program, which is where every derivative is taken (see ``autograd.Programs``).
"""

from __future__ import annotations

import builtins
import math

import tensorflow as tf

from unified.backends.protocol import Natives, errors
from unified.backends.tensorflow.dtype import floating, operands, to_native

natives = Natives()
raw = tf.raw_ops
_UNSIGNED = (tf.uint8, tf.uint16, tf.uint32, tf.uint64)
_HALF = (tf.float16, tf.bfloat16)


def is_inexact(tensor):
    return tensor.dtype.is_floating or tensor.dtype.is_complex


def _comparison(function):
    def native(input, other):
        input, other = operands(input, other)
        if input.dtype == tf.bool:
            input, other = tf.cast(input, tf.uint8), tf.cast(other, tf.uint8)
        return function(x=input, y=other)

    return native


def _float_binary(function):
    def native(input, other):
        input, other = operands(input, other)
        return function(floating(input), floating(other))

    return native


def unary(function):
    def native(input):
        return function(x=floating(input))

    return native


def holomorphic(kernel, slope):
    """``kernel``, whose first or second derivative TensorFlow does not conjugate for complex numbers under XLA."""

    @tf.custom_gradient
    def differentiable(x):
        return kernel(x=x), lambda cotangent: cotangent * tf.math.conj(slope(differentiable(x), x))

    def native(input):
        input = floating(input)
        return differentiable(input) if input.dtype.is_complex else kernel(x=input)

    return native


def _flat(function):
    """A step function, which leaves integers as they are."""

    def native(input):
        return function(x=input) if is_inexact(input) else input

    return native


def _test(function, otherwise, joined):
    """A test of floats; of complex numbers both parts are tested, and integers answer ``otherwise``."""

    def native(input):
        if input.dtype.is_complex:
            return joined(x=function(x=tf.math.real(input)), y=function(x=tf.math.imag(input)))
        return function(x=input) if is_inexact(input) else tf.fill(tf.shape(input), otherwise)

    return native


natives(**{name: unary(function) for name, function in {
    "exp": raw.Exp, "expm1": raw.Expm1, "sin": raw.Sin, "cos": raw.Cos, "sinh": raw.Sinh, "cosh": raw.Cosh,
    "tanh": raw.Tanh, "sigmoid": raw.Sigmoid, "erf": raw.Erf,
}.items()})  # fmt: skip
natives(**{name: _comparison(function) for name, function in {
    "lt": raw.Less, "le": raw.LessEqual, "gt": raw.Greater, "ge": raw.GreaterEqual,
}.items()})  # fmt: skip
natives(
    log=holomorphic(raw.Log, lambda value, x: 1 / x), log1p=holomorphic(raw.Log1p, lambda value, x: 1 / (1 + x)),
    tan=holomorphic(raw.Tan, lambda value, x: 1 + value * value),
    asin=holomorphic(raw.Asin, lambda value, x: natives["rsqrt"](1 - x * x)),
    acos=holomorphic(raw.Acos, lambda value, x: -natives["rsqrt"](1 - x * x)),
    atan=holomorphic(raw.Atan, lambda value, x: 1 / (1 + x * x)),
    sqrt=holomorphic(raw.Sqrt, lambda value, x: 0.5 / value),
    rsqrt=holomorphic(raw.Rsqrt, lambda value, x: -0.5 * value / x),
    reciprocal=holomorphic(raw.Reciprocal, lambda value, x: -value * value),
    floor=_flat(raw.Floor), ceil=_flat(raw.Ceil),
    isnan=_test(raw.IsNan, False, raw.LogicalOr), isinf=_test(raw.IsInf, False, raw.LogicalOr),
    isfinite=_test(raw.IsFinite, True, raw.LogicalAnd),
)  # fmt: skip


# ---- arithmetic ---------------------------------------------------------------------------------------------


@natives
def add(input, other):
    input, other = operands(input, other)
    return raw.AddV2(x=input, y=other) if input.dtype != tf.bool else raw.LogicalOr(x=input, y=other)


@natives
def sub(input, other):
    input, other = operands(input, other)
    return raw.Sub(x=input, y=other)


@natives
def mul(input, other):
    input, other = operands(input, other)
    return raw.Mul(x=input, y=other) if input.dtype != tf.bool else raw.LogicalAnd(x=input, y=other)


@natives
def div(input, other, rounding_mode):
    input, other = operands(input, other)
    if rounding_mode is None:
        return raw.RealDiv(x=floating(input), y=floating(other))
    if input.dtype == tf.bool:
        raise errors.DTypeError("bools cannot be divided with rounding; convert one with x.to(un.int32)")
    if rounding_mode not in ("floor", "trunc"):
        raise ValueError(rounding_mode)  # the op's check says it in everyone's words
    if rounding_mode == "floor":
        return tf.stop_gradient(_widened(raw.FloorDiv, *_HALF)(input, other))
    if input.dtype.is_integer:
        return raw.TruncateDiv(x=input, y=other)
    return trunc(tf.stop_gradient(raw.RealDiv(x=input, y=other)))


@natives
def floor_divide(input, other):
    return div(input, other, "floor")


def with_slopes(kernel, slopes):
    """``kernel`` of two operands, with the derivative that ``slopes(value, x, y)`` gives inside a program."""

    @tf.custom_gradient
    def differentiable(x, y):
        value = kernel(x=x, y=y)

        def pull(cotangent):
            by_x, by_y = slopes(value, x, y)
            return cotangent * tf.math.conj(by_x()), cotangent * tf.math.conj(by_y())

        return value, pull

    def native(input, other):
        input, other = operands(input, other)
        if tf.executing_eagerly() or not is_inexact(input):
            return kernel(x=input, y=other)
        shape = tf.broadcast_static_shape(input.shape, other.shape)
        return differentiable(tf.broadcast_to(input, shape), tf.broadcast_to(other, shape))

    return native


def _widened(kernel, *missing):
    """``kernel``, by way of int64 or float32 for the dtypes that it lacks, or rounds too early."""

    def native(x, y):
        if x.dtype in missing:
            wide = tf.int64 if x.dtype.is_integer else tf.float32
            return tf.cast(kernel(x=tf.cast(x, wide), y=tf.cast(y, wide)), x.dtype)
        return kernel(x=x, y=y)

    return native


def _modulus_slopes(quotient):
    def slopes(value, x, y):
        return lambda: tf.ones_like(value), lambda: -quotient(x / y)

    return slopes


def _power_slopes(value, x, y):
    """PyTorch's: 0 by ``x`` where the exponent is 0, 0 by the exponent where the base is 0 and it is not negative."""
    zero = (x == 0) & (y >= 0 if not y.dtype.is_complex else True)
    one = tf.ones_like(x)
    return (
        lambda: tf.where(y == 0, tf.zeros_like(x), y * natives["pow"](x, tf.where(y == 0, one, y - 1))),
        lambda: tf.where(zero, tf.zeros_like(x), value * tf.math.log(tf.where(zero, one, x))),
    )


def _tie_slopes(wins):
    """The whole gradient to the operand that ``wins``, half to each at a tie, the whole to both at a NaN."""

    def slopes(value, x, y):
        half = tf.where(x == y, tf.constant(0.5, x.dtype), tf.constant(1, x.dtype))
        zero = tf.zeros_like(x)
        return lambda: tf.where(wins(y, x), zero, half), lambda: tf.where(wins(x, y), zero, half)

    return slopes


def _power(x, y):
    """A negative power of an integer is the integer part of the fraction: 0, but for powers of 1 and -1."""
    if not x.dtype.is_integer or x.dtype in _UNSIGNED:
        return _widened(raw.Pow, *_UNSIGNED)(x, y)
    zero, one = tf.zeros_like(y), tf.ones_like(x)
    fraction = tf.where(x == 1, one, tf.where(x == -1, 1 - 2 * tf.math.floormod(y, 2), tf.zeros_like(x)))
    return tf.where(y < 0, fraction, raw.Pow(x=x, y=tf.where(y < 0, zero, y)))


natives(
    remainder=with_slopes(raw.FloorMod, _modulus_slopes(tf.floor)),
    fmod=with_slopes(
        _widened(raw.TruncateMod, tf.int8, tf.int16, *_HALF, *_UNSIGNED),
        _modulus_slopes(lambda quotient: trunc(quotient)),
    ),
    pow=with_slopes(_power, _power_slopes),
    atan2=_float_binary(tf.atan2),
)  # fmt: skip


def _selected(kernel, logic, wins):
    numeric = with_slopes(kernel, _tie_slopes(wins))

    def native(input, other):
        if input.dtype == tf.bool and other.dtype == tf.bool:
            return logic(x=input, y=other)
        return numeric(input, other)

    return native


natives(
    maximum=_selected(raw.Maximum, raw.LogicalOr, tf.greater),
    minimum=_selected(raw.Minimum, raw.LogicalAnd, tf.less),
)


@natives
def logaddexp(input, other):
    input, other = operands(input, other)
    input, other = floating(input), floating(other)
    if input.dtype.is_complex:
        return _complex_logaddexp(input, other)
    larger = tf.stop_gradient(tf.maximum(input, other))
    larger = tf.where(tf.math.is_finite(larger), larger, tf.zeros_like(larger))
    return tf.math.log(tf.exp(input - larger) + tf.exp(other - larger)) + larger


def _complex_logaddexp(x, y):
    """PyTorch adds to the one with the larger real part, and leaves its imaginary part whole."""
    less = tf.math.real(x) < tf.math.real(y)
    low, high = tf.where(less, x, y), tf.where(less, y, x)
    gone = tf.math.real(low) == -math.inf
    gap = tf.where(gone, tf.zeros_like(low), low - high)
    return high + tf.where(gone, tf.zeros_like(low), natives["log1p"](tf.exp(gap)))


# ---- unary ---------------------------------------------------------------------------------------------------


@natives
def neg(input):
    return raw.Neg(x=input) if input.dtype not in _UNSIGNED else tf.zeros_like(input) - input


def _modulus_kernel(z):
    return raw.ComplexAbs(x=z, Tout=z.dtype.real_dtype)


@tf.custom_gradient
def direction(z):
    """``z / abs(z)``, and 0 for 0; its derivative divides by ``abs(z)`` once, whose square might underflow."""
    unit = tf.math.divide_no_nan(z, tf.cast(_modulus_kernel(z), z.dtype))

    def pull(cotangent):
        again = direction(z)
        across = cotangent - again * tf.cast(tf.math.real(tf.math.conj(again) * cotangent), z.dtype)
        return tf.math.divide_no_nan(across, tf.cast(_modulus(z), z.dtype))

    return unit, pull


@tf.custom_gradient
def _modulus(z):
    return _modulus_kernel(z), lambda cotangent: tf.cast(cotangent, z.dtype) * direction(z)


@natives
def abs(input):
    if input.dtype.is_complex:
        return _modulus_kernel(input) if tf.executing_eagerly() else _modulus(input)
    if input.dtype in _UNSIGNED or input.dtype == tf.bool:
        return input
    return raw.Abs(x=input)


@natives
def sign(input):
    if input.dtype == tf.bool:
        return input
    if input.dtype in _UNSIGNED:
        return tf.cast(input > 0, input.dtype)
    value = raw.Sign(x=input)
    return tf.where(raw.IsNan(x=value), tf.zeros_like(value), value) if value.dtype.is_floating else value


@natives
def log2(input):
    input = floating(input)
    return natives["log"](input) * tf.constant(1.4426950408889634, input.dtype)


@natives
def square(input):
    return raw.Square(x=input) if is_inexact(input) else _integer_square(input)


def _integer_square(input):
    return raw.Mul(x=input, y=input) if input.dtype != tf.bool else tf.cast(input, tf.int32)


@natives
def relu(input):
    if tf.executing_eagerly() or not is_inexact(input):
        return raw.Relu(features=input)
    return tf.where(input <= 0, tf.zeros_like(input), input)


@natives
def round(input, decimals):
    if not is_inexact(input):
        return input
    if decimals == 0:
        return raw.Round(x=input)
    scale = tf.constant(10.0 ** builtins.abs(decimals), input.dtype)
    if decimals > 0:
        return raw.RealDiv(x=raw.Round(x=raw.Mul(x=input, y=scale)), y=scale)
    return raw.Mul(x=raw.Round(x=raw.RealDiv(x=input, y=scale)), y=scale)


@natives
def trunc(input):
    if not is_inexact(input):
        return input
    return tf.where(input < 0, raw.Ceil(x=input), raw.Floor(x=input))


@natives
def clamp(input, min, max):
    if min is None and max is None:
        raise ValueError("no bounds")  # the op's check says it in everyone's words
    input, *bounds = operands(input, *[bound for bound in (min, max) if bound is not None])
    low = bounds[0] if min is not None else None
    high = bounds[-1] if max is not None else None
    if input.dtype == tf.bool:
        input = input if low is None else raw.LogicalOr(x=input, y=low)
        return input if high is None else raw.LogicalAnd(x=input, y=high)
    if tf.executing_eagerly():
        limited = input if low is None else raw.Maximum(x=input, y=low)
        return limited if high is None else raw.Minimum(x=limited, y=high)
    inside = tf.ones_like(input, tf.bool)
    limited = tf.stop_gradient(input)
    if low is not None:
        inside &= input >= low
        limited = tf.where(limited < low, low, limited)
    if high is not None:
        inside &= input <= high
        limited = tf.where(limited > high, high, limited)
    return tf.where(inside, input, limited)


# ---- comparison and logic ------------------------------------------------------------------------------------


@natives
def eq(input, other):
    input, other = operands(input, other)
    return raw.Equal(x=input, y=other, incompatible_shape_error=True)


@natives
def ne(input, other):
    input, other = operands(input, other)
    return raw.NotEqual(x=input, y=other, incompatible_shape_error=True)


def _truth(input):
    return input if input.dtype == tf.bool else tf.cast(input, tf.bool)


@natives
def logical_and(input, other):
    return raw.LogicalAnd(x=_truth(input), y=_truth(other))


@natives
def logical_or(input, other):
    return raw.LogicalOr(x=_truth(input), y=_truth(other))


@natives
def logical_not(input):
    return raw.LogicalNot(x=_truth(input))


def _bitwise(logic, function):
    def native(input, other):
        input, other = operands(input, other)
        return (logic if input.dtype == tf.bool else function)(x=input, y=other)

    return native


natives(
    bitwise_and=_bitwise(raw.LogicalAnd, raw.BitwiseAnd), bitwise_or=_bitwise(raw.LogicalOr, raw.BitwiseOr),
    bitwise_xor=_bitwise(raw.NotEqual, raw.BitwiseXor),
)  # fmt: skip


@natives
def bitwise_not(input):
    return raw.LogicalNot(x=input) if input.dtype == tf.bool else raw.Invert(x=input)


@natives
def where(condition, input, other):
    input, other = operands(input, other)
    return raw.SelectV2(condition=_truth(condition), t=input, e=other)


# ---- dtype and identity ---------------------------------------------------------------------------------------


@natives
def cast(input, dtype):
    target = to_native(dtype)
    if target == input.dtype:
        return raw.Identity(input=input)
    if input.dtype.is_complex and target == tf.bool:
        return raw.NotEqual(x=input, y=tf.constant(0, input.dtype), incompatible_shape_error=True)
    if input.dtype.is_complex and not target.is_complex:
        input = raw.Real(input=input, Tout=input.dtype.real_dtype)
    return raw.Cast(x=input, DstT=target)


@natives
def clone(input):
    return raw.Identity(input=input)


natives(stop_gradient=tf.stop_gradient)
