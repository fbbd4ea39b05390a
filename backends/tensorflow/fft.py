"""Discrete Fourier transforms on TensorFlow, whose kernels transform the last one to three dimensions, unscaled."""

from __future__ import annotations

import math

import tensorflow as tf

from unified.backends.protocol import Natives

natives = Natives()
raw = tf.raw_ops

_FORWARD = (raw.FFT, raw.FFT2D, raw.FFT3D)
_INVERSE = (raw.IFFT, raw.IFFT2D, raw.IFFT3D)  # divide by the length
_AT_ONCE = len(_FORWARD)
_COMPLEX = {tf.float64: tf.complex128, tf.complex128: tf.complex128}


def _complex(input):
    return tf.cast(input, _COMPLEX.get(input.dtype, tf.complex64))


def _real(input):
    return tf.cast(input, tf.float64 if input.dtype == tf.float64 else tf.float32)


def _resized(input, s, dim):
    """Cut, or filled up with zeros, to the lengths ``s``."""
    begin, size, pads = [0] * input.shape.rank, list(input.shape), [(0, 0)] * input.shape.rank
    for length, index in zip(s, dim, strict=True):
        pads[index] = (0, max(length - size[index], 0))
        size[index] = min(length, size[index])
    if size != list(input.shape):
        input = tf.slice(input, begin, size)
    return tf.pad(input, pads) if any(after for _, after in pads) else input


def _at_the_end(function, input, dim):
    """``function`` of ``input`` with the dimensions ``dim`` moved to the end, and its result moved back."""
    rank = input.shape.rank
    order = [index for index in range(rank) if index not in dim] + list(dim)
    if order == list(range(rank)):
        return function(input)
    back = [order.index(index) for index in range(rank)]
    return tf.transpose(function(tf.transpose(input, order)), back)


def _scaled(input, s, norm, inverse, divided):
    """The factor of ``norm`` for a transform whose kernel has divided by the product of the lengths, or not."""
    count = math.prod(s)
    wanted = {"ortho": 1 / math.sqrt(count), "backward": 1 / count if inverse else 1, "forward": 1}[norm]
    if norm == "forward" and not inverse:
        wanted = 1 / count
    factor = wanted * count if divided else wanted
    return input if factor == 1 else input * tf.cast(tf.constant(factor, tf.float64), input.dtype)


def _unscaled(input, dim, kernels):
    for end in range(len(dim), 0, -_AT_ONCE):
        part = dim[max(end - _AT_ONCE, 0) : end]
        kernel = kernels[len(part) - 1]
        input = _at_the_end(lambda x, kernel=kernel: kernel(input=x), input, part)
    return input


@natives.having("program")
def fft_c2c(input, s, dim, norm, inverse):
    input = _resized(_complex(input), s, dim)
    return _scaled(_unscaled(input, dim, _INVERSE if inverse else _FORWARD), s, norm, inverse, divided=inverse)


@natives.having("program")
def fft_r2c(input, s, dim, norm, inverse):
    input = _resized(_real(input), s, dim)
    halved = _at_the_end(lambda x: _halved(x, s[-1]), input, dim[-1:])
    spectrum = _scaled(_unscaled(halved, dim[:-1], _FORWARD), s, norm, inverse, divided=False)
    return tf.math.conj(spectrum) if inverse else spectrum


@natives.having("program")
def fft_c2r(input, s, dim, norm, inverse):
    input = _complex(input)
    input = input if inverse else tf.math.conj(input)
    input = _resized(input, (*s[:-1], s[-1] // 2 + 1), dim)
    input = _unscaled(input, dim[:-1], _INVERSE)
    signal = _at_the_end(lambda x: _doubled(x, s[-1]), input, dim[-1:])
    return _scaled(signal, s, norm, inverse, divided=True)


def _halved(signal, length):
    spectrum = _COMPLEX.get(signal.dtype, tf.complex64)
    return raw.RFFT(input=signal, fft_length=[length], Tcomplex=spectrum)


def _doubled(spectrum, length):
    signal = tf.float64 if spectrum.dtype == tf.complex128 else tf.float32
    return raw.IRFFT(input=spectrum, fft_length=[length], Treal=signal)
