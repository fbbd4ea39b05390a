"""What dtype arithmetic gives, and what floating data has where none is given."""

from __future__ import annotations

from unified import _dtype
from unified._default import CHOICES, default_dtype, replace
from unified._dispatch import follow_default, tracing
from unified._dtype import DType, Number
from unified._tensor import Tensor
from unified.errors import ArgumentError, CompileError, DTypeError

__all__ = ["get_default_dtype", "result_type", "set_default_dtype"]


def result_type(*operands: Tensor | Number) -> DType:
    """The dtype that arithmetic on ``operands`` gives. Example: ``result_type(int32_vector, 0.5)`` is float32."""
    if not operands:
        raise ArgumentError("result_type: needs at least one operand")
    described = [(v.dtype, v.ndim) if isinstance(v, Tensor) else v for v in operands]
    return _dtype.result_type(*described, floating=default_dtype())


def get_default_dtype() -> DType:
    """The dtype of floating data when none is given; see :func:`set_default_dtype`."""
    return default_dtype()


def set_default_dtype(dtype: DType) -> None:
    """Makes ``dtype`` that of floating data when none is given, in the whole process; it is float32 at first.

    New Tensors of Python floats have it, ``un.zeros`` and the like, draws, parameters, and what ops make of integers
    (``un.arange(3).sin()``, ``integers * 0.5``). Complex ones are complex128 where it is float64, else complex64.
    Numpy's float64 is kept where it is float64, else it becomes float32. PyTorch's own default stays what it is.

    Args:
        dtype: float32, float64, float16 or bfloat16.

    Raises:
        DTypeError: it is none of these.
        CompileError: a function is being compiled, which would change it while tracing alone.

    Example: ``un.set_default_dtype(un.float64); un.tensor(0.1).dtype`` is float64.
    """
    if not isinstance(dtype, DType) or dtype not in CHOICES:
        given = dtype.name if isinstance(dtype, DType) else repr(dtype)
        names = ", ".join(f"un.{choice.name}" for choice in CHOICES)
        raise DTypeError(f"set_default_dtype: takes one of {names}, not {given}")
    if tracing() is not None:
        raise CompileError(
            "set_default_dtype inside un.compile would change it once, while the function is traced, and at no call; "
            "call it outside, where compiled functions notice it, or pass dtype= inside"
        )
    replace(dtype)
    follow_default()
