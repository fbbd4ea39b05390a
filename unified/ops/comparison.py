"""Comparison of elements: limits, signs, closeness."""

from __future__ import annotations

from typing import Any

from unified._dispatch import composite, front, op
from unified._dtype import Number, float32
from unified._tensor import Tensor
from unified.errors import ArgumentError
from unified.ops._checks import broadcastable, on_the_real_line, same_dtype
from unified.ops.elementwise import abs, clamp, eq, gt, isfinite, isinf, isnan, le, where

__all__ = [
    "allclose", "clamp_max", "clamp_min", "equal", "fmax", "fmin", "heaviside", "isclose", "isneginf", "isposinf",
    "signbit",
]  # fmt: skip

Operand = Tensor | Number
Scalar = Number


def _step(input: Any, values: Any) -> None:
    on_the_real_line(input, values)
    same_dtype(input=input, values=values)


@front("clamp_max", "clamp_max_")
def clamp_max(input: Tensor, max: Operand) -> Tensor:
    """``input``, not above ``max``; the gradient at the bound is 1. Example: ``clamp_max([1, 5], 3) -> [1, 3]``."""
    return clamp(input, None, max)


@front("clamp_min", "clamp_min_")
def clamp_min(input: Tensor, min: Operand) -> Tensor:
    """``input``, not below ``min``; the gradient at the bound is 1. Example: ``clamp_min([1, 5], 3) -> [3, 5]``."""
    return clamp(input, min)


@composite(methods=("fmax",), check=on_the_real_line)
def fmax(input: Tensor, other: Tensor) -> Tensor:
    """The larger of two elements, or the one that is not NaN; at a tie ``input`` gets the gradient."""
    return where((input >= other) | isnan(other), input, other)


@composite(methods=("fmin",), check=on_the_real_line)
def fmin(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of two elements, or the one that is not NaN; at a tie ``input`` gets the gradient."""
    return where((input <= other) | isnan(other), input, other)


@op(methods=("signbit",), check=on_the_real_line)
def signbit(input: Tensor) -> Tensor:
    """Where the sign is minus, that of -0.0 included."""


@composite(methods=("heaviside",), inplace=True, check=_step)
def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 below 0, 1 above, ``values`` at 0. Example: ``heaviside([-1., 0., 2.], [0.5]) -> [0., 0.5, 1.]``.

    Raises:
        DTypeError: the operands are not of one dtype.
    """
    return where(eq(input, 0), values, gt(input, 0).to(input.dtype))


# ---- comparison ------------------------------------------------------------------------------------------------


@composite(methods=("isposinf",), check=on_the_real_line)
def isposinf(input: Tensor) -> Tensor:
    """Where the element is infinite and positive."""
    return isinf(input) & gt(input, 0)


@composite(methods=("isneginf",), check=on_the_real_line)
def isneginf(input: Tensor) -> Tensor:
    """Where the element is infinite and negative."""
    return isinf(input) & ~gt(input, 0)


def _closeness(input: Any, other: Any, *_: Any) -> None:
    broadcastable(input, other)
    same_dtype(input=input, other=other)


@composite(name="isclose", check=_closeness)
def _isclose(input: Tensor, other: Tensor, rtol: Scalar, atol: Scalar, equal_nan: bool) -> Tensor:
    """Equal, or finite and closer than the tolerances."""
    reference = other if other.dtype.is_inexact else other.to(float32)
    gap = abs((input if input.dtype.is_inexact else input.to(float32)) - reference)
    close = eq(input, other) | (isfinite(gap) & le(gap, atol + abs(rtol * reference)))
    return close | (isnan(input) & isnan(other)) if equal_nan else close


@front("isclose")
def isclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Where ``abs(input - other) <= atol + rtol * abs(other)``; infinities are close to themselves.

    Args:
        equal_nan: two NaN are close too.

    Raises:
        ArgumentError: a tolerance is negative.
        DTypeError: the operands are not of one dtype.
    """
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if tolerance < 0:
            raise ArgumentError(f"isclose: {name} must not be negative, but is {tolerance}")
    return _isclose(input, other, rtol, atol, equal_nan)


@front("allclose")
def allclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether :func:`isclose` holds of all elements: a Python bool."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all().item())


@front("equal")
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether shapes and all elements are equal: a Python bool. NaN equals nothing."""
    return input.shape == other.shape and bool(eq(input, other).all().item())
