"""Convolutions and their transposes on JAX, in PyTorch's layouts: NCHW activations, (out, in, ...) weights.

XLA on the CPU convolves channels last and kernels ``(..., in, out)``, and puts transposes around anything else that
it does not find again. So they are put here, where those of two layers cancel. A kernel costs much to transpose, so a
convolution of few places is one product of patches and the kernel as a matrix, whose gradient has the kernel's order.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from unified.backends.protocol import Natives

natives = Natives()

_LAYOUTS = {1: ("NCH", "OIH", "NCH"), 2: ("NCHW", "OIHW", "NCHW"), 3: ("NCDHW", "OIDHW", "NCDHW")}
_LAST = {1: ("NHC", "HIO", "NHC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}

_PATCHES = 2_500_000
"""Elements that the patches of a convolution may have: 10 MB, beyond which copying them costs more than it saves."""

_TAPS = 32
"""Elements that a kernel may have a channel for its patches to be cut out one by one."""


def _each(value, spatial):
    return (value,) * spatial if isinstance(value, int) else tuple(value) * (spatial if len(value) == 1 else 1)


def _pads(padding, kernel, dilation):
    if padding == "valid":
        return [(0, 0)] * len(kernel)
    if padding == "same":
        totals = [step * (size - 1) for step, size in zip(dilation, kernel, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(pad, pad) for pad in _each(padding, len(kernel))]


def _convolved(input, weight, bias, **options):
    """``input`` may lack its batch dimension, ``bias`` may be None."""
    spatial = weight.ndim - 2
    batch = input if input.ndim == weight.ndim else input[None]
    if jax.default_backend() == "cpu":
        out = jnp.moveaxis(_channels_last(jnp.moveaxis(batch, 1, -1), weight, **options), -1, 1)
    else:
        out = jax.lax.conv_general_dilated(batch, weight, dimension_numbers=_LAYOUTS[spatial], **options)
    if bias is not None:
        out = out + bias.reshape(-1, *[1] * spatial)
    return out if input.ndim == weight.ndim else out[0]


def _channels_last(batch, weight, **options):
    """``batch`` and the result are channels last, ``weight`` is not."""
    spatial = weight.ndim - 2
    if _by_patches(batch, weight, **options):
        return _product(batch, weight, **options)
    kernel = weight.transpose(*range(2, weight.ndim), 1, 0)
    return jax.lax.conv_general_dilated(batch, kernel, dimension_numbers=_LAST[spatial], **options)


def _places(batch, weight, window_strides, padding, rhs_dilation):
    """How many places the kernel is applied at, by dimension."""
    return [
        (length + sum(pads) - step * (size - 1) - 1) // stride + 1
        for length, size, stride, pads, step in zip(
            batch.shape[1:-1], weight.shape[2:], window_strides, padding, rhs_dilation, strict=True
        )
    ]


def _by_patches(batch, weight, feature_group_count, lhs_dilation=None, **options):
    taps = math.prod(weight.shape[2:])
    if batch.dtype not in (jnp.float32, jnp.float64) or feature_group_count > 1 or lhs_dilation or taps > _TAPS:
        return False
    if batch.dtype != weight.dtype or batch.shape[-1] != weight.shape[1]:
        return False
    places = _places(batch, weight, **options)
    return 0 < math.prod(places) * batch.shape[0] * batch.shape[-1] * taps <= _PATCHES and min(places) > 0


def _product(batch, weight, window_strides, padding, rhs_dilation, feature_group_count):
    """The convolution as a product of a row of patches a place and a row of kernel an output channel."""
    outputs, channels, *kernel = weight.shape
    places = _places(batch, weight, window_strides, padding, rhs_dilation)
    padded = jax.lax.pad(batch, jnp.zeros((), batch.dtype), [(0, 0, 0), *[(*pads, 0) for pads in padding], (0, 0, 0)])

    def tap(index):
        first = [place * step for place, step in zip(index, rhs_dilation, strict=True)]
        last = [
            begin + (count - 1) * stride + 1
            for begin, count, stride in zip(first, places, window_strides, strict=True)
        ]
        return jax.lax.slice(padded, (0, *first, 0), (len(batch), *last, channels), (1, *window_strides, 1))

    patches = jnp.concatenate([tap(index) for index in np.ndindex(*kernel)], -1)
    rows = patches.reshape(-1, patches.shape[-1])
    columns = weight.reshape(outputs, channels, -1).swapaxes(1, 2).reshape(outputs, -1)
    out = jax.lax.dot_general(rows, columns, (((1,), (1,)), ((), ())))
    return out.reshape(len(batch), *places, outputs)


def _convolution(spatial):
    def native(input, weight, bias, stride, padding, dilation, groups):
        steps = _each(dilation, spatial)
        return _convolved(
            input,
            weight,
            bias,
            window_strides=_each(stride, spatial),
            padding=_pads(padding, weight.shape[2:], steps),
            rhs_dilation=steps,
            feature_group_count=groups,
        )

    return native


natives(conv1d=_convolution(1), conv2d=_convolution(2), conv3d=_convolution(3))


def _transposed(spatial):
    """A convolution by the mirrored kernel over the input with zeros between its elements."""

    def native(input, weight, bias, stride, padding, output_padding, groups, dilation):
        steps = _each(dilation, spatial)
        channels, outputs, *kernel = weight.shape
        mirrored = jnp.flip(weight, range(2, weight.ndim)).reshape(groups, channels // groups, outputs, *kernel)
        reaches = [step * (size - 1) for step, size in zip(steps, kernel, strict=True)]
        pads = _each(padding, spatial)
        extras = _each(output_padding, spatial)
        return _convolved(
            input,
            mirrored.swapaxes(1, 2).reshape(groups * outputs, channels // groups, *kernel),
            bias,
            window_strides=(1,) * spatial,
            padding=[(reach - p, reach - p + extra) for reach, p, extra in zip(reaches, pads, extras, strict=True)],
            lhs_dilation=_each(stride, spatial),
            rhs_dilation=steps,
            feature_group_count=groups,
        )

    return native


natives(conv_transpose1d=_transposed(1), conv_transpose2d=_transposed(2), conv_transpose3d=_transposed(3))
