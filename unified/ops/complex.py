"""Complex numbers: their parts, their conjugates, their making.

A gradient of a real loss by a complex number ``z = x + iy`` is ``dL/dx + i dL/dy``, as in PyTorch: the direction of
steepest ascent, the conjugate of what JAX returns.
"""

from __future__ import annotations

import math
from typing import Any

from unified._dispatch import composite, front, op
from unified._dtype import bool_
from unified._tensor import Tensor
from unified.errors import DTypeError, ShapeError
from unified.ops._checks import broadcastable, same_dtype
from unified.ops.comparison import signbit
from unified.ops.creation import copied, filled, ones_like
from unified.ops.elementwise import abs, absolute, atan2, cos, eq, isnan, lt, sign, sin, where
from unified.ops.shape import stack

__all__ = [
    "angle", "complex", "conj", "conj_physical", "imag", "isreal", "polar", "real", "resolve_conj",
    "resolve_neg", "sgn", "view_as_complex", "view_as_real",
]  # fmt: skip

_NOT_A_NUMBER = float("nan")


def _parts(real: Any, imag: Any) -> None:
    broadcastable(real, imag)
    if not real.dtype.is_floating_point or not imag.dtype.is_floating_point:
        raise DTypeError(f"both operands must be floating point, not {real.dtype.name} and {imag.dtype.name}")
    same_dtype(first=real, second=imag)


def _has_an_imaginary_part(input: Any) -> None:
    if not input.dtype.is_complex:
        raise DTypeError(f"a {input.dtype.name} tensor has no imaginary part; make one with un.complex(real, imag)")


def _pairs(input: Any) -> None:
    if not input.dtype.is_floating_point:
        raise DTypeError(f"input must be floating point, not {input.dtype.name}")
    if not input.shape or input.shape[-1] != 2:
        raise ShapeError(f"the last dimension must hold real and imaginary part, two elements: {tuple(input.shape)}")


# ---- parts -----------------------------------------------------------------------------------------------------


@op()
def real(input: Tensor) -> Tensor:
    """The real part; a real tensor is its own. ``x.real`` is the same, and can be assigned to."""


@op(check=_has_an_imaginary_part)
def imag(input: Tensor) -> Tensor:
    """The imaginary part of a complex tensor. ``x.imag`` is the same, and can be assigned to.

    Raises:
        DTypeError: the tensor is real.
    """


def _written(part: Tensor, value: Any) -> Tensor:
    return copied(part, value) if isinstance(value, Tensor) else filled(part, value)


def _set_real(input: Tensor, value: Any) -> None:
    part = _written(real(input), value)
    input._assign(complex(part, imag(input)) if input.is_complex() else part)


def _set_imag(input: Tensor, value: Any) -> None:
    input._assign(complex(real(input), _written(imag(input), value)))


for _name, _getter, _setter in (("real", real, _set_real), ("imag", imag, _set_imag)):
    setattr(Tensor, _name, property(_getter, _setter, doc=_getter.__doc__))


@composite(methods=("angle",))
def angle(input: Tensor) -> Tensor:
    """The angle in radians from the positive real axis, in ``[-pi, pi]``; a real number has 0 or pi.

    The gradient at 0, and of real numbers, is 0.
    """
    if not input.is_complex():
        return _angle_of_real(input)
    x, y = real(input), imag(input)
    zero = eq(input, 0)
    return atan2(where(zero, y * 0, y), where(zero, where(signbit(x), -1.0, 1.0), x))  # no gradient at 0


def _angle_of_real(input: Tensor) -> Tensor:
    angles = where(isnan(input), _NOT_A_NUMBER, where(lt(input, 0), math.pi, 0.0))
    return angles.to(input.dtype) if input.is_floating_point() else angles


@composite(methods=("sgn",), inplace=True)
def sgn(input: Tensor) -> Tensor:
    """``input / abs(input)``, the direction of a complex number, and 0 for 0; of a real one its sign.

    Example: ``sgn([3 + 4j]) -> [0.6 + 0.8j]``. The gradient at 0 is 0.
    """
    if not input.is_complex():
        return sign(input)
    zero = eq(input, 0)
    direction = where(zero, 1, input)
    return where(zero, 0, direction / abs(direction))


@composite(methods=("isreal",))
def isreal(input: Tensor) -> Tensor:
    """Where the imaginary part is 0; everywhere in a real tensor."""
    return eq(imag(input), 0) if input.is_complex() else ones_like(input, dtype=bool_)


# ---- conjugates ------------------------------------------------------------------------------------------------


@op(methods=("conj", "conj_physical", "conj_physical_"))
def conj(input: Tensor) -> Tensor:
    """The complex conjugate; a real tensor is its own."""


conj_physical = conj


@front("resolve_conj")
def resolve_conj(input: Tensor) -> Tensor:
    """``input`` itself: no tensor of this library is a conjugate by a mark alone, as PyTorch's may be."""
    return input


@front("resolve_neg")
def resolve_neg(input: Tensor) -> Tensor:
    """``input`` itself: no tensor of this library is negated by a mark alone, as PyTorch's may be."""
    return input


# ---- making ----------------------------------------------------------------------------------------------------


@op(check=_parts)
def complex(real: Tensor, imag: Tensor) -> Tensor:
    """``real + 1j * imag``, of two floating tensors of one dtype, broadcast.

    Raises:
        DTypeError: the parts are no floats, or not of one dtype.
    """


@composite(check=_parts)
def polar(abs: Tensor, angle: Tensor) -> Tensor:
    """The complex number of that absolute value and angle in radians. Example: ``polar([2.], [pi / 2]) -> [2j]``.

    The gradient by an absolute value of 0 is 0. That by a negative one is the true one, where PyTorch's has its sign
    changed.

    Raises:
        DTypeError: the operands are no floats, or not of one dtype.
    """
    radius = where(lt(abs, 0), -absolute(abs), absolute(abs))
    return complex(radius * cos(angle), radius * sin(angle))


@composite(check=_has_an_imaginary_part)
def view_as_real(input: Tensor) -> Tensor:
    """Real and imaginary part of ``(...)`` in a new last dimension, ``(..., 2)``. A copy, not a view.

    Raises:
        DTypeError: the tensor is real.
    """
    return stack([real(input), imag(input)], -1)


@composite(check=_pairs)
def view_as_complex(input: Tensor) -> Tensor:
    """Complex numbers ``(...)`` of real and imaginary parts ``(..., 2)``. A copy, not a view.

    Raises:
        ShapeError: the last dimension is not of length 2.
    """
    return complex(input[..., 0], input[..., 1])
