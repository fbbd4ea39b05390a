"""Running extremes and sums along a dimension. cumsum and cumprod are among the reductions."""

from __future__ import annotations

from typing import Any

from unified._dispatch import op
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError, IndexOutOfRangeError
from unified.ops.reduction import ValuesAndIndices

__all__ = ["cummax", "cummin", "logcumsumexp"]


def _scans(input: Any, dim: Any) -> None:
    if not isinstance(dim, int):
        raise ArgumentError(f"dim must be one int, not {dim!r}")
    rank = len(input.shape)
    if not -max(rank, 1) <= dim < max(rank, 1):
        raise IndexOutOfRangeError(f"dim {dim} is out of range for a tensor of {rank} dimensions")


def _scans_ordered(input: Any, dim: Any) -> None:
    _scans(input, dim)
    if input.dtype.is_complex:
        raise DTypeError("complex numbers have no order; take the absolute value or a part")


def _scans_inexact(input: Any, dim: Any) -> None:
    _scans(input, dim)
    if not input.dtype.is_inexact:
        raise DTypeError(f"takes floating-point elements, not {input.dtype.name}; convert them with x.to(un.float32)")


@op(methods=("cummax",), check=_scans_ordered)
def cummax(input: Tensor, dim: int) -> ValuesAndIndices:
    """The largest element up to each one along ``dim`` and its index (int32), the last of equals; NaN is largest.

    Example: ``cummax([1, 3, 2, 3], 0) -> ValuesAndIndices([1, 3, 3, 3], [0, 1, 1, 3])``.
    """


@op(methods=("cummin",), check=_scans_ordered)
def cummin(input: Tensor, dim: int) -> ValuesAndIndices:
    """The smallest element up to each one along ``dim`` and its index (int32), the last of equals; NaN wins."""


@op(methods=("logcumsumexp",), check=_scans_inexact)
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """``log(cumsum(exp(input), dim))``, without overflow. Example: ``logcumsumexp([0., 0.], 0) -> [0., log(2)]``."""
