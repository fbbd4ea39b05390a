"""Dtypes between the front end and PyTorch."""

from __future__ import annotations

import torch

from unified.backends.protocol import DType, dtype_named

_NAMES = (
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64",
    "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
)  # fmt: skip
_TO_NATIVE = {dtype_named(name): getattr(torch, name) for name in _NAMES}
FROM_NATIVE = {native: dtype for dtype, native in _TO_NATIVE.items()}


def to_native(dtype: DType) -> torch.dtype:
    return _TO_NATIVE[dtype]
