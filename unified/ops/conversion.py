"""Kinds of dtypes, and the conversions that PyTorch spells as methods: ``x.float()``, ``x.long()``."""

from __future__ import annotations

from collections.abc import Callable

from unified import _dtype
from unified._dispatch import front
from unified._dtype import DType
from unified._tensor import Tensor

__all__ = ["is_complex", "is_floating_point"]


def is_complex(input: Tensor) -> bool:
    """Whether the dtype is a complex one."""
    return input.is_complex()


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a floating one."""
    return input.is_floating_point()


def _conversion(name: str, dtype: DType) -> Callable[[Tensor], Tensor]:
    def convert(input: Tensor) -> Tensor:
        return input.to(dtype)

    convert.__name__ = name
    convert.__doc__ = f"With elements of {dtype.name}; itself where they are that already."
    return convert


for _name, _target in {
    "bool": _dtype.bool_, "byte": _dtype.uint8, "char": _dtype.int8, "short": _dtype.int16, "int": _dtype.int32,
    "long": _dtype.int64, "half": _dtype.float16, "bfloat16": _dtype.bfloat16, "float": _dtype.float32,
    "double": _dtype.float64, "cfloat": _dtype.complex64, "cdouble": _dtype.complex128,
}.items():  # fmt: skip
    front(_name)(_conversion(_name, _target))
