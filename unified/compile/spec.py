"""A Tensor without elements, as an argument of ``lower``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from unified._default import default_dtype
from unified._device import device as Device
from unified._dtype import DType
from unified.errors import ArgumentError, OperandError


class TensorSpec:
    """A Tensor's shape, dtype and device without its elements, for :meth:`CompiledFunction.lower`.

    Args:
        shape: lengths of all dimensions.
        dtype: the default one if left out.
        requires_grad: whether the Tensor that it stands for does.

    Example: ``step.lower(un.TensorSpec((32, 784)), un.TensorSpec((32,), un.int32))``
    """

    __slots__ = ("device", "dtype", "requires_grad", "shape")

    def __init__(
        self,
        shape: Sequence[int],
        dtype: DType | None = None,
        device: Device | str | None = None,
        requires_grad: bool = False,
    ) -> None:
        dtype = default_dtype() if dtype is None else dtype
        if not isinstance(dtype, DType):
            raise OperandError(f"TensorSpec: dtype must be a un dtype, not {dtype!r}")
        if any(not isinstance(length, int) or isinstance(length, bool) or length < 0 for length in shape):
            raise ArgumentError(f"TensorSpec: a shape is a sequence of lengths, not {tuple(shape)}")
        self.shape = tuple(shape)
        self.dtype = dtype
        self.device = None if device is None else Device(device)
        self.requires_grad = requires_grad

    def __repr__(self) -> str:
        return f"TensorSpec({self.shape}, {self.dtype.name})"

    @property
    def _native(self) -> NoReturn:
        raise OperandError("a TensorSpec has no elements; give it to lower(), and a Tensor to a call")
