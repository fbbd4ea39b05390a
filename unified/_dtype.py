"""Data types and PyTorch's promotion lattice, with no framework in sight."""

from __future__ import annotations

from typing import Any, Literal

import ml_dtypes
import numpy as np

Kind = Literal["b", "u", "i", "f", "c"]
Number = bool | int | float | complex

_BY_NAME: dict[str, DType] = {}


class DType:
    """One element type. Instances are unique per name, so ``is`` and hashing are by identity."""

    __slots__ = ("_numpy", "itemsize", "kind", "name")

    name: str
    kind: Kind
    itemsize: int

    def __init__(self, name: str, kind: Kind, numpy: Any) -> None:
        self.name = name
        self.kind = kind
        self._numpy: np.dtype[Any] = np.dtype(numpy)
        self.itemsize = self._numpy.itemsize
        _BY_NAME[name] = self

    @property
    def is_floating_point(self) -> bool:
        return self.kind == "f"

    @property
    def is_complex(self) -> bool:
        return self.kind == "c"

    @property
    def is_inexact(self) -> bool:
        """Floating or complex: what can carry a gradient."""
        return self.kind in "fc"

    @property
    def is_wide(self) -> bool:
        """Needs 64-bit lanes: int64, uint64, float64, complex128."""
        return self.name in _WIDE

    @property
    def numpy(self) -> np.dtype[Any]:
        """The numpy dtype (``ml_dtypes`` supplies bfloat16)."""
        return self._numpy

    def __repr__(self) -> str:
        return f"unified.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (dtype_named, (self.name,))


_WIDE = frozenset({"int64", "uint64", "float64", "complex128"})

bool_ = DType("bool", "b", np.bool_)
uint8 = DType("uint8", "u", np.uint8)
uint16 = DType("uint16", "u", np.uint16)
uint32 = DType("uint32", "u", np.uint32)
uint64 = DType("uint64", "u", np.uint64)
int8 = DType("int8", "i", np.int8)
int16 = DType("int16", "i", np.int16)
int32 = DType("int32", "i", np.int32)
int64 = DType("int64", "i", np.int64)
float16 = DType("float16", "f", np.float16)
bfloat16 = DType("bfloat16", "f", ml_dtypes.bfloat16)
float32 = DType("float32", "f", np.float32)
float64 = DType("float64", "f", np.float64)
complex64 = DType("complex64", "c", np.complex64)
complex128 = DType("complex128", "c", np.complex128)

_FROM_NUMPY = {dtype.numpy: dtype for dtype in _BY_NAME.values()}
_NARROW = {int64: int32, uint64: uint32, float64: float32, complex128: complex64}
_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}


def dtype_named(name: str) -> DType:
    """``dtype_named("float32") -> unified.float32``; raises ``KeyError`` for a name that is none."""
    return _BY_NAME[name]


def from_numpy_dtype(dtype: Any) -> DType:
    """The DType of a numpy dtype; raises ``TypeError`` for strings, objects and dates."""
    found = _FROM_NUMPY.get(np.dtype(dtype))
    if found is None:
        raise TypeError(f"numpy dtype {np.dtype(dtype)} has no unified counterpart; convert the array first")
    return found


def narrow(dtype: DType) -> DType:
    """The 32-bit dtype of the same kind: what data becomes when 64 bits were not asked for."""
    return _NARROW.get(dtype, dtype)


def wide_complex(floating: DType) -> DType:
    """The complex dtype beside a floating one: complex128 beside float64, else complex64."""
    return complex128 if floating is float64 else complex64


def scalar_dtype(value: Number, floating: DType = float32) -> DType:
    """The dtype that a Python number takes on its own, where floats take ``floating``."""
    if isinstance(value, bool):
        return bool_
    if isinstance(value, int):
        return int32
    return floating if isinstance(value, float) else wide_complex(floating)


def promote_types(first: DType, second: DType) -> DType:
    """The smallest dtype both convert to without losing kind; ``torch.promote_types``'s lattice."""
    if first is second:
        return first
    low, high = sorted((first, second), key=lambda d: (_CATEGORY[d.kind], d.itemsize))
    if _CATEGORY[low.kind] != _CATEGORY[high.kind]:
        if high.kind == "c" and low is float64:
            return complex128
        return high
    if low.kind != high.kind:  # signed and unsigned integers
        signed, unsigned = (low, high) if low.kind == "i" else (high, low)
        if signed.itemsize > unsigned.itemsize:
            return signed
        wider = {1: int16, 2: int32, 4: int64}.get(unsigned.itemsize)
        return wider if wider is not None else float32
    if low.itemsize == high.itemsize:  # float16 and bfloat16
        return float32
    return high


def can_cast(source: DType, target: DType) -> bool:
    """Whether PyTorch lets a result of ``source`` be written into a tensor of ``target``."""
    return _CATEGORY[source.kind] <= _CATEGORY[target.kind]


def result_type(*operands: tuple[DType, int] | Number, floating: DType = float32) -> DType:
    """``torch.result_type`` over tensors, as ``(dtype, ndim)``, and weak Python numbers; floats are ``floating``.

    Tensors with dimensions decide; 0-d tensors and then Python numbers count only where their kind is
    higher, as in https://docs.pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc.
    """
    tiers: list[DType | None] = [None, None, None]
    for operand in operands:
        if isinstance(operand, tuple):
            dtype, tier = operand[0], 0 if operand[1] else 1
        else:
            dtype, tier = scalar_dtype(operand, floating), 2
        held = tiers[tier]
        tiers[tier] = dtype if held is None else promote_types(held, dtype)
    result: DType | None = None
    for dtype_ in tiers:
        if dtype_ is None:
            continue
        if result is None:
            result = dtype_
        elif _CATEGORY[dtype_.kind] > _CATEGORY[result.kind]:
            floating_meets_complex = result.kind == "f" and dtype_.kind == "c"  # keeps the precision of the floating
            result = wide_complex(result) if floating_meets_complex else dtype_
    assert result is not None, "result_type needs at least one operand"
    return result
