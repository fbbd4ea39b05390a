"""Reductions on TensorFlow."""

from __future__ import annotations

import functools

import tensorflow as tf

from unified.backends.protocol import Natives, errors
from unified.backends.tensorflow.dtype import floating, to_native
from unified.backends.tensorflow.scan import running

natives = Natives()
raw = tf.raw_ops


def _dims(input, dim):
    """Dims for a kernel: a cached tensor when it runs eagerly, else a list."""
    dims = listed(input, dim)
    return _axes(dims) if tf.executing_eagerly() else list(dims)


def listed(input, dim):
    """A tuple of dims; empty or None means all, and a 0-d tensor has none."""
    rank = input.shape.rank
    if dim is None or dim == () or not rank:
        return tuple(range(rank))
    return (dim,) if isinstance(dim, int) else dim


@functools.lru_cache(256)
def _axes(dims):
    return tf.constant(dims, tf.int32, shape=(len(dims),))


def _converted(input, dtype):
    return input if dtype is None or to_native(dtype) == input.dtype else tf.cast(input, to_native(dtype))


def _accumulated(input, dtype):
    """The operand of a sum or product: int32 for narrower integers."""
    if dtype is not None:
        return _converted(input, dtype)
    narrow = input.dtype == tf.bool or (input.dtype.is_integer and input.dtype.size < 8)
    return tf.cast(input, tf.int32) if narrow else input


@natives
def sum(input, dim, keepdim, dtype):
    input = _accumulated(input, dtype)
    kernel = raw.Any if input.dtype == tf.bool else raw.Sum
    return kernel(input=input, axis=_dims(input, dim), keep_dims=keepdim)


@natives
def mean(input, dim, keepdim, dtype):
    input = _converted(input, dtype)
    if not (input.dtype.is_floating or input.dtype.is_complex):
        raise TypeError("Mean rounds integers down")  # the op's check says it in everyone's words
    return raw.Mean(input=input, axis=_dims(input, dim), keep_dims=keepdim)


@natives
def prod(input, dim, keepdim, dtype):
    input = _accumulated(input, dtype)
    dims = listed(input, dim)
    inexact = input.dtype.is_floating or input.dtype.is_complex
    if inexact and not tf.executing_eagerly() and all(input.shape[index] for index in dims):
        return _product_of_halves(input, [index % input.shape.rank for index in dims], keepdim)
    kernel = raw.All if input.dtype == tf.bool else raw.Prod
    return kernel(input=input, axis=_dims(input, dim), keep_dims=keepdim)


def _product_of_halves(input, dims, keepdim):
    """In a program by plain products, whose second derivatives, unlike Prod's, hold at zeros."""
    wide = tf.float32 if input.dtype in (tf.float16, tf.bfloat16) else input.dtype
    result = tf.cast(input, wide)
    for dim in dims:
        while (length := result.shape[dim]) > 1:
            half, odd = divmod(length, 2)
            first, second, *rest = tf.split(result, [half, half, *[1] * odd], dim)
            result = tf.concat([first * second, *rest], dim) if odd else first * second  # no empty part: XLA aborts
    result = tf.cast(result, input.dtype)
    return result if keepdim or not dims else tf.squeeze(result, dims)


def _tested(function):
    def native(input, dim, keepdim):
        truth = input if input.dtype == tf.bool else tf.cast(input, tf.bool)
        result = function(input=truth, axis=_dims(input, dim), keep_dims=keepdim)
        return tf.cast(result, tf.uint8) if input.dtype == tf.uint8 else result

    return native


natives(any=_tested(raw.Any), all=_tested(raw.All))


@natives.having("program")
def squared_magnitude(input):
    if input.dtype.is_complex:
        return tf.square(tf.math.real(input)) + tf.square(tf.math.imag(input))
    return tf.square(input)


def _scanned(scan, input):
    """``scan`` of halves in float32: rounding every partial result would add up."""
    if not input.shape.rank:
        return input
    if input.dtype in (tf.float16, tf.bfloat16):
        return tf.cast(scan(tf.cast(input, tf.float32)), input.dtype)
    return scan(input)


@natives
def cumsum(input, dim, dtype):
    return _scanned(lambda x: raw.Cumsum(x=x, axis=dim), _accumulated(input, dtype))


@natives
def cumprod(input, dim, dtype):
    return _scanned(lambda x: _running_product(x, dim), _accumulated(input, dtype))


def _running_product(input, dim):
    """In a program by plain products, whose gradients, unlike Cumprod's, hold at zeros."""
    if tf.executing_eagerly():
        return raw.Cumprod(x=input, axis=dim)
    return running(tf.multiply, input, dim % input.shape.rank)


# ---- extremes -----------------------------------------------------------------------------------------------------


def _extreme(function, of_bools):
    def native(input, dim, keepdim):
        if 0 in input.shape and 0 in [input.shape[index] for index in listed(input, dim)]:
            raise ValueError("nothing to compare")  # the op's check says it in everyone's words
        if input.dtype == tf.bool:
            return of_bools(input=input, axis=_dims(input, dim), keep_dims=keepdim)
        found = function(input=input, axis=_dims(input, dim), keep_dims=keepdim)
        if tf.executing_eagerly() or not input.dtype.is_floating:
            return found
        lost = raw.Any(input=raw.IsNan(x=input), axis=_dims(input, dim), keep_dims=keepdim)  # by XLA on CPU
        return tf.where(lost, tf.constant(float("nan"), input.dtype), found)

    return native


