"""Elementwise ops on TensorFlow. ``tf.raw_ops`` skip the argument handling that costs more than the kernels."""

from __future__ import annotations

import tensorflow as tf

from unified.backends.protocol import Natives, errors
from unified.backends.tensorflow.dtype import floating, operands, to_native

natives = Natives()
raw = tf.raw_ops


def _binary(function):
    def native(input, other):
        input, other = operands(input, other)
        return function(x=input, y=other)

    return native


def _unary(function):
    def native(input):
        return function(x=floating(input))

    return native


def _flat(function):
    """A step function: the value of ``function``, the gradient 0."""

    def native(input):
        if input.dtype.is_integer or input.dtype == tf.bool:
            return input
        return function(x=tf.stop_gradient(input)) + tf.zeros_like(input) * 0

    return native


natives(**{name: _unary(function) for name, function in {
    "exp": raw.Exp, "expm1": raw.Expm1, "log": raw.Log, "log1p": raw.Log1p, "sqrt": raw.Sqrt, "rsqrt": raw.Rsqrt,
    "sin": raw.Sin, "cos": raw.Cos, "tanh": raw.Tanh, "sigmoid": raw.Sigmoid, "erf": raw.Erf,
    "reciprocal": raw.Reciprocal,
}.items()})  # fmt: skip
natives(**{name: _binary(function) for name, function in {
    "mul": raw.Mul, "remainder": raw.FloorMod, "lt": raw.Less, "le": raw.LessEqual,
    "gt": raw.Greater, "ge": raw.GreaterEqual, "floor_divide": raw.FloorDiv,
}.items()})  # fmt: skip
natives(**{name: _flat(function) for name, function in {
    "floor": raw.Floor, "ceil": raw.Ceil, "round": raw.Round,
}.items()})  # fmt: skip


@natives
def add(input, other, alpha):
    input, other = operands(input, other)
    if input.dtype == tf.bool:
        return tf.logical_or(input, other)
    return raw.AddV2(x=input, y=other if alpha == 1 else other * tf.constant(alpha, other.dtype))


@natives
def sub(input, other, alpha):
    input, other = operands(input, other)
    if input.dtype == tf.bool:
        raise errors.DTypeError("bools cannot be subtracted; use ^ or logical_not")
    return raw.Sub(x=input, y=other if alpha == 1 else other * tf.constant(alpha, other.dtype))


@natives
def relu(input):
    return raw.Relu(features=input)
