"""Special functions: the error function's family, the gamma function's, Bessel's, entropies.

Integers and bools become float32 first, as in PyTorch; halves are computed in float32 and rounded once. What
``torch.special`` alone has is named ``special_...`` here and found under ``un.special``.
"""

from __future__ import annotations

import math
from typing import Any

from unified._dispatch import composite, front, op
from unified._dtype import bfloat16, float16, float32
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError
from unified.ops._checks import broadcastable
from unified.ops.elementwise import Operand, clamp, log, log1p, sin, where

__all__ = [
    "digamma", "erfc", "erfinv", "i0", "igamma", "igammac", "lgamma", "logit", "mvlgamma", "polygamma", "sinc",
    "xlogy",
]  # fmt: skip

_HALVES = (float16, bfloat16)


def _real(input: Any, *_: Any) -> None:
    if input.dtype.is_complex:
        raise DTypeError(f"takes real elements, not {input.dtype.name}")


def _real_pair(input: Any, other: Any) -> None:
    broadcastable(input, other)
    for value in (input, other):
        if isinstance(value, complex) or (hasattr(value, "dtype") and value.dtype.is_complex):
            raise DTypeError("takes real operands, not complex ones")


def _floating_pair(input: Any, other: Any) -> None:
    _real_pair(input, other)
    if not (input.dtype.is_floating_point or other.dtype.is_floating_point):
        raise DTypeError(f"takes floating-point operands, not {input.dtype.name}; convert one with x.to(un.float32)")


def _derivative_order(input: Any, n: Any) -> None:
    _real(input)
    if not isinstance(n, int) or n < 0:
        raise ArgumentError(f"n, the order of the derivative, must be an int that is not negative, but it is {n!r}")


def _multivariate(input: Any, p: Any) -> None:
    _real(input)
    if not isinstance(p, int) or p < 1:
        raise ArgumentError(f"p, the number of dimensions, must be an int of at least 1, but it is {p!r}")


def _single(input: Tensor) -> Tensor:
    """What a composite computes with: float32 of integers, bools and halves."""
    return input.to(float32) if input.dtype in _HALVES or not input.dtype.is_inexact else input


def _rounded(result: Tensor, input: Tensor) -> Tensor:
    """``result`` in the dtype of ``input`` where that is a half."""
    return result.to(input.dtype) if input.dtype in _HALVES else result


# ---- the error function and the normal distribution ------------------------------------------------------------


@op(methods=("erfc",), inplace=True, check=_real)
def erfc(input: Tensor) -> Tensor:
    """``1 - erf(input)``, accurate where that is near 0."""


@op(methods=("erfinv",), inplace=True, check=_real)
def erfinv(input: Tensor) -> Tensor:
    """The inverse of erf on ``[-1, 1]``, infinite at both ends, NaN outside. Example: ``erfinv([0.5]) -> [0.48]``."""


@op(check=_real)
def special_erfcx(input: Tensor) -> Tensor:
    """``exp(input ** 2) * erfc(input)``, which does not underflow. Example: ``erfcx([10.]) -> [0.0561]``."""


@composite(check=_real)
def special_ndtr(input: Tensor) -> Tensor:
    """The standard normal's distribution function, ``erfc(-input / sqrt(2)) / 2``."""
    return _rounded(0.5 * erfc(_single(input) * -math.sqrt(0.5)), input)


@op(check=_real)
def special_log_ndtr(input: Tensor) -> Tensor:
    """The logarithm of :func:`special_ndtr`, accurate in both tails. Example: ``log_ndtr([-20.]) -> [-203.9172]``."""


@op(check=_real)
def special_ndtri(input: Tensor) -> Tensor:
    """The standard normal's quantile: the inverse of :func:`special_ndtr` on ``[0, 1]``, NaN outside."""


# ---- the gamma function -----------------------------------------------------------------------------------------


@op(methods=("lgamma",), inplace=True, check=_real)
def lgamma(input: Tensor) -> Tensor:
    """``log(abs(gamma(input)))``, inf at 0 and the negative integers. Example: ``lgamma([5.]) -> [log(24)]``."""


@op(methods=("digamma",), inplace=True, check=_real)
def digamma(input: Tensor) -> Tensor:
    """The derivative of :func:`lgamma`; ``-inf`` at 0, ``inf`` at -0, NaN at the negative integers."""


