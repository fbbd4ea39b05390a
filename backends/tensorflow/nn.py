"""nn ops on TensorFlow."""

from __future__ import annotations

import tensorflow as tf

from unified.backends.protocol import Natives
from unified.backends.tensorflow import layout

natives = Natives()
raw = tf.raw_ops


@natives
def linear(input, weight, bias):
    rank = input.shape.rank
    if weight.shape.rank == 1:
        out = tf.linalg.matvec(input, weight)
        return out if bias is None else raw.AddV2(x=out, y=bias)
    rows = input if rank == 2 else tf.reshape(input, (-1, input.shape[-1]))
    out = raw.MatMul(a=rows, b=weight, transpose_b=True)
    if bias is not None:
        out = raw.AddV2(x=out, y=bias)
    return out if rank == 2 else tf.reshape(out, (*input.shape[:-1], weight.shape[0]))


@natives
def embedding(input, weight, padding_idx):
    if weight.shape.rank != 2 or not input.dtype.is_integer:
        raise ValueError("weight must be a matrix, input integers")
    out = raw.GatherV2(params=weight, indices=input, axis=0)
    if padding_idx is None:
        return out
    if not -weight.shape[0] <= padding_idx < weight.shape[0]:
        raise ValueError("padding_idx lies outside of weight")
    padded = tf.equal(input, tf.constant(padding_idx % weight.shape[0], input.dtype))
    return tf.where(padded[..., None], tf.stop_gradient(out), out)


@natives.having("program")
def segment_argmax(input, segments, count):
    length = input.shape[0]
    largest = tf.gather(tf.math.unsorted_segment_max(input, segments, count + 1), segments)
    places = tf.where(input == largest, tf.range(length)[:, None], length)
    return tf.minimum(tf.math.unsorted_segment_min(places, segments, count + 1)[:count], length)


@natives
def one_hot(tensor, num_classes):
    if not tensor.dtype.is_integer:
        raise ValueError("classes must be integers")
    return tf.one_hot(tensor, num_classes, dtype=tensor.dtype)


@natives
def causal_mask(query, key):
    rows, columns = tf.range(query.shape[-2])[:, None], tf.range(key.shape[-2])[None, :]
    return columns <= rows


@natives.having("program")
def batch_norm_train(input, running_mean, running_var, weight, bias, momentum, eps):
    """The composite, channels last as the convolution before it; half precision in float32, as PyTorch's kernels."""
    if input.dtype.size < 4:
        given = (input, running_mean, running_var, weight, bias)
        wide = [None if each is None else tf.cast(each, tf.float32) for each in given]
        kinds = [each if each is None else each.dtype for each in (input, running_mean, running_var, input, input)]
        found = batch_norm_train(*wide, momentum, eps)
        return tuple(r if r is None else tf.cast(r, kind) for r, kind in zip(found, kinds, strict=True))
    if input.shape.rank < 3:
        return _batch_norm(input, running_mean, running_var, weight, bias, momentum, eps)
    out, *rest = _batch_norm(layout.last(input), running_mean, running_var, weight, bias, momentum, eps)
    return layout.first(out), *rest


def _batch_norm(input, running_mean, running_var, weight, bias, momentum, eps):
    count = input.shape.num_elements() // input.shape[-1]
    mean = tf.reduce_mean(input, list(range(input.shape.rank - 1)))
    centred = input - mean
    var = _mean_square(centred)
    inverse = tf.math.rsqrt(var + eps)
    out = _scaled(centred, inverse if weight is None else inverse * weight)
    out = out if bias is None else out + bias
    unbiased = var * (count / max(count - 1, 1))
    return (
        out,
        None if running_mean is None else running_mean + momentum * (mean - running_mean),
        None if running_var is None else running_var + momentum * (unbiased - running_var),
        mean,
        inverse,
    )


@tf.custom_gradient
def _mean_square(x):
    """Over all dimensions but the last."""
    count = x.shape.num_elements() // max(x.shape[-1], 1)
    return _reduced(tf.reduce_mean, x, x), lambda slope: slope * (2 / max(count, 1)) * x


@tf.custom_gradient
def _scaled(x, scale):
    """``x * scale``, for its derivative by ``scale``."""
    return x * scale, lambda slope: (_scaled(slope, scale), _sum_of_products(slope, x))


@tf.custom_gradient
def _sum_of_products(x, y):
    """Over all dimensions but the last."""
    return _reduced(tf.reduce_sum, x, y), lambda slope: (slope * y, slope * x)


def _reduced(reduce, x, y):
    """The mean or sum of ``x * y``, over all dimensions but the last.

    XLA on the CPU has a kernel for sums that is five times as fast as its loop, but never gives it the sum of a
    product. So the products of both halves of a batch are added first.
    """
    over = list(range(x.shape.rank - 1))
    if x.dtype != tf.float32 or x.shape[0] % 2:
        return reduce(x * y, over)
    (a, b), (c, d) = tf.split(x, 2), tf.split(y, 2)
    found = reduce(a * c + b * d, over)
    return found / 2 if reduce is tf.reduce_mean else found
