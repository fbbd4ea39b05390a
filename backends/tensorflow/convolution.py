"""Convolutions and their transposes on TensorFlow.

Its CPU kernels know channels-last only, so everything is transposed on the way in and out; one dimension is two with
one row. The kernels take floats alone: complex operands are convolved in parts, integers as float64. A kernel costs
much to transpose, so a convolution of few places is one product of patches and the kernel as a matrix.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from unified.backends.protocol import Natives

natives = Natives()
raw = tf.raw_ops

_CHANNELS_LAST = {4: (0, 2, 3, 1), 5: (0, 2, 3, 4, 1)}
_CHANNELS_FIRST = {4: (0, 3, 1, 2), 5: (0, 4, 1, 2, 3)}
_PATCHES = 2_500_000
"""Elements that the patches of a convolution may have: 10 MB, beyond which copying them costs more than it saves."""

_TAPS = 32
"""Elements that a kernel may have a channel for its patches to be cut out one by one."""

_KERNEL_FIRST = {4: (2, 3, 1, 0), 5: (2, 3, 4, 1, 0)}


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


def _in_parts(function, input, weight):
    """``function``, linear in both operands, of dtypes that its kernel lacks."""
    if input.dtype.is_complex:
        real, imaginary = tf.math.real(weight), tf.math.imag(weight)
        rows = tf.concat([tf.math.real(input), tf.math.imag(input)], 0)
        (a, b), (c, d) = tf.split(function(rows, real), 2), tf.split(function(rows, imaginary), 2)
        return tf.complex(a - d, b + c)
    if input.dtype.is_integer:
        return tf.cast(function(tf.cast(input, tf.float64), tf.cast(weight, tf.float64)), input.dtype)
    return function(input, weight)


def _layered(function, input, weight, bias, channels):
    """``function`` of a batch and a kernel channels-last; ``input`` may lack its batch, ``bias`` be None."""
    rank = weight.shape.rank
    batch = input if input.shape.rank == rank else input[None]
    if batch.shape.rank != rank or batch.shape[1] != channels:
        raise ValueError("dimensions or channels do not fit")  # a kernel would take it for a grouped convolution

    def native(batch, weight):
        out = function(tf.transpose(batch, _CHANNELS_LAST[rank]), tf.transpose(weight, _KERNEL_FIRST[rank]))
        return tf.transpose(out, _CHANNELS_FIRST[rank])

    out = _in_parts(native, batch, weight)
    if bias is not None:
        out = out + tf.reshape(bias, (-1, *[1] * (rank - 2)))
    return out if input.shape.rank == rank else out[0]


def _places(rows, filters, strides, steps):
    """How many places the kernel is applied at, by dimension."""
    return [
        (length - step * (size - 1) - 1) // stride + 1
        for length, size, stride, step in zip(rows.shape[1:-1], filters.shape, strides, steps, strict=False)
    ]


def _by_patches(rows, filters, strides, steps):
    places = _places(rows, filters, strides, steps)
    taps = math.prod(filters.shape[:-2])
    elements = math.prod(places) * rows.shape[0] * rows.shape[-1] * taps
    return rows.dtype in (tf.float32, tf.float64) and min(places) > 0 and taps <= _TAPS and 0 < elements <= _PATCHES


def _product(rows, filters, strides, steps):
    """The convolution as a product of a row of patches a place and a row of kernel an output channel.

    The first transpose undoes the one that made ``filters``. The kernel has a channel's taps side by side, the
    patches a tap's channels; the smaller of the two is transposed.
    """
    places, rank = _places(rows, filters, strides, steps), rows.shape.rank
    taps = math.prod(filters.shape[:-2])

    def tap(index):
        first = [place * step for place, step in zip(index, steps, strict=True)]
        last = [at + (count - 1) * stride + 1 for at, count, stride in zip(first, places, strides, strict=True)]
        ends = [rows.shape[0], *last, rows.shape[-1]]
        return raw.StridedSlice(input=rows, begin=[0, *first, 0], end=ends, strides=[1, *strides, 1])

    channels, outputs = filters.shape[-2:]
    kernel = tf.transpose(filters, (rank - 1, rank - 2, *range(rank - 2)))
    patches = tf.concat([tap(index) for index in np.ndindex(*filters.shape[:-2])], -1)
    patches = tf.reshape(patches, (-1, taps, channels))
    if patches.shape[0] < outputs:
        patches, columns = tf.transpose(patches, (0, 2, 1)), kernel
    else:
        columns = tf.transpose(tf.reshape(kernel, (outputs, channels, taps)), (0, 2, 1))
    patches, columns = tf.reshape(patches, (-1, taps * channels)), tf.reshape(columns, (outputs, -1))
    out = tf.matmul(patches, columns, transpose_b=True)
    return tf.reshape(out, (rows.shape[0], *places, outputs))


def _convolution(spatial):
    kernel = raw.Conv2D if spatial == 2 else raw.Conv3D

    def native(input, weight, bias, stride, padding, dilation, groups):
        strides, steps = _each(stride, spatial), _each(dilation, spatial)
        pads = _pads(padding, weight.shape[2:], strides, steps)

        def convolve(rows, filters):
            if any(map(any, pads)):
                rows = tf.pad(rows, [(0, 0), *pads, (0, 0)])
            if groups == 1 and _by_patches(rows, filters, strides, steps):
                return _product(rows, filters, strides, steps)
            return kernel(
                input=rows, filter=filters, strides=[1, *strides, 1], padding="VALID", dilations=[1, *steps, 1]
            )

        return _layered(convolve, input, weight, bias, weight.shape[1] * groups)

    return native


def _transposed(spatial):
    """The kernel of a convolution's gradient gives the whole result, of which ``padding`` is cut off."""
    kernel = raw.Conv2DBackpropInput if spatial == 2 else raw.Conv3DBackpropInputV2

    def native(input, weight, bias, stride, padding, output_padding, groups, dilation):
        strides, steps = _each(stride, spatial), _each(dilation, spatial)
        pads, extras = _each(padding, spatial), _each(output_padding, spatial)
        outputs = weight.shape[1] * groups

        def convolve(rows, filters):
            whole = [
                (length - 1) * stride + step * (size - 1) + 1
                for length, stride, step, size in zip(rows.shape[1:-1], strides, steps, filters.shape, strict=False)
            ]
            out = kernel(
                input_sizes=[rows.shape[0], *whole, outputs],
                filter=filters,
                out_backprop=rows,
                strides=[1, *strides, 1],
                padding="VALID",
                dilations=[1, *steps, 1],
            )
            begin = [0, *pads, 0]
            kept = [min(n, n - pad + extra) - pad for n, pad, extra in zip(whole, pads, extras, strict=True)]
            grown = [max(extra - pad, 0) for pad, extra in zip(pads, extras, strict=True)]
            out = tf.slice(out, begin, [-1, *kept, -1])
            return tf.pad(out, [(0, 0), *[(0, after) for after in grown], (0, 0)])

        return _layered(convolve, input, weight, bias, weight.shape[0])

    return native


_conv2d, _conv_transpose2d = _convolution(2), _transposed(2)


def _row(value, filler):
    """A 1-d option as the 2-d one of an image of one row."""
    return value if isinstance(value, str) else (filler, *_each(value, 1))


def _conv1d(input, weight, bias, stride, padding, dilation, groups):
    options = (_row(stride, 1), _row(padding, 0), _row(dilation, 1), groups)
    return tf.squeeze(_conv2d(input[..., None, :], weight[:, :, None], bias, *options), -2)


def _conv_transpose1d(input, weight, bias, stride, padding, output_padding, groups, dilation):
    options = (_row(stride, 1), _row(padding, 0), _row(output_padding, 0), groups, _row(dilation, 1))
    return tf.squeeze(_conv_transpose2d(input[..., None, :], weight[:, :, None], bias, *options), -2)


def _program(name, function):
    function.__name__ = name
    natives.having("program")(function)


_program("conv1d", _conv1d)
_program("conv2d", _conv2d)
_program("conv3d", _convolution(3))
_program("conv_transpose1d", _conv_transpose1d)
_program("conv_transpose2d", _conv_transpose2d)
_program("conv_transpose3d", _transposed(3))
