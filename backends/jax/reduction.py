"""Reductions on JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unified.backends.jax.dtype import to_native
from unified.backends.jax.elementwise import floating, is_inexact
from unified.backends.protocol import Natives

natives = Natives()


def _dims(input, dim):
    """Empty means all, as in PyTorch; a 0-d tensor has a dim 0 or -1 by courtesy."""
    return None if dim is None or dim == () or not input.ndim else dim


def _accumulated(input, dtype):
    """The operand of a sum or product: int32 for narrower integers."""
    if dtype is not None:
        return input.astype(to_native(dtype))
    narrow = not is_inexact(input) and input.dtype.itemsize < 8
    return input.astype(jnp.int32) if narrow else input


def _converted(input, dtype):
    return input if dtype is None else input.astype(to_native(dtype))


@natives
def sum(input, dim, keepdim, dtype):
    input = _accumulated(input, dtype)
    return jnp.sum(input, _dims(input, dim), dtype=input.dtype, keepdims=keepdim)


@natives
def mean(input, dim, keepdim, dtype):
    return jnp.mean(_converted(input, dtype), _dims(input, dim), keepdims=keepdim)


@natives
def prod(input, dim, keepdim, dtype):
    input = _accumulated(input, dtype)
    return jnp.prod(input, _dims(input, dim), dtype=input.dtype, keepdims=keepdim)


def _tested(input, result):
    return result.astype(input.dtype) if input.dtype == jnp.uint8 else result


@natives
def any(input, dim, keepdim):
    return _tested(input, jnp.any(input, _dims(input, dim), keepdims=keepdim))


@natives
def all(input, dim, keepdim):
    return _tested(input, jnp.all(input, _dims(input, dim), keepdims=keepdim))


def _scanned(scan, input, dim):
    """``scan`` along ``dim``, of halves in float32: rounding every partial result would add up."""
    if not input.ndim:
        return input
    wide = jnp.float32 if input.dtype in (jnp.float16, jnp.bfloat16) else input.dtype
    return scan(input.astype(wide), dim, dtype=wide).astype(input.dtype)


@natives
def cumsum(input, dim, dtype):
    return _scanned(jnp.cumsum, _accumulated(input, dtype), dim)


@natives
def cumprod(input, dim, dtype):
    return _scanned(jnp.cumprod, _accumulated(input, dtype), dim)


@natives
def squared_magnitude(input):
    return jnp.square(input.real) + jnp.square(input.imag) if jnp.iscomplexobj(input) else jnp.square(input)


@natives
def amax(input, dim, keepdim):
    return jnp.max(input, _dims(input, dim), keepdims=keepdim)


@natives
def amin(input, dim, keepdim):
    return jnp.min(input, _dims(input, dim), keepdims=keepdim)


def _index(function):
    def native(input, dim, keepdim):
        if not input.ndim:
            return jnp.zeros((), jnp.int32)
        found = function(jax.lax.stop_gradient(input), dim, keepdims=keepdim)
        return found.astype(jnp.int32)

    return native


natives(argmax=_index(jnp.argmax), argmin=_index(jnp.argmin))


def _selected(function):
    """Elements along a dim and their indices; the gradient goes to the index."""

    def native(input, dim, keepdim):
        if not input.ndim:
            return input, jnp.zeros((), jnp.int32)
        indices = function(jax.lax.stop_gradient(input), dim, keepdims=True).astype(jnp.int32)
        values = jnp.take_along_axis(input, indices, dim)
        return (values, indices) if keepdim else (values.squeeze(dim), indices.squeeze(dim))

    return native


natives(max=_selected(jnp.argmax), min=_selected(jnp.argmin))


@jax.custom_jvp
def _log_sum(input):
    """Over the last dim, which is kept."""
    return jax.nn.logsumexp(input, -1, keepdims=True)


@_log_sum.defjvp
def _log_sum_jvp(primals, tangents):
    (input,), (tangent,) = primals, tangents
    value = _log_sum(input)
    return value, jnp.sum(jnp.exp(input - value) * tangent, -1, keepdims=True)


@natives
def logsumexp(input, dim, keepdim):
    input = floating(input)
    if not input.ndim:
        return _log_sum(input[None])[0]
    dims = {index % input.ndim for index in ((dim,) if isinstance(dim, int) else dim or range(input.ndim))}
    kept = [index for index in range(input.ndim) if index not in dims]
    flat = input.transpose(*kept, *sorted(dims)).reshape(*[input.shape[i] for i in kept], -1)
    shape = [1 if i in dims else n for i, n in enumerate(input.shape) if keepdim or i not in dims]
    return _log_sum(flat).reshape(shape)


@natives
def softmax(input, dim, dtype):
    input = _converted(input, dtype)
    return jax.nn.softmax(input, dim) if input.ndim else jax.nn.softmax(input[None], 0)[0]


@natives
def log_softmax(input, dim, dtype):
    input = _converted(input, dtype)
    return jax.nn.log_softmax(input, dim) if input.ndim else jax.nn.log_softmax(input[None], 0)[0]


@natives
def sort(input, dim, descending, stable):
    if not input.ndim:
        return input, jnp.zeros((), jnp.int32)
    indices = jnp.argsort(jax.lax.stop_gradient(input), dim, stable=True, descending=descending).astype(jnp.int32)
    return jnp.take_along_axis(input, indices, dim), indices


@natives
def topk(input, k, dim, largest, sorted):
    if not input.ndim:
        return (input, jnp.zeros((), jnp.int32)) if k else (input[None][:0], jnp.zeros((0,), jnp.int32))
    keys = jax.lax.stop_gradient(input)
    if largest and jnp.issubdtype(keys.dtype, jnp.floating):  # a partial sort, which ranks a positive NaN highest
        keys = jnp.where(jnp.isnan(keys), jnp.nan, keys)
        indices = jnp.moveaxis(jax.lax.top_k(jnp.moveaxis(keys, dim, -1), k)[1], -1, dim).astype(jnp.int32)
    else:
        indices = jnp.argsort(keys, dim, stable=True, descending=largest).astype(jnp.int32)
        indices = jax.lax.slice_in_dim(indices, 0, k, axis=dim)
    return jnp.take_along_axis(input, indices, dim), indices
