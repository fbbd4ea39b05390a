"""Dtypes between the front end and TensorFlow, and promotion, which TensorFlow leaves to its user."""

from __future__ import annotations

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
    first = values[0]
    if tf.is_tensor(first) and all(tf.is_tensor(v) and v.dtype is first.dtype for v in values):
        return values
    dtype = _TO_NATIVE[result_type(*[_described(v) for v in values])]
    return tuple([tf.cast(v, dtype) if tf.is_tensor(v) else _constant(v, dtype) for v in values])


def _constant(value, dtype):
    if dtype.is_integer and not dtype.min <= value <= dtype.max:  # wraps around, as in PyTorch
        return tf.cast(tf.constant(value, tf.int64), dtype)
    return tf.constant(value, dtype)


def _described(value):
    if not tf.is_tensor(value):
        return value
    number = getattr(value, "_unified_number", None)
    return (FROM_NATIVE[value.dtype], value.shape.rank) if number is None else number


def mark_number(traced, number):
    """``traced`` as the stand-in of a Python number inside a program, where promotion goes on treating it as one."""
    traced._unified_number = type(number)()
    return traced


def floating(input):
    """Integers and bools as the default float dtype, which is what PyTorch's float functions make of them."""
    return input if input.dtype.is_floating or input.dtype.is_complex else tf.cast(input, tf.float32)
