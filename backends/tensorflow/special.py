"""Special functions on TensorFlow: XLA's kernels with PyTorch's edge values, dtypes and derivatives.

A slope calls functions that have slopes themselves, never kernels, so that there is every order of derivative.
"""

from __future__ import annotations

import functools
import math
import operator

import tensorflow as tf

from unified.backends.protocol import Natives, errors
from unified.backends.tensorflow.dtype import floating, operands

natives = Natives()
raw = tf.raw_ops

_HALVES = (tf.float16, tf.bfloat16)
_NAN = math.nan


def _single(input):
    """Integers, bools and halves as float32."""
    return tf.cast(input, tf.float32) if input.dtype in _HALVES else floating(input)


def _rounded(result, dtype):
    return tf.cast(result, dtype) if dtype in _HALVES else result


def _select(condition, yes, no):
    """``tf.where`` in which one of two may be a number."""
    dtype = (yes if tf.is_tensor(yes) else no).dtype
    return tf.where(condition, tf.convert_to_tensor(yes, dtype), tf.convert_to_tensor(no, dtype))


def _register(name, native):
    native.__name__ = name
    natives.having("program")(native)


def _with_slope(slope, name=None):
    """A function of floats with the derivative ``slope(x)``, registered as ``name`` for every dtype."""

    def decorate(function):
        @tf.custom_gradient
        def differentiable(x):
            return function(x), lambda cotangent: cotangent * slope(x)

        if name:
            _register(name, lambda input: _rounded(differentiable(_single(input)), input.dtype))
        return differentiable

    return decorate


def _pair(name, function, first, second, integers=True):
    """A function of two floats with the derivatives ``first(x, y)``, or none, and ``second(x, y)``."""

    @tf.custom_gradient
    def differentiable(x, y):
        def pull(cotangent):
            by_first = tf.zeros_like(x) if first is None else cotangent * first(x, y)
            return by_first, cotangent * second(x, y)

        return function(x, y), pull

    def native(input, other):
        input, other = operands(input, other)
        if not (integers or input.dtype.is_floating):
            raise TypeError(name)  # the op's check says it in everyone's words
        shape = tf.broadcast_static_shape(input.shape, other.shape)
        x, y = (tf.broadcast_to(_single(value), shape) for value in (input, other))
        return _rounded(differentiable(_constant(x, name) if first is None else x, y), input.dtype)

    _register(name, native)
    return differentiable


def _constant(input, name):
    """``input``, whose derivative nobody knows."""

    @tf.custom_gradient
    def refuse(x):
        def pull(cotangent):
            raise errors.UnsupportedOpError(
                f"{name} has no derivative by its first operand, as in PyTorch; detach() it"
            )

        return tf.identity(x), pull

    return refuse(input)


# ---- the error function and the normal distribution ------------------------------------------------------------


@natives
def erfc(input):
    return _rounded(raw.Erfc(x=_single(input)), input.dtype)


# (1 + 2 x) exp(x**2) erfc(x) in Chebyshev polynomials of (x - 3.75) / (x + 3.75) for x >= 0, the form of Shepherd and
# Laframboise, Mathematics of Computation 36 (1981); the coefficients were computed with 60 digits.
_ERFCX = (
    1.1775789345674018, -0.0045900545806464773, -0.084249133366517916, 0.05920993999819189, -0.026658668435305752,
    0.0090749976707052651, -0.0024131635404176082, 0.00049077583652580863, -6.9169733025012064e-5,
    4.1390279860730102e-6, 7.7403830661984907e-7, -2.1886401049234396e-7, 1.076499946567091e-8,
    4.5219598112182869e-9, -7.7544002088313511e-10, -6.3180883408866845e-11, 2.8687950109306699e-11,
    1.9455868545777347e-13, -9.6546967484334389e-13, 3.2525481481487398e-14, 3.3478119482868054e-14,
    -1.8645628804193131e-15, -1.2507950530688647e-15, 7.4182352566240435e-17,
)  # fmt: skip


@_with_slope(lambda x: 2 * x * _erfcx(x) - 2 / math.sqrt(math.pi), "special_erfcx")
def _erfcx(x):
    size = tf.abs(x)
    point = 1 - 7.5 / (size + 3.75)
    after = before = tf.zeros_like(x)
    for coefficient in reversed(_ERFCX[1:]):  # Clenshaw's recurrence
        before, after = 2 * point * before - after + coefficient, before
    positive = (point * before - after + _ERFCX[0]) / (1 + 2 * size)
    return _select(x < 0, 2 * tf.exp(x * x) - positive, positive)


@_with_slope(lambda x: math.sqrt(math.pi) / 2 * tf.exp(_erfinv(x) ** 2), "erfinv")
def _erfinv(x):
    return raw.Erfinv(x=x)


@_with_slope(lambda x: math.sqrt(2 / math.pi) / _erfcx(x * -math.sqrt(0.5)), "special_log_ndtr")
def _log_ndtr(x):
    argument = x * math.sqrt(0.5)
    return _select(x < -1, _log_tail(x), tf.math.log1p(raw.Erfc(x=argument) / -2))


def _log_tail(x):
    return tf.math.log(_erfcx(x * -math.sqrt(0.5)) / 2) - x * x / 2


