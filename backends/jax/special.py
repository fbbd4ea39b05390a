"""Special functions on JAX: its own functions with PyTorch's edge values, dtypes and derivatives."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp

from unified.backends.jax.elementwise import floating, operands, with_slopes
from unified.backends.protocol import Natives, errors

natives = Natives()
special = jax.scipy.special

_HALVES = (jnp.float16, jnp.bfloat16)


def _single(input):
    """Integers, bools and halves as float32."""
    return input.astype(jnp.float32) if input.dtype in _HALVES else floating(input)


def _rounded(result, dtype):
    return result.astype(dtype) if dtype in _HALVES else result


def _native(name, function):
    def native(input):
        return _rounded(function(_single(input)), input.dtype)

    natives[name] = native
    return function


def _with_slope(slope, name=None):
    """A function of floats with the derivative ``slope(x)``, registered as ``name`` for every dtype."""

    def decorate(function):
        differentiable = functools.wraps(function)(jax.custom_jvp(function))

        @differentiable.defjvp
        def rule(primals, tangents):
            (x,), (tangent,) = primals, tangents
            return differentiable(x), slope(x) * tangent

        return _native(name, differentiable) if name else differentiable

    return decorate


# ---- the error function and the normal distribution ------------------------------------------------------------

_native("erfc", jax.lax.erfc)
_erfcx = _with_slope(lambda x: 2 * x * _erfcx(x) - 2 / math.sqrt(math.pi), "special_erfcx")(special.erfcx)
_erfinv = _with_slope(lambda x: math.sqrt(math.pi) / 2 * jnp.exp(_erfinv(x) ** 2), "erfinv")(jax.lax.erf_inv)
_ndtri = _with_slope(lambda x: math.sqrt(2 * math.pi) * jnp.exp(_ndtri(x) ** 2 / 2), "special_ndtri")(special.ndtri)


@_with_slope(lambda x: math.sqrt(2 / math.pi) / _erfcx(x * -math.sqrt(0.5)), "special_log_ndtr")
def _log_ndtr(x):
    argument = x * math.sqrt(0.5)
    below = jnp.log(_erfcx(-argument) / 2) - argument * argument
    return jnp.where(x < -1, below, jnp.log1p(jax.lax.erfc(argument) / -2))


# ---- the gamma function -----------------------------------------------------------------------------------------


@_with_slope(lambda x: _polygamma(1)(x), "digamma")
def _digamma(x):
    return jnp.where(x == 0, -1 / x, jax.lax.digamma(x))


@_with_slope(_digamma, "lgamma")
def _lgamma(x):
    return jnp.where((x == 1) | (x == 2), 0.0, jax.lax.lgamma(x))


@functools.cache
def _polygamma(order):
    if order == 0:
        return _digamma

    @_with_slope(lambda x: _polygamma(order + 1)(x))
    def polygamma(x):
        if order == 1:
            return _trigamma(x)
        return (-1) ** (order + 1) * math.gamma(order + 1) * _hurwitz(jnp.full_like(x, order + 1), x)

    return polygamma


def _trigamma(x):
    """By reflection below 1/2, as PyTorch does."""
    reflects = x < 0.5
    positive = _hurwitz(jnp.full_like(x, 2), jnp.where(reflects, 1 - x, x))
    sine = jnp.sin(x * math.pi)
    return jnp.where(reflects, math.pi**2 / (sine * sine) - positive, positive)


@natives
def polygamma(input, n):
    return _rounded(_polygamma(n)(_single(input)), input.dtype)


def _hurwitz(s, q):
    """Terms from a negative ``q`` on, which may cancel, are added one by one; XLA's kernel adds the small rest."""
    pole = (s == 1) | ((q <= 0) & (q == jnp.floor(q)))
    undefined = (s < 1) | ((q <= 0) & (s != jnp.floor(s)))
    shift = jnp.where((q < 0) & ~pole & ~undefined, 9 - jnp.floor(q), 0)

    def add(state):
        step, total = state
        return step + 1, total + jnp.where(step < shift, (q + step) ** -s, 0)

    steps = jnp.max(shift, initial=0)
    _, head = jax.lax.while_loop(lambda state: state[0] < steps, add, (jnp.zeros((), q.dtype), jnp.zeros_like(q)))
    total = head + jax.lax.zeta(s, q + shift)
    return jnp.where((s < 1) | (undefined & ~pole), jnp.nan, jnp.where(pole, jnp.inf, total))


