"""More arithmetic of elements: integers, powers of two, angles, and the grain of floats."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import ml_dtypes

from unified._dispatch import composite, front, op
from unified._dtype import Number, complex128, float64
from unified._tensor import Tensor
from unified.errors import DTypeError, OperandError
from unified.ops._checks import broadcastable, floating, is_complex_valued, on_the_real_line
from unified.ops.complex import complex, imag, real
from unified.ops.elementwise import clone, eq, isnan, logaddexp, pow, sub, trunc, where

__all__ = [
    "acosh", "arccosh", "arcsinh", "arctanh", "asinh", "atanh", "bitwise_left_shift", "bitwise_right_shift",
    "copysign", "deg2rad", "exp2", "float_power", "frac", "frexp", "gcd", "hypot", "lcm", "ldexp", "log10",
    "logaddexp2", "nan_to_num", "nextafter", "positive", "rad2deg", "rsub",
]  # fmt: skip

Operand = Tensor | Number


class MantissaAndExponent(NamedTuple):
    """What :func:`frexp` returns."""

    mantissa: Tensor
    exponent: Tensor


def _floats(*values: Any) -> None:
    on_the_real_line(*values)
    for value in values:
        floating(value)


def _whole_numbers(*values: Any) -> None:
    broadcastable(*values)
    for value in values:
        if isinstance(value, (bool, float)) or (hasattr(value, "dtype") and value.dtype.kind not in "ui"):
            raise DTypeError("operands must be integers; convert them with x.to(un.int32)")


# ---- functions of one real or complex number ---------------------------------------------------------------------


@op(methods=("acosh", "arccosh", "arccosh_"), inplace=True)
def acosh(input: Tensor) -> Tensor:
    """Inverse hyperbolic cosine; NaN below 1."""


@op(methods=("asinh", "arcsinh", "arcsinh_"), inplace=True)
def asinh(input: Tensor) -> Tensor:
    """Inverse hyperbolic sine."""


@op(methods=("atanh", "arctanh", "arctanh_"), inplace=True)
def atanh(input: Tensor) -> Tensor:
    """Inverse hyperbolic tangent; NaN outside ``[-1, 1]``."""


@op(methods=("exp2",), inplace=True)
def exp2(input: Tensor) -> Tensor:
    """``2 ** input``."""


@op(methods=("log10",), inplace=True)
def log10(input: Tensor) -> Tensor:
    """Base-10 logarithm."""


arccosh = acosh
arcsinh = asinh
arctanh = atanh


# ---- arithmetic ------------------------------------------------------------------------------------------------


@front("positive", "__pos__")
def positive(input: Tensor) -> Tensor:
    """``+input``, which is ``input`` itself.

    Raises:
        DTypeError: of bools, as PyTorch does.
    """
    if input.dtype.kind == "b":
        raise DTypeError("positive: bools have no sign; convert them with x.to(un.int32)")
    return input


@front()
def rsub(input: Tensor, other: Operand, *, alpha: Number = 1) -> Tensor:
    """``other - alpha * input``, broadcast. Example: ``rsub([1, 2], 10) -> [9, 8]``."""
    if not isinstance(input, Tensor):
        raise OperandError(f"rsub: input must be a Tensor, not {type(input).__name__}; write other - input")
    return sub(other, input, alpha=alpha)


@front("float_power", "float_power_")
def float_power(input: Operand, exponent: Operand) -> Tensor:
    """``input ** exponent`` in 64 bits, whatever the operands: float64, or complex128 if one is complex.

    Example: ``float_power([2, 3], -1) -> [0.5, 0.33333333]``.
    """
    dtype = complex128 if is_complex_valued(input) or is_complex_valued(exponent) else float64
    base, power = (v.to(dtype) if isinstance(v, Tensor) else v for v in (input, exponent))
    return pow(base, power)


@composite(methods=("ldexp",), inplace=True, check=broadcastable)
def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """``input * 2 ** other``. Example: ``ldexp([1., 3.], [4, -1]) -> [16., 1.5]``."""
    return input * exp2(other)


@op(methods=("frexp",), check=on_the_real_line)
def frexp(input: Tensor) -> MantissaAndExponent:
    """``input == mantissa * 2 ** exponent`` with a mantissa in ``[0.5, 1)`` by absolute value, exponents in int32.

    0, infinities and NaN are their own mantissa, with exponent 0. Example: ``frexp([6.]) -> ([0.75], [3])``.
    """


@composite(methods=("logaddexp2",), inplace=True, check=broadcastable)
def logaddexp2(input: Tensor, other: Tensor) -> Tensor:
    """``log2(2 ** input + 2 ** other)`` without overflow."""
    return logaddexp(input * math.log(2), other * math.log(2)) * math.log2(math.e)


@op(methods=("hypot",), inplace=True, check=_floats)
def hypot(input: Tensor, other: Tensor) -> Tensor:
    """``sqrt(input ** 2 + other ** 2)`` without overflow. Its gradient at ``(0, 0)`` is NaN, as PyTorch's."""


