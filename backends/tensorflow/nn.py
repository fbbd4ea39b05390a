"""nn ops on TensorFlow. Its CPU kernels know channels-last only, so convolutions transpose on the way in and out."""

from __future__ import annotations

import tensorflow as tf

from unified.backends.protocol import Natives

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


def _each(value, spatial):
    return (value,) * spatial if isinstance(value, int) else tuple(value) * (spatial if len(value) == 1 else 1)


def _pads(padding, kernel, stride, dilation):
    if padding == "valid":
        return [(0, 0)] * len(kernel)
    if padding == "same":
        if max(stride) > 1:
            raise ValueError("padding='same' needs stride 1")
        totals = [step * (size - 1) for step, size in zip(dilation, kernel, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(pad, pad) for pad in _each(padding, len(kernel))]


@natives.having("program")
def conv2d(input, weight, bias, stride, padding, dilation, groups):
    batch = input if input.shape.rank == 4 else input[None]
    if batch.shape[1] != weight.shape[1] * groups:  # the kernel would take it for a grouped convolution
        raise ValueError("channels do not fit")
    steps = _each(dilation, 2)
    pads = _pads(padding, weight.shape[2:], _each(stride, 2), steps)
    out = raw.Conv2D(
        input=tf.transpose(batch, (0, 2, 3, 1)),
        filter=tf.transpose(weight, (2, 3, 1, 0)),
        strides=[1, *_each(stride, 2), 1],
        padding="EXPLICIT" if any(map(any, pads)) else "VALID",
        explicit_paddings=[0, 0, *pads[0], *pads[1], 0, 0] if any(map(any, pads)) else [],
        dilations=[1, *steps, 1],
    )
    if bias is not None:
        out = raw.BiasAdd(value=out, bias=bias)
    out = tf.transpose(out, (0, 3, 1, 2))
    return out if input.shape.rank == 4 else out[0]


@natives.having("program")
def conv1d(input, weight, bias, stride, padding, dilation, groups):
    spread = [(0, 0), *_pads(padding, weight.shape[2:], _each(stride, 1), _each(dilation, 1))]
    padded = tf.pad(input[..., None, :], [(0, 0)] * (input.shape.rank - 1) + spread)
    out = conv2d(padded, weight[:, :, None], bias, (1, *_each(stride, 1)), 0, (1, *_each(dilation, 1)), groups)
    return tf.squeeze(out, -2)


@natives.having("program")
def conv3d(input, weight, bias, stride, padding, dilation, groups):
    batch = input if input.shape.rank == 5 else input[None]
    if batch.shape[1] != weight.shape[1] * groups:
        raise ValueError("channels do not fit")
    steps = _each(dilation, 3)
    padded = tf.pad(batch, [(0, 0), (0, 0), *_pads(padding, weight.shape[2:], _each(stride, 3), steps)])
    out = raw.Conv3D(
        input=tf.transpose(padded, (0, 2, 3, 4, 1)),
        filter=tf.transpose(weight, (2, 3, 4, 1, 0)),
        strides=[1, *_each(stride, 3), 1],
        padding="VALID",
        dilations=[1, *steps, 1],
    )
    if bias is not None:
        out = out + bias
    out = tf.transpose(out, (0, 4, 1, 2, 3))
    return out if input.shape.rank == 5 else out[0]


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
