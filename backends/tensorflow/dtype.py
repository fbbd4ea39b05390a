"""Dtypes between the front end and TensorFlow, and promotion, which TensorFlow leaves to its user."""

from __future__ import annotations

import functools
import math

import tensorflow as tf

from unified.backends.protocol import DType, dtype_named, result_type

_NAMES = (
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64",
    "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
)  # fmt: skip
_TO_NATIVE = {dtype_named(name): getattr(tf, name) for name in _NAMES}
FROM_NATIVE = {native: dtype for dtype, native in _TO_NATIVE.items()}


def to_native(dtype: DType) -> tf.DType:
    return _TO_NATIVE[dtype]


def operands(*values):
    """Operands as tensors of ``torch.result_type``'s dtype."""
    keys = []
    for value in values:
        if not isinstance(value, tf.Tensor):
            keys.append(value.__class__)
        elif hasattr(value, "_unified_number"):
            keys.append(value._unified_number)
        else:
            keys.append((value.dtype, value.shape.rank > 0))
    dtype, casts = _common(*keys)
    if casts is None:
        return values
    return [v if same else (tf.cast(v, dtype) if isinstance(v, tf.Tensor) else _constant(v, dtype))
            for v, same in zip(values, casts, strict=True)]  # fmt: skip


@functools.lru_cache(4096)
def _common(*keys):
    """The result dtype of operands told by (dtype, has dimensions) or Python type, and which have it already."""
    described = [key() if isinstance(key, type) else (FROM_NATIVE[key[0]], int(key[1])) for key in keys]
    dtype = _TO_NATIVE[result_type(*described)]
    casts = [not isinstance(key, type) and key[0] is dtype for key in keys]
    return dtype, None if all(casts) else casts


def _constant(value, dtype):
    if not tf.executing_eagerly() or isinstance(value, complex):
        return _made(value, dtype)
    return _cached(value, dtype, math.copysign(1.0, value))


@functools.lru_cache(1024)
def _cached(value, dtype, sign):
    """Making an eager constant costs more than the kernel that takes it. ``sign`` tells 0.0 from -0.0."""
    return _made(value, dtype)


def _made(value, dtype):
    if isinstance(value, bool) and dtype != tf.bool:
        value = int(value)
    if dtype.is_integer and not dtype.min <= value <= dtype.max:  # wraps around, as in PyTorch
        return tf.cast(tf.constant(value, tf.int64), dtype)
    return scalar(value, dtype)


def scalar(value, dtype):
    """A 0-d tensor of a Python number. TensorFlow keeps its eager ones by value, and takes -0.0 for 0.0."""
    negative_zero = value == 0 and isinstance(value, float) and math.copysign(1.0, value) < 0
    return tf.negative(tf.constant(0.0, dtype)) if negative_zero else tf.constant(value, dtype)


def mark_number(traced, number):
    """``traced`` as the stand-in of a Python number inside a program, where promotion goes on treating it as one."""
    traced._unified_number = type(number)
    return traced


def floating(input):
    """Integers and bools as the default float dtype, which is what PyTorch's float functions make of them."""
    return input if input.dtype.is_floating or input.dtype.is_complex else tf.cast(input, tf.float32)
