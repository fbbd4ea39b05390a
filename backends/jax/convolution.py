"""Convolutions and their transposes on JAX, in PyTorch's layouts: NCHW activations, (out, in, ...) weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unified.backends.protocol import Natives

natives = Natives()

_LAYOUTS = {1: ("NCH", "OIH", "NCH"), 2: ("NCHW", "OIHW", "NCHW"), 3: ("NCDHW", "OIDHW", "NCDHW")}


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
    out = jax.lax.conv_general_dilated(batch, weight, dimension_numbers=_LAYOUTS[spatial], **options)
    if bias is not None:
        out = out + bias.reshape(-1, *[1] * spatial)
    return out if input.ndim == weight.ndim else out[0]


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