@_with_slope(lambda x: math.sqrt(2 * math.pi) * tf.exp(_ndtri(x) ** 2 / 2), "special_ndtri")
def _ndtri(x):
    """By erfinv in the middle; in the tails, where its argument loses all digits, by Newton's method for log_ndtr."""
    tail = tf.minimum(x, 1 - x)
    level = tf.math.log(_select(tail > 0, tail, 1.0))
    root = tf.sqrt(-2 * tf.minimum(level, -2.0))
    quantile = (tf.math.log(root) + math.log(2 * math.pi) / 2) / root - root
    for _ in range(4):
        slope = math.sqrt(2 / math.pi) / _erfcx(quantile * -math.sqrt(0.5))
        quantile -= (_log_tail(quantile) - level) / slope
    quantile = _select(tail == 0, -math.inf, quantile)
    middle = math.sqrt(2) * raw.Erfinv(x=2 * x - 1)
    return _select(tail < math.exp(-2), _select(tail < 0, _NAN, _select(x < 0.5, quantile, -quantile)), middle)


# ---- the gamma function -----------------------------------------------------------------------------------------


@_with_slope(lambda x: _polygamma(1)(x), "digamma")
def _digamma(x):
    return _select(x == 0, -1 / x, raw.Digamma(x=x))


@_with_slope(_digamma, "lgamma")
def _lgamma(x):
    return _select((x == 1) | (x == 2), 0.0, raw.Lgamma(x=x))


@functools.cache
def _polygamma(order):
    if order == 0:
        return _digamma

    @_with_slope(lambda x: _polygamma(order + 1)(x))
    def polygamma(x):
        if order == 1:
            return _trigamma(x)
        return (-1) ** (order + 1) * math.gamma(order + 1) * _hurwitz(tf.fill(tf.shape(x), _as(order + 1, x)), x)

    return polygamma


def _as(value, x):
    return tf.constant(value, x.dtype)


def _trigamma(x):
    """By reflection below 1/2, as PyTorch does."""
    reflects = x < 0.5
    positive = _hurwitz(tf.fill(tf.shape(x), _as(2, x)), _select(reflects, 1 - x, x))
    sine = tf.sin(x * math.pi)
    return _select(reflects, math.pi**2 / (sine * sine) - positive, positive)


@natives.having("program")
def polygamma(input, n):
    return _rounded(_polygamma(operator.index(n))(_single(input)), input.dtype)


def _hurwitz(s, q):
    """Terms from a negative ``q`` on, which may cancel, are added one by one; the kernel adds the small rest."""
    pole = (s == 1) | ((q <= 0) & (q == tf.floor(q)))
    undefined = (s < 1) | ((q <= 0) & (s != tf.floor(s)))
    shift = _select((q < 0) & ~pole & ~undefined, 9 - tf.floor(q), 0.0)

    def add(step, total):
        return step + 1, total + _select(step < shift, (q + step) ** -s, 0.0)

    steps = tf.maximum(tf.reduce_max(shift), 0)
    _, head = tf.while_loop(lambda step, total: step < steps, add, (_as(0, q), tf.zeros_like(q)))
    total = head + raw.Zeta(x=s, q=q + shift)
    return _select((s < 1) | (undefined & ~pole), _NAN, _select(pole, math.inf, total))


_zeta = _pair("special_zeta", _hurwitz, None, lambda s, q: -s * _zeta(s + 1, q))


def _incomplete(kernel, at_zero, at_infinity):
    """``kernel`` with PyTorch's values where ``a`` is 0 and where an operand is infinite; NaN below 0."""

    def function(a, x):
        infinite = tf.math.is_inf(x)
        value = _select(infinite, at_infinity, _select(x == 0, at_zero, kernel(a=a, x=x)))
        value = _select(tf.math.is_inf(a), _select(infinite, _as(_NAN, x), at_zero), value)
        value = _select(a == 0, _select(x > 0, _as(at_infinity, x), _NAN), value)
        return _select((a >= 0) & (x >= 0), value, _NAN)

    return function


def _gamma_density(a, x):
    return tf.exp((a - 1) * tf.math.log(x) - x - _lgamma(a))


_pair("igamma", _incomplete(raw.Igamma, 0.0, 1.0), None, _gamma_density, integers=False)
_pair("igammac", _incomplete(raw.Igammac, 1.0, 0.0), None, lambda a, x: -_gamma_density(a, x), integers=False)


# ---- Bessel functions --------------------------------------------------------------------------------------------


def _ratio(order_one, x, at_zero):
    """``order_one(x) / x``, continued to 0."""
    zero = x == 0
    return _select(zero, at_zero, order_one(x) / _select(zero, 1.0, x))


@_with_slope(lambda x: _i1e(x) - tf.sign(x) * _i0e(x), "special_i0e")
def _i0e(x):
    return raw.BesselI0e(x=x)


@_with_slope(lambda x: _i0e(x) - tf.sign(x) * _i1e(x) - _ratio(_i1e, x, 0.5), "special_i1e")
def _i1e(x):
    return raw.BesselI1e(x=x)


@_with_slope(lambda x: _i1(x), "i0")
def _i0(x):
    return tf.exp(tf.abs(x)) * _i0e(x)


@_with_slope(lambda x: _i0(x) - _ratio(_i1, x, 0.5), "special_i1")
def _i1(x):
    return tf.exp(tf.abs(x)) * _i1e(x)


# ---- entropies ---------------------------------------------------------------------------------------------------


@_with_slope(lambda x: -1 - tf.math.log(x), "special_entr")
def _entr(x):
    return _select(x > 0, -x * tf.math.log(x), _select(x == 0, 0.0, _select(x < 0, -math.inf, x)))


def _times_log(name, function, inner):
    """``x * function(y)``, 0 where x is 0; ``inner(y)`` is what the logarithm is taken of."""

    def value(x, y):
        return _select((x == 0) & ~tf.math.is_nan(y), 0.0, x * function(y))

    def by_x(x, y):
        return _select((x == 0) & (inner(y) <= 0), 0.0, function(y))

    _pair(name, value, by_x, lambda x, y: x / inner(y))


_times_log("xlogy", tf.math.log, lambda y: y)
_times_log("special_xlog1py", tf.math.log1p, lambda y: y + 1)
