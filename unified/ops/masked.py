"""Reductions and normalizations of the elements where a mask holds.

``mask`` is a bool tensor, or converted to one, that broadcasts to the operand; None stands for one that holds
everywhere. Elements where it does not hold are replaced by the identity of the operation. Where a result has no
element at all it is that identity, or NaN where there is none (mean, median, var, std).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from unified._dispatch import composite
from unified._dtype import DType, Number, bool_, float32
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError, ShapeError
from unified.ops import _axes
from unified.ops.creation import ones_like
from unified.ops.elementwise import abs, clamp, div, logaddexp, maximum, neg, sqrt, square, sub, where
from unified.ops.order import nanmedian
from unified.ops.reduction import (
    amax,
    amin,
    argmax,
    argmin,
    cumprod,
    cumsum,
    linalg_vector_norm,
    log_softmax,
    logsumexp,
    prod,
    softmax,
    sum,
)

__all__: list[str] = []

Scalar = Number
Dim = int | Sequence[int] | None


# ---- checks ----------------------------------------------------------------------------------------------------


def _fits(input: Any, mask: Any) -> None:
    if mask is None:
        return
    trailing = tuple(input.shape)[len(input.shape) - len(mask.shape) :]
    if len(mask.shape) > len(input.shape) or any(
        have not in (1, want) for have, want in zip(mask.shape, trailing, strict=True)
    ):
        raise ShapeError(f"mask {tuple(mask.shape)} does not broadcast to input {tuple(input.shape)}")


def _check(input: Any, dim: Any, keepdim: bool, dtype: Any, mask: Any) -> None:
    _axes.check_dims(input, dim)
    _fits(input, mask)


def _check_along(input: Any, dim: int, dtype: Any, mask: Any) -> None:
    _axes.check_dims(input, dim)
    _fits(input, mask)


def _check_extreme(input: Any, dim: Any, keepdim: bool, dtype: Any, mask: Any) -> None:
    _check(input, dim, keepdim, dtype, mask)
    if input.dtype.kind not in "iuf":
        raise DTypeError(f"{input.dtype.name} elements have no order")


def _check_median(input: Any, dim: int, keepdim: bool, dtype: Any, mask: Any) -> None:
    _check(input, dim, keepdim, dtype, mask)
    if not input.dtype.is_floating_point:
        raise DTypeError(f"input must be floating point, not {input.dtype.name}; convert it with x.to(un.float32)")


def _check_norm(input: Any, ord: float, dim: Any, keepdim: bool, dtype: DType | None, mask: Any) -> None:
    _check(input, dim, keepdim, dtype, mask)
    _inexact(dtype or input.dtype)


def _inexact(dtype: DType) -> None:
    if not dtype.is_inexact:
        raise DTypeError(f"needs floating-point elements, not {dtype.name}; pass dtype=un.float32 or convert first")


def _check_moment(
    input: Any, dim: Any, unbiased: bool | None, correction: float | None, keepdim: bool, dtype: Any, mask: Any
) -> None:
    _check(input, dim, keepdim, dtype, mask)
    if unbiased is not None and correction is not None:
        raise ArgumentError("give unbiased or correction, not both")


def _check_normalize(input: Any, ord: float, dim: int, eps: Any, dtype: Any, mask: Any) -> None:
    _check_norm(input, ord, dim, True, dtype, mask)


def _check_pair(input: Any, other: Any, dtype: Any, input_mask: Any, other_mask: Any) -> None:
    _fits(input, input_mask)
    _fits(other, other_mask)


# ---- what is reduced --------------------------------------------------------------------------------------------


def _filled(input: Tensor, mask: Tensor | None, identity: Number) -> Tensor:
    return input if mask is None else where(mask.to(bool_), input, identity)


def _lowest(dtype: DType) -> Number:
    return -math.inf if dtype.is_inexact else int(np.iinfo(dtype.numpy).min)


def _highest(dtype: DType) -> Number:
    return math.inf if dtype.is_inexact else int(np.iinfo(dtype.numpy).max)


def _count(input: Tensor, mask: Tensor | None, dim: Dim, keepdim: bool) -> Tensor:
    """How many elements the mask leaves over ``dim``."""
    mask = ones_like(input, dtype=bool_) if mask is None else mask.to(bool_).expand(input.shape)
    return sum(mask, dim, keepdim)


@composite(name="masked_sum", check=_check)
def masked_sum(
    input: Tensor, dim: Dim = None, *, keepdim: bool = False, dtype: DType | None = None, mask: Tensor | None = None
) -> Tensor:
    """Sum over ``dim`` of the elements where ``mask`` holds. Example: ``[1, 2], mask=[True, False] -> 1``."""
    return sum(_filled(input, mask, 0), dim, keepdim, dtype=dtype)


@composite(name="masked_prod", check=_check)
def masked_prod(
    input: Tensor, dim: Dim = None, *, keepdim: bool = False, dtype: DType | None = None, mask: Tensor | None = None
) -> Tensor:
    """Product over ``dim`` of the elements where ``mask`` holds."""
    return prod(_filled(input, mask, 1), dim, keepdim, dtype=dtype)


@composite(name="masked_cumsum", check=_check_along)
def masked_cumsum(input: Tensor, dim: int, *, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    """Sums along ``dim`` up to each element, of those where ``mask`` holds; in the dtype of ``input``."""
    return cumsum(_filled(input, mask, 0), dim, dtype=dtype or input.dtype)


@composite(name="masked_cumprod", check=_check_along)
def masked_cumprod(input: Tensor, dim: int, *, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    """Products along ``dim`` up to each element, of those where ``mask`` holds; in the dtype of ``input``."""
    return cumprod(_filled(input, mask, 1), dim, dtype=dtype or input.dtype)


@composite(name="masked_amax", check=_check_extreme)
def masked_amax(
    input: Tensor, dim: Dim = None, *, keepdim: bool = False, dtype: DType | None = None, mask: Tensor | None = None
) -> Tensor:
    """The largest element over ``dim`` where ``mask`` holds; the lowest number of the dtype where there is none."""
    return _converted(amax(_filled(input, mask, _lowest(input.dtype)), dim, keepdim), dtype)


@composite(name="masked_amin", check=_check_extreme)
def masked_amin(
    input: Tensor, dim: Dim = None, *, keepdim: bool = False, dtype: DType | None = None, mask: Tensor | None = None
) -> Tensor:
    """The smallest element over ``dim`` where ``mask`` holds; the highest number of the dtype where there is none."""
    return _converted(amin(_filled(input, mask, _highest(input.dtype)), dim, keepdim), dtype)


def _converted(input: Tensor, dtype: DType | None) -> Tensor:
    return input if dtype is None else input.to(dtype)


@composite(name="masked_argmax", check=_check_extreme)
def masked_argmax(
    input: Tensor,
    dim: int | None = None,
    *,
    keepdim: bool = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Index along ``dim`` of the largest element where ``mask`` holds, as PyTorch in the dtype of ``input``."""
    return argmax(_filled(input, mask, _lowest(input.dtype)), dim, keepdim).to(dtype or input.dtype)


