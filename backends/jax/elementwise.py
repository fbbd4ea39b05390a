"""Elementwise ops on JAX. Written out where jnp's promotion, corner gradients or names differ from PyTorch's."""

from __future__ import annotations

import builtins

import jax
import jax.numpy as jnp

from unified.backends.jax.dtype import FROM_NATIVE, to_native
from unified.backends.protocol import Natives, errors, result_type

natives = Natives()

_NUMBERS = {"b": False, "i": 0, "f": 0.0, "c": 0j}


def operands(*values):
    """Operands as arrays of ``torch.result_type``'s dtype (jnp has no rule of its own for 0-d tensors)."""
    dtype = to_native(result_type(*[_described(v) for v in values]))
    return tuple(jax.lax.convert_element_type(v, dtype) for v in values)


def _described(value):
    """A Python number stays one: under jit it has become a weakly typed tracer."""
    if not isinstance(value, jax.Array):
        return value
    if value.aval.weak_type:
        return _NUMBERS[value.dtype.kind]
    return FROM_NATIVE[value.dtype], value.ndim


def _binary(function):
    def native(input, other):
        return function(*operands(input, other))

    return native


def is_inexact(array):
    return jnp.issubdtype(array.dtype, jnp.inexact)


def floating(input):
    """Integers and bools as the default float dtype, which is what PyTorch's float functions make of them."""
    return input if is_inexact(input) else input.astype(jnp.float32)


def unary(function):
    def native(input):
        return function(floating(input))

    return native


def _flat(function):
    """A step function: the value of ``function``, the gradient 0."""

    def native(input):
        if not is_inexact(input):
            return input
        return function(jax.lax.stop_gradient(input))

    return native


natives(**{name: unary(getattr(jnp, name)) for name in (
    "exp", "expm1", "log", "log1p", "log2", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh",
)}, rsqrt=unary(jax.lax.rsqrt), sigmoid=unary(jax.nn.sigmoid), erf=unary(jax.lax.erf), asin=unary(jnp.arcsin),
    acos=unary(jnp.arccos), atan=unary(jnp.arctan), reciprocal=unary(lambda x: 1 / x))  # fmt: skip
natives(**{name: _flat(getattr(jnp, name)) for name in ("floor", "ceil", "trunc")})
natives(isnan=jnp.isnan, isinf=jnp.isinf, isfinite=jnp.isfinite, neg=jnp.negative, logical_not=jnp.logical_not,
        bitwise_not=jnp.bitwise_not)  # fmt: skip
natives(**{name: _binary(function) for name, function in {
    "mul": jnp.multiply, "eq": jnp.equal, "ne": jnp.not_equal, "lt": jnp.less, "le": jnp.less_equal,
    "gt": jnp.greater, "ge": jnp.greater_equal, "logical_and": jnp.logical_and, "logical_or": jnp.logical_or,
    "bitwise_and": jnp.bitwise_and, "bitwise_or": jnp.bitwise_or, "bitwise_xor": jnp.bitwise_xor,
}.items()})  # fmt: skip


@natives
def add(input, other):
    input, other = operands(input, other)
    return jnp.logical_or(input, other) if input.dtype == jnp.bool_ else input + other


@natives
def sub(input, other):
    input, other = operands(input, other)
    return input - other


@natives
def div(input, other, rounding_mode):
    input, other = operands(input, other)
    if rounding_mode is None:
        return floating(input) / floating(other)
    if input.dtype == jnp.bool_:
        raise errors.DTypeError("bools cannot be divided with rounding; convert one with x.to(un.int32)")
    if rounding_mode == "floor":
        return jax.lax.stop_gradient(jnp.floor_divide(input, other))
    if jnp.issubdtype(input.dtype, jnp.integer):
        return jax.lax.div(*jnp.broadcast_arrays(input, other))
    return jnp.trunc(jax.lax.stop_gradient(input / other))


@natives
def floor_divide(input, other):
    return div(input, other, "floor")


def with_slopes(function, slopes):
    """``function`` of two arrays of one shape, with the derivative that ``slopes(value, x, y)`` gives for each.

    The slopes are functions, called only for an operand whose derivative is wanted.
    """
    differentiable = jax.custom_jvp(function)

    def rule(primals, tangents):
        value = differentiable(*primals)
        wanted = [
            slope() * tangent
            for slope, tangent in zip(slopes(value, *primals), tangents, strict=True)
            if not isinstance(tangent, jax.custom_derivatives.SymbolicZero)
        ]
        return value, sum(wanted[1:], start=wanted[0])

    differentiable.defjvp(rule, symbolic_zeros=True)
    return differentiable


def _modulus_slopes(quotient):
    def slopes(value, x, y):
        return lambda: jnp.ones_like(value), lambda: -quotient(x, y)

    return slopes


def _power_slopes(value, x, y):
    """PyTorch's: 0 by ``x`` where the exponent is 0, 0 by the exponent where the base is 0 and it is not negative."""
    zero = (x == 0) & (y >= 0)
    return (
        lambda: jnp.where(y == 0, 0, y * _power(x, jnp.where(y == 0, 1, y - 1))),
        lambda: jnp.where(zero, 0, value * jnp.log(jnp.where(zero, 1, x))),
    )


def _tie_slopes(wins):
    """The whole gradient to the operand that ``wins``, half to each at a tie, the whole to both at a NaN."""

    def slopes(value, x, y):
        half = jnp.where(x == y, 0.5, 1.0).astype(x.dtype)
        return lambda: jnp.where(wins(y, x), 0, half), lambda: jnp.where(wins(x, y), 0, half)

    return slopes


