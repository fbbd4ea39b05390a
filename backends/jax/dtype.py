"""Dtypes between the front end and JAX, and the scope in which 64-bit ones exist.

The process's ``jax_enable_x64`` flag belongs to the user. An op whose operands or result are 64-bit runs under
a scoped switch; programs that never ask for 64 bits never pay for the test (see ``autograd.implement``).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from unified.backends.protocol import DType, dtype_named

_NAMES = (
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64",
    "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
)  # fmt: skip
_TO_NATIVE = {dtype_named(name): np.dtype(getattr(jnp, name if name != "bool" else "bool_")) for name in _NAMES}
FROM_NATIVE = {native: dtype for dtype, native in _TO_NATIVE.items()}
WIDE = frozenset(native for dtype, native in _TO_NATIVE.items() if dtype.is_wide)

enable_x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64


class _Wide:
    """Whether this process has ever made a 64-bit tensor on JAX."""

    used = False


wide = _Wide()


def to_native(dtype: DType) -> np.dtype:
    return _TO_NATIVE[dtype]


def is_wide(value) -> bool:
    """Whether an argument of a native call is, or asks for, 64 bits."""
    if isinstance(value, jax.Array):
        return value.dtype in WIDE
    if isinstance(value, DType):
        return value.is_wide
    return isinstance(value, (list, tuple)) and any(is_wide(v) for v in value)