@composite(name="masked_argmin", check=_check_extreme)
def masked_argmin(
    input: Tensor,
    dim: int | None = None,
    *,
    keepdim: bool = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Index along ``dim`` of the smallest element where ``mask`` holds, as PyTorch in the dtype of ``input``."""
    return argmin(_filled(input, mask, _highest(input.dtype)), dim, keepdim).to(dtype or input.dtype)


@composite(name="masked_mean", check=_check)
def masked_mean(
    input: Tensor, dim: Dim = None, *, keepdim: bool = False, dtype: DType | None = None, mask: Tensor | None = None
) -> Tensor:
    """Mean over ``dim`` of the elements where ``mask`` holds; NaN where there is none."""
    _inexact(dtype or input.dtype)
    total = masked_sum(input, dim, keepdim=keepdim, dtype=dtype, mask=mask)
    return div(total, _count(input, mask, dim, keepdim))


@composite(name="masked_median", check=_check_median)
def masked_median(
    input: Tensor, dim: int = -1, *, keepdim: bool = False, dtype: DType | None = None, mask: Tensor | None = None
) -> Tensor:
    """The lower median along ``dim`` of the elements where ``mask`` holds and that are no NaN, or NaN."""
    found: Tensor = nanmedian(_filled(input, mask, math.nan), dim, keepdim)[0]
    return found


@composite(name="masked_logsumexp", check=_check)
def masked_logsumexp(
    input: Tensor, dim: Dim = None, *, keepdim: bool = False, dtype: DType | None = None, mask: Tensor | None = None
) -> Tensor:
    """``log(sum(exp(input)))`` over ``dim`` of the elements where ``mask`` holds; -inf where there is none."""
    return logsumexp(_filled(input, mask, _lowest(input.dtype)), dim, keepdim).to(dtype or input.dtype)


@composite(name="masked_logaddexp", check=_check_pair)
def masked_logaddexp(
    input: Tensor,
    other: Tensor,
    *,
    dtype: DType | None = None,
    input_mask: Tensor | None = None,
    other_mask: Tensor | None = None,
) -> Tensor:
    """``log(exp(input) + exp(other))`` of the elements where each one's mask holds; -inf where neither does."""
    found = logaddexp(_filled(input, input_mask, -math.inf), _filled(other, other_mask, -math.inf))
    return _converted(found, dtype)


@composite(name="masked_norm", check=_check_norm)
def masked_norm(
    input: Tensor,
    ord: float = 2.0,
    dim: Dim = None,
    *,
    keepdim: bool = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Vector norm of order ``ord`` over ``dim`` of the elements where ``mask`` holds."""
    filled = _filled(input, mask, math.inf if ord == -math.inf else 0)
    return linalg_vector_norm(filled, ord, dim, keepdim, dtype=dtype)


# ---- moments ----------------------------------------------------------------------------------------------------


@composite(name="masked_var", check=_check_moment)
def masked_var(
    input: Tensor,
    dim: Dim = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Variance over ``dim`` of the elements where ``mask`` holds; arguments as for ``un.var``.

    As PyTorch's, the variance of complex elements comes in their dtype.
    """
    wanted = dtype or (input.dtype if input.dtype.is_inexact else float32)
    input = input.to(wanted if wanted.is_inexact else float32)
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    deviations = sub(input, masked_mean(input, dim, keepdim=True, mask=mask))
    squares = square(abs(deviations) if input.dtype.is_complex else deviations)
    total = masked_sum(squares, dim, keepdim=keepdim, mask=mask)
    degrees = clamp(sub(_count(input, mask, dim, keepdim), correction), min=0)
    return div(total, degrees).to(wanted)


@composite(name="masked_std", check=_check_moment)
def masked_std(
    input: Tensor,
    dim: Dim = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Standard deviation over ``dim`` of the elements where ``mask`` holds, as :func:`masked_var`."""
    return sqrt(masked_var(input, dim, unbiased, correction=correction, keepdim=keepdim, dtype=dtype, mask=mask))


# ---- normalizations ---------------------------------------------------------------------------------------------


@composite(name="masked_softmax", check=_check_along)
def masked_softmax(input: Tensor, dim: int, *, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    """``un.softmax`` along ``dim`` over the elements where ``mask`` holds; 0 where it does not."""
    return softmax(_filled(input, mask, _lowest(input.dtype)), dim, dtype)


@composite(name="masked_log_softmax", check=_check_along)
def masked_log_softmax(input: Tensor, dim: int, *, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    """``un.log_softmax`` along ``dim`` over the elements where ``mask`` holds; -inf where it does not."""
    return log_softmax(_filled(input, mask, _lowest(input.dtype)), dim, dtype)


@composite(name="masked_softmin", check=_check_along)
def masked_softmin(input: Tensor, dim: int, *, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    """Softmax of ``-input`` along ``dim`` over the elements where ``mask`` holds; 0 where it does not."""
    return softmax(neg(_filled(input, mask, _highest(input.dtype))), dim, dtype)


@composite(name="masked_normalize", check=_check_normalize)
def masked_normalize(
    input: Tensor,
    ord: float,
    dim: int,
    *,
    eps: Scalar = 1e-12,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """``input`` divided by ``max(norm, eps)`` along ``dim``, of the elements where ``mask`` holds; 0 where not."""
    length = masked_norm(input, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    return div(_filled(input, mask, 0), maximum(length, length.zeros_like() + eps))