@op(name="polygamma", methods=("polygamma",), inplace=True, check=_derivative_order)
def _polygamma(input: Tensor, n: int) -> Tensor:
    """The ``n``-th derivative of :func:`digamma`, ``n`` not negative."""


@front()
def polygamma(n: int, input: Tensor) -> Tensor:
    """The ``n``-th derivative of :func:`digamma` at ``input``. Example: ``polygamma(1, [1.]) -> [pi ** 2 / 6]``.

    Raises:
        ArgumentError: ``n`` is negative.
    """
    return _polygamma(input, n)


@composite(methods=("mvlgamma",), inplace=True, check=_multivariate)
def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension ``p``, for elements above ``(p - 1) / 2``.

    ``log(pi) * p * (p - 1) / 4 + sum(lgamma(input - i / 2) for i in range(p))``.
    """
    argument = _single(input)
    total = lgamma(argument) + math.log(math.pi) * p * (p - 1) / 4
    for index in range(1, p):
        total = total + lgamma(argument - index / 2)
    return _rounded(total, input)


@op(methods=("igamma",), inplace=True, check=_floating_pair)
def igamma(input: Tensor, other: Tensor) -> Tensor:
    """The regularised lower incomplete gamma function of ``input`` (its parameter) and ``other``, neither negative.

    It has, as in PyTorch, a derivative by ``other`` alone. Example: ``igamma([4.], [3.]) -> [0.3528]``.
    """


@op(methods=("igammac",), inplace=True, check=_floating_pair)
def igammac(input: Tensor, other: Tensor) -> Tensor:
    """The regularised upper incomplete gamma function, ``1 - igamma(input, other)``."""


@op(check=_real_pair)
def special_zeta(input: Operand, other: Operand) -> Tensor:
    """Hurwitz's zeta function, the sum over k >= 0 of ``(other + k) ** -input``, for ``input > 1``.

    inf where ``input`` is 1 and where ``other`` is 0 or a negative integer; NaN for smaller ``input``, and for a
    negative ``other`` unless ``input`` is an integer. It has, as in PyTorch, a derivative by ``other`` alone.
    """


# ---- Bessel functions --------------------------------------------------------------------------------------------


@op(methods=("i0",), inplace=True, check=_real)
def i0(input: Tensor) -> Tensor:
    """The modified Bessel function of the first kind of order 0."""


@op(check=_real)
def special_i0e(input: Tensor) -> Tensor:
    """``exp(-abs(input)) * i0(input)``, which does not overflow."""


@op(check=_real)
def special_i1(input: Tensor) -> Tensor:
    """The modified Bessel function of the first kind of order 1."""


@op(check=_real)
def special_i1e(input: Tensor) -> Tensor:
    """``exp(-abs(input)) * i1(input)``, which does not overflow."""


# ---- entropies and odds ------------------------------------------------------------------------------------------


@op(check=_real)
def special_entr(input: Tensor) -> Tensor:
    """``-input * log(input)``: 0 at 0, ``-inf`` below."""


@op(methods=("xlogy",), inplace=True, check=_real_pair)
def xlogy(input: Operand, other: Operand) -> Tensor:
    """``input * log(other)``, 0 where ``input`` is 0 unless ``other`` is NaN. Example: ``xlogy([0.], 0) -> [0.]``."""


@op(check=_real_pair)
def special_xlog1py(input: Operand, other: Operand) -> Tensor:
    """``input * log1p(other)``, 0 where ``input`` is 0 unless ``other`` is NaN."""


@composite(methods=("logit",), inplace=True, check=_real)
def logit(input: Tensor, eps: Operand | None = None) -> Tensor:
    """``log(input / (1 - input))`` of ``input`` limited to ``[eps, 1 - eps]``; NaN outside ``[0, 1]`` if None.

    The gradient is 0 where the limits hold. Example: ``logit([0.5, 0.75]) -> [0., log(3)]``.
    """
    share = _single(input)
    if eps is not None:
        share = clamp(share, eps, 1 - eps)
    else:
        outside = (share < 0) | (share > 1)
        share = share * where(outside, math.nan, 1.0)  # a product, whose gradient is NaN too
    return _rounded(log(share) - log1p(-share), input)


@composite(methods=("sinc",), inplace=True)
def sinc(input: Tensor) -> Tensor:
    """``sin(pi * input) / (pi * input)``, 1 at 0."""
    argument = _single(input)
    zero = argument == 0
    angle = where(zero, 1.0, argument) * math.pi
    return _rounded(where(zero, 1.0, sin(angle) / angle), input)
