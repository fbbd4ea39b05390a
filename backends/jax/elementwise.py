"""Elementwise ops on JAX. Written out where jnp's promotion, corner gradients or names differ from PyTorch's."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unified.backends.jax.dtype import FROM_NATIVE, to_native
from unified.backends.protocol import Natives, errors, result_type

natives = Natives()


def operands(*values):
    """Operands as arrays of ``torch.result_type``'s dtype (jnp has no rule of its own for 0-d tensors)."""
    arrays = [v for v in values if isinstance(v, jax.Array)]
    if len({a.dtype for a in arrays}) == 1 and len(arrays) == len(values):
        return values
    described = [(FROM_NATIVE[v.dtype], v.ndim) if isinstance(v, jax.Array) else _number(v) for v in values]
    dtype = to_native(result_type(*described))
    return tuple(jnp.asarray(v, dtype) for v in values)


def _number(value):
    return value if isinstance(value, (bool, int, float, complex)) else (FROM_NATIVE[jnp.result_type(value)], 0)


def _binary(function):
    def native(input, other):
        return function(*operands(input, other))

    return native


def _float(input):
    """Integers and bools as the default float dtype, which is what PyTorch's float functions make of them."""
    return input if jnp.issubdtype(input.dtype, jnp.inexact) else input.astype(jnp.float32)


def _unary(function):
    def native(input):
        return function(_float(input))

    return native


def _flat(function):
    """A step function: the value of ``function``, the gradient 0."""

    def native(input):
        if not jnp.issubdtype(input.dtype, jnp.inexact):
            return input
        return function(jax.lax.stop_gradient(input))

    return native


natives(**{name: _unary(getattr(jnp, name)) for name in (
    "exp", "expm1", "log", "log1p", "log2", "sqrt", "sin", "cos", "tanh",
)}, rsqrt=_unary(jax.lax.rsqrt), sigmoid=_unary(jax.nn.sigmoid), erf=_unary(jax.lax.erf),
    reciprocal=_unary(jnp.reciprocal))  # fmt: skip
natives(**{name: _flat(getattr(jnp, name)) for name in ("floor", "ceil", "round", "trunc")})
natives(isnan=jnp.isnan, isinf=jnp.isinf, isfinite=jnp.isfinite, neg=jnp.negative, square=jnp.square,
        logical_not=jnp.logical_not, bitwise_not=jnp.bitwise_not, relu=jax.nn.relu)  # fmt: skip
natives(**{name: _binary(function) for name, function in {
    "mul": jnp.multiply, "maximum": jnp.maximum, "minimum": jnp.minimum, "remainder": jnp.remainder,
    "eq": jnp.equal, "ne": jnp.not_equal, "lt": jnp.less, "le": jnp.less_equal, "gt": jnp.greater,
    "ge": jnp.greater_equal, "logical_and": jnp.logical_and, "logical_or": jnp.logical_or,
    "bitwise_and": jnp.bitwise_and, "bitwise_or": jnp.bitwise_or, "bitwise_xor": jnp.bitwise_xor,
    "floor_divide": jnp.floor_divide,
}.items()})  # fmt: skip


@natives
def add(input, other, alpha):
    input, other = operands(input, other)
    if input.dtype == jnp.bool_:
        return jnp.logical_or(input, other)
    return input + (other if alpha == 1 else other * jnp.asarray(alpha, other.dtype))


@natives
def sub(input, other, alpha):
    input, other = operands(input, other)
    if input.dtype == jnp.bool_:
        raise errors.DTypeError("bools cannot be subtracted; use ^ or logical_not")
    return input - (other if alpha == 1 else other * jnp.asarray(alpha, other.dtype))


@natives
def div(input, other, rounding_mode):
    input, other = operands(input, other)
    if rounding_mode == "floor":
        return jnp.floor_divide(input, other)
    if rounding_mode == "trunc":
        if jnp.issubdtype(input.dtype, jnp.integer):
            return jax.lax.div(*jnp.broadcast_arrays(input, other))
        return jnp.trunc(jax.lax.stop_gradient(input / other))
    return _float(input) / _float(other)


@natives
def pow(input, exponent):
    if isinstance(exponent, int) and not isinstance(input, (int, float, complex)):
        return jax.lax.integer_pow(input, exponent)
    return jnp.power(*operands(input, exponent))


@natives
def abs(input):
    return jnp.abs(input)


@natives
def sign(input):
    return jnp.sign(jax.lax.stop_gradient(input))


@natives
def clamp(input, min, max):
    if min is None and max is None:
        raise errors.ArgumentError("give min, max or both")
    bounds = [bound for bound in (min, max) if bound is not None]
    input, *bounds = operands(input, *bounds)
    low = bounds[0] if min is not None else None
    high = bounds[-1] if max is not None else None
    return _clamp(input, low, high)


def _clamp(input, low, high):
    """``min(max(x, low), high)`` whose gradient at a bound goes to x whole, where jnp would halve it."""
    result = input
    if low is not None:
        result = jnp.where(result < low, low, result)
    return result if high is None else jnp.where(result > high, high, result)


@natives
def where(condition, input, other):
    return jnp.where(condition, *operands(input, other))


@natives
def cast(input, dtype):
    target = to_native(dtype)
    if jnp.issubdtype(input.dtype, jnp.complexfloating) and not jnp.issubdtype(target, jnp.complexfloating):
        input = input.real
    return input.astype(target)


@natives
def clone(input):
    return jnp.copy(input)