natives(amax=_extreme(raw.Max, raw.Any), amin=_extreme(raw.Min, raw.All))


def _order_key(input, descending, nan_first):
    """Integers that order as the elements do in a descending ``top_k``: 0 equals -0; NaN comes first or last."""
    input = tf.stop_gradient(input)
    if not input.dtype.is_floating:
        key = tf.cast(input, tf.int64 if input.dtype.size == 8 else tf.int32)
        return key if descending else tf.bitwise.invert(key)
    wide = input.dtype == tf.float64
    real = tf.cast(input, tf.float64 if wide else tf.float32)
    bits = tf.bitcast(tf.where(real == 0, tf.zeros_like(real), real), tf.int64 if wide else tf.int32)
    largest = tf.constant(bits.dtype.max, bits.dtype)
    key = tf.where(bits < 0, tf.bitwise.bitwise_xor(bits, largest), bits)
    key = key if descending else tf.bitwise.invert(key)
    return tf.where(raw.IsNan(x=real), largest if nan_first else tf.constant(bits.dtype.min, bits.dtype), key)


def _last(input, dim):
    """The permutation that brings ``dim`` to the end (its own inverse), or None where it is there."""
    rank = input.shape.rank
    if not -rank <= dim < rank:
        raise errors.IndexOutOfRangeError(f"dim {dim} is out of range for a tensor of {rank} dimensions")
    dim %= rank
    if dim == rank - 1:
        return None
    order = list(range(rank))
    order[dim], order[-1] = order[-1], order[dim]
    return order


def _moved(input, order):
    return input if order is None else tf.transpose(input, order)


def _ordered(input, k, dim, descending):
    """The first ``k`` in order along ``dim``, equals by index, with gradients to where each came from."""
    if not input.shape.rank:
        return input, tf.zeros((), tf.int32)
    order = _last(input, dim)
    moved = _moved(input, order)
    indices = tf.math.top_k(_order_key(moved, descending, descending), k).indices
    values = tf.gather(moved, indices, batch_dims=moved.shape.rank - 1, axis=-1)
    return _moved(values, order), _moved(indices, order)


@natives.having("program")
def sort(input, dim, descending, stable):
    return _ordered(input, input.shape[dim] if input.shape.rank else 1, dim, descending)


@natives.having("program")
def topk(input, k, dim, largest, sorted):
    if not input.shape.rank and not k:
        return tf.reshape(input, (1,))[:0], tf.zeros((0,), tf.int32)
    return _ordered(input, k, dim, largest)


def _selected(descending):
    """Elements along a dim and their indices; the gradient goes to the index."""

    def native(input, dim, keepdim):
        if not input.shape.rank:
            return input, tf.zeros((), tf.int32)
        order = _last(input, dim)
        moved = _moved(input, order)
        key = _order_key(moved, descending, True)
        indices = raw.ArgMax(input=key, dimension=-1, output_type=tf.int32)[..., None]
        values = _moved(tf.gather(moved, indices, batch_dims=moved.shape.rank - 1, axis=-1), order)
        indices = _moved(indices, order)
        return (values, indices) if keepdim else (tf.squeeze(values, dim), tf.squeeze(indices, dim))

    return native


def _index(descending):
    def native(input, dim, keepdim):
        rank = input.shape.rank
        if not rank:
            return tf.zeros((), tf.int32)
        key = _order_key(input, descending, True)
        if dim is not None:
            found = raw.ArgMax(input=key, dimension=dim, output_type=tf.int32)
            return tf.expand_dims(found, dim) if keepdim else found
        found = raw.ArgMax(input=tf.reshape(key, (-1,)), dimension=0, output_type=tf.int32)
        return tf.reshape(found, [1] * rank) if keepdim else found

    return native


def _program(name, function):
    function.__name__ = name
    natives.having("program")(function)


_program("max", _selected(True))
_program("min", _selected(False))
_program("argmax", _index(True))
_program("argmin", _index(False))


# ---- softmax and its kin ------------------------------------------------------------------------------------------


@natives.having("program")
def logsumexp(input, dim, keepdim):
    input = floating(input)
    dims = listed(input, dim)
    largest = tf.stop_gradient(tf.reduce_max(tf.math.real(input), dims, keepdims=True))
    largest = tf.cast(tf.where(tf.math.is_finite(largest), largest, tf.zeros_like(largest)), input.dtype)

    @tf.custom_gradient
    def log_sum(x):
        value = _log(tf.reduce_sum(tf.exp(x - largest), dims, keepdims=True)) + largest
        return value, lambda cotangent: cotangent * tf.math.conj(tf.exp(x - value))

    value = log_sum(input)
    return value if keepdim else tf.squeeze(value, dims)


def _log(input):
    """The principal logarithm: XLA takes ``log(exp(z))`` for ``z``, whose imaginary part may be any."""
    return (
        tf.complex(tf.math.log(tf.abs(input)), tf.math.angle(input)) if input.dtype.is_complex else tf.math.log(input)
    )


def _normalized(function):
    """``function`` of the last of two dims, along any dim."""

    def native(input, dim, dtype):
        input = _converted(input, dtype)
        if not input.shape.rank:
            return tf.reshape(function(logits=tf.reshape(input, (1, 1))), ())
        order = _last(input, dim)
        return _moved(function(logits=_moved(input, order)), order)

    return native


natives(softmax=_normalized(raw.Softmax), log_softmax=_normalized(raw.LogSoftmax))