def _logaddexp_slopes(value, x, y):
    return lambda: 1 / (1 + jnp.exp(y - x)), lambda: 1 / (1 + jnp.exp(x - y))


def _logaddexp_value(x, y):
    """For complex numbers PyTorch adds to the one with the larger real part, and leaves its imaginary part whole."""
    if not jnp.iscomplexobj(x):
        return jnp.logaddexp(x, y)
    less = x.real < y.real
    low, high = jnp.where(less, x, y), jnp.where(less, y, x)
    return jnp.where(jnp.isneginf(low.real), high, high + jnp.log1p(jnp.exp(low - high)))


_logaddexp = with_slopes(_logaddexp_value, _logaddexp_slopes)
_maximum = with_slopes(jnp.maximum, _tie_slopes(jnp.greater))
_minimum = with_slopes(jnp.minimum, _tie_slopes(jnp.less))
_remainder = with_slopes(jnp.remainder, _modulus_slopes(lambda x, y: jnp.floor(x / y)))
_fmod = with_slopes(jax.lax.rem, _modulus_slopes(lambda x, y: jnp.trunc(x / y)))
_power = with_slopes(jnp.power, _power_slopes)


def _differentiable(function, plain):
    """``function`` where a derivative can be wanted, ``plain`` for integers."""

    def native(input, other):
        input, other = jnp.broadcast_arrays(*operands(input, other))
        return function(input, other) if is_inexact(input) else plain(input, other)

    return native


def _integer_power(x, y):
    """A negative power of an integer is the integer part of the fraction: 0, but for powers of 1 and -1."""
    power = jnp.power(x, jnp.maximum(y, 0))
    if not jnp.issubdtype(y.dtype, jnp.signedinteger):
        return power
    fraction = jnp.where(x == 1, 1, jnp.where(x == -1, 1 - 2 * (y % 2), 0)).astype(x.dtype)
    return jnp.where(y < 0, fraction, power)


natives(
    remainder=_differentiable(_remainder, jnp.remainder), fmod=_differentiable(_fmod, jax.lax.rem),
    pow=_differentiable(_power, _integer_power), maximum=_differentiable(_maximum, jnp.maximum),
    minimum=_differentiable(_minimum, jnp.minimum),
)  # fmt: skip


def _float_binary(function):
    def native(input, other):
        input, other = operands(input, other)
        return function(*jnp.broadcast_arrays(floating(input), floating(other)))

    return native


natives(atan2=_float_binary(jnp.arctan2), logaddexp=_float_binary(_logaddexp))


@natives
def round(input, decimals):
    if not is_inexact(input):
        return input
    input = jax.lax.stop_gradient(input)
    if decimals == 0:
        return jnp.round(input)
    scale = jnp.asarray(10.0 ** builtins.abs(decimals), input.dtype)
    return jnp.round(input * scale) / scale if decimals > 0 else jnp.round(input / scale) * scale


@natives
def square(input):
    return input * input if input.dtype != jnp.bool_ else input.astype(jnp.int32)


@jax.custom_jvp
def direction(z):
    """``z / abs(z)``, and 0 for 0; its derivative divides by ``abs(z)`` once, whose square might underflow."""
    size = jnp.abs(z)
    return jnp.where(size == 0, 0, z / jnp.where(size == 0, 1, size))


@direction.defjvp
def _direction_slope(primals, tangents):
    unit, size = direction(*primals), _modulus(*primals)
    across = tangents[0] - unit * jnp.real(jnp.conj(unit) * tangents[0])
    return unit, jnp.where(size == 0, 0, across / jnp.where(size == 0, 1, size))


@jax.custom_jvp
def _modulus(z):
    return jnp.abs(z)


@_modulus.defjvp
def _modulus_slope(primals, tangents):
    return _modulus(*primals), jnp.real(jnp.conj(direction(*primals)) * tangents[0])


@natives
def abs(input):
    if jnp.iscomplexobj(input):
        return _modulus(input)
    return input * sign(input) if is_inexact(input) else jnp.abs(input)  # abs'(0) is 0


@natives
def relu(input):
    return jnp.where(input <= 0, jnp.zeros((), input.dtype), input)


@natives
def sign(input):
    if input.dtype == jnp.bool_:
        return input
    value = jnp.sign(jax.lax.stop_gradient(input))
    return jnp.where(value != value, jnp.zeros((), value.dtype), value)  # PyTorch's sign(NaN) is 0


@natives
def clamp(input, min, max):
    bounds = [bound for bound in (min, max) if bound is not None]
    input, *bounds = jnp.broadcast_arrays(*operands(input, *bounds))
    low = bounds[0] if min is not None else None
    high = bounds[-1] if max is not None else None
    inside = jnp.ones(input.shape, bool)
    limited = jax.lax.stop_gradient(input)
    if low is not None:
        inside &= input >= low
        limited = jnp.where(limited < low, low, limited)
    if high is not None:
        inside &= input <= high
        limited = jnp.where(limited > high, high, limited)
    return jnp.where(inside, input, limited)


@natives
def where(condition, input, other):
    return jnp.where(condition.astype(bool), *operands(input, other))


@natives
def cast(input, dtype):
    target = to_native(dtype)
    if jnp.issubdtype(input.dtype, jnp.complexfloating) and not jnp.issubdtype(target, jnp.complexfloating):
        input = input != 0 if target == jnp.bool_ else input.real
    return input.astype(target)


@natives
def clone(input):
    return jnp.copy(input)


natives(stop_gradient=jax.lax.stop_gradient)