def _no_slope(name):
    def refuse():
        raise errors.UnsupportedOpError(f"{name} has no derivative by its first operand, as in PyTorch; detach() it")

    return refuse


def _zeta_slopes(value, s, q):
    return _no_slope("zeta"), lambda: -s * _zeta(s + 1, q)


_zeta = with_slopes(_hurwitz, _zeta_slopes)


def _incomplete(a, x, function, at_zero, at_infinity):
    """``function`` with PyTorch's values where ``a`` is 0 and where an operand is infinite; NaN below 0."""
    value = jnp.where(jnp.isinf(x), at_infinity, jnp.where(x == 0, at_zero, function(a, x)))
    value = jnp.where(jnp.isinf(a), jnp.where(jnp.isinf(x), jnp.nan, at_zero), value)
    value = jnp.where(a == 0, jnp.where(x > 0, at_infinity, jnp.nan), value)
    return jnp.where((a < 0) | (x < 0) | jnp.isnan(a) | jnp.isnan(x), jnp.nan, value)


def _gamma_density(a, x):
    return jnp.exp((a - 1) * jnp.log(x) - x - _lgamma(a))


_igamma = with_slopes(
    lambda a, x: _incomplete(a, x, jax.lax.igamma, 0.0, 1.0),
    lambda value, a, x: (_no_slope("igamma"), lambda: _gamma_density(a, x)),
)
_igammac = with_slopes(
    lambda a, x: _incomplete(a, x, jax.lax.igammac, 1.0, 0.0),
    lambda value, a, x: (_no_slope("igammac"), lambda: -_gamma_density(a, x)),
)


# ---- Bessel functions --------------------------------------------------------------------------------------------


def _ratio(order_one, x, at_zero):
    """``order_one(x) / x``, continued to 0."""
    zero = x == 0
    return jnp.where(zero, at_zero, order_one(x) / jnp.where(zero, 1, x))


@_with_slope(lambda x: _i1e(x) - jnp.sign(x) * _i0e(x), "special_i0e")
def _i0e(x):
    return jax.lax.bessel_i0e(x)


@_with_slope(lambda x: _i0e(x) - jnp.sign(x) * _i1e(x) - _ratio(_i1e, x, 0.5), "special_i1e")
def _i1e(x):
    return jax.lax.bessel_i1e(x)


@_with_slope(lambda x: _i1(x), "i0")
def _i0(x):
    return jnp.exp(jnp.abs(x)) * _i0e(x)


@_with_slope(lambda x: _i0(x) - _ratio(_i1, x, 0.5), "special_i1")
def _i1(x):
    return jnp.exp(jnp.abs(x)) * _i1e(x)


# ---- entropies ---------------------------------------------------------------------------------------------------


@_with_slope(lambda x: -1 - jnp.log(x), "special_entr")
def _entr(x):
    return jnp.where(x > 0, -x * jnp.log(x), jnp.where(x == 0, 0.0, jnp.where(x < 0, -jnp.inf, x)))


def _times_log(function, inner):
    """``x * function(y)``, 0 where x is 0; ``inner(y)`` is what the logarithm is taken of."""

    def value(x, y):
        return jnp.where((x == 0) & ~jnp.isnan(y), 0.0, x * function(y))

    def slopes(value, x, y):
        masked = (x == 0) & (inner(y) <= 0)
        return lambda: jnp.where(masked, 0.0, function(y)), lambda: x / inner(y)

    return with_slopes(value, slopes)


def _pair(function):
    def native(input, other):
        input, other = operands(input, other)
        dtype = input.dtype
        return _rounded(function(*jnp.broadcast_arrays(_single(input), _single(other))), dtype)

    return native


natives(
    special_zeta=_pair(_zeta), igamma=_pair(_igamma), igammac=_pair(_igammac),
    xlogy=_pair(_times_log(jnp.log, lambda y: y)), special_xlog1py=_pair(_times_log(jnp.log1p, lambda y: y + 1)),
)  # fmt: skip