@op(methods=("gcd",), inplace=True, check=_whole_numbers)
def gcd(input: Tensor, other: Tensor) -> Tensor:
    """The greatest common divisor of integers, not negative. Example: ``gcd([12, -5], [18, 0]) -> [6, 5]``."""


@op(methods=("lcm",), inplace=True, check=_whole_numbers)
def lcm(input: Tensor, other: Tensor) -> Tensor:
    """The least common multiple of integers, not negative. Example: ``lcm([4, -5], [6, 0]) -> [12, 0]``."""


@composite(methods=("deg2rad",), inplace=True, check=on_the_real_line)
def deg2rad(input: Tensor) -> Tensor:
    """Degrees to radians. Example: ``deg2rad([180.]) -> [3.1415927]``."""
    return input * (math.pi / 180)


@composite(methods=("rad2deg",), inplace=True, check=on_the_real_line)
def rad2deg(input: Tensor) -> Tensor:
    """Radians to degrees. Example: ``rad2deg([3.1415927]) -> [180.]``."""
    return input * (180 / math.pi)


@composite(methods=("frac",), inplace=True, check=_floats)
def frac(input: Tensor) -> Tensor:
    """What :func:`trunc` cuts off, with the sign of ``input``; gradient 1. Example: ``frac([-1.5]) -> [-0.5]``."""
    return input - trunc(input)


@op(methods=("bitwise_left_shift", "__lshift__", "__rlshift__"), inplace=True, check=_whole_numbers)
def bitwise_left_shift(input: Operand, other: Operand) -> Tensor:
    """``input << other``; 0 where ``other`` is negative or not less than the number of bits."""


@op(methods=("bitwise_right_shift", "__rshift__", "__rrshift__"), inplace=True, check=_whole_numbers)
def bitwise_right_shift(input: Operand, other: Operand) -> Tensor:
    """``input >> other``, keeping the sign; where ``other`` is negative or too large, the sign alone: 0 or -1."""


# ---- values of floats ------------------------------------------------------------------------------------------


@op(methods=("copysign",), inplace=True, check=on_the_real_line)
def copysign(input: Tensor, other: Operand) -> Tensor:
    """``abs(input)`` with the sign of ``other``, that of -0.0 included; integers become floats.

    The gradient by ``input`` is 1 or -1, and 0 at 0. Example: ``copysign([1., -2.], -0.0) -> [-1., -2.]``.
    """


@op(methods=("nextafter",), inplace=True, check=_floats)
def nextafter(input: Tensor, other: Tensor) -> Tensor:
    """The floating-point number next to ``input`` in the direction of ``other``."""


@composite(methods=("nan_to_num",), inplace=True)
def nan_to_num(
    input: Tensor, nan: Operand | None = None, posinf: Operand | None = None, neginf: Operand | None = None
) -> Tensor:
    """NaN replaced by ``nan`` (0), infinities by ``posinf`` and ``neginf`` (the largest and least finite numbers).

    Their gradient is 0. Complex numbers are treated part by part.
    """
    if not input.dtype.is_inexact:
        return clone(input)
    if input.is_complex():
        return complex(*[nan_to_num(part, nan, posinf, neginf) for part in (real(input), imag(input))])
    largest = float(ml_dtypes.finfo(input.dtype.numpy).max)
    bounded = where(isnan(input), 0.0 if nan is None else nan, input)
    bounded = where(eq(input, math.inf), largest if posinf is None else posinf, bounded)
    return where(eq(input, -math.inf), -largest if neginf is None else neginf, bounded)
