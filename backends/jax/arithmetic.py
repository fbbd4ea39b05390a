"""More arithmetic, comparison and rounding of elements on JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unified.backends.jax.elementwise import abs as magnitude
from unified.backends.jax.elementwise import floating, operands, unary, with_slopes
from unified.backends.protocol import Natives

natives = Natives()


def _binary(function):
    def native(input, other):
        return function(*jnp.broadcast_arrays(*operands(input, other)))

    return native


def _neighbour_slopes(value, x, y):
    return lambda: jnp.where(x == y, 0, 1).astype(x.dtype), lambda: jnp.zeros_like(y)


def _logaddexp2_slopes(value, x, y):
    return lambda: 1 / (1 + jnp.exp2(y - x)), lambda: 1 / (1 + jnp.exp2(x - y))


natives(
    acosh=unary(jnp.arccosh), asinh=unary(jnp.arcsinh), atanh=unary(jnp.arctanh),
    exp2=unary(lambda x: jnp.power(jnp.asarray(2, x.dtype), x)),  # jnp.exp2 is off by 60 units in the last place
    log10=unary(jnp.log10), signbit=jnp.signbit, gcd=_binary(jnp.gcd), lcm=_binary(jnp.lcm),
    nextafter=_binary(with_slopes(jax.lax.nextafter, _neighbour_slopes)),
    bitwise_left_shift=_binary(jax.lax.shift_left),
    hypot=_binary(with_slopes(jnp.hypot, lambda value, x, y: (lambda: x / value, lambda: y / value))),
    logaddexp2=_binary(with_slopes(jnp.logaddexp2, _logaddexp2_slopes)),
)  # fmt: skip


@natives
def bitwise_right_shift(input, other):
    input, other = jnp.broadcast_arrays(*operands(input, other))
    unsigned = jnp.issubdtype(input.dtype, jnp.unsignedinteger)
    return (jax.lax.shift_right_logical if unsigned else jax.lax.shift_right_arithmetic)(input, other)


@natives
def copysign(input, other):
    input, other = operands(input, other)
    value = magnitude(floating(input))
    return jnp.where(jnp.signbit(other), -value, value)


@jax.custom_jvp
def _frexp(x):
    return jnp.frexp(x)


@_frexp.defjvp
def _frexp_slope(primals, tangents):
    mantissa, exponent = _frexp(*primals)
    slope = jnp.ldexp(jnp.ones_like(mantissa), -exponent)
    return (mantissa, exponent), (tangents[0] * slope, jnp.zeros(exponent.shape, jax.dtypes.float0))


@natives
def frexp(input):
    return _frexp(floating(input))


@natives
def fill(input, value):
    return jnp.full(input.shape, value, input.dtype)
