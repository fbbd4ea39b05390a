"""Order statistics: medians, quantiles, the k-th smallest, the most frequent.

Along a dimension the gradient goes to the element that was selected. NaN counts as the largest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from unified._dispatch import composite, front
from unified._dtype import Number, int32
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError, ShapeError
from unified.ops import _axes
from unified.ops.creation import ones_like, zeros_like
from unified.ops.elementwise import (
    ceil,
    clamp,
    eq,
    floor,
    floor_divide,
    isnan,
    lerp,
    logical_not,
    ne,
    round,
    where,
)
from unified.ops.indexing import gather, narrow, scatter_add
from unified.ops.reduction import ValuesAndIndices, amax, amin, any, argmax, cumsum, mean, sort, sum
from unified.ops.shape import cat, movedim, reshape, squeeze

__all__ = ["kthvalue", "median", "mode", "msort", "nanmedian", "nanquantile", "quantile"]

Operand = Tensor | Number

_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


# ---- checks ----------------------------------------------------------------------------------------------------


def _check_dim(input: Any, dim: int, *_: Any) -> None:
    along = _axes.axis(dim, input.shape)
    if input.shape and not input.shape[along]:
        raise ShapeError(f"dimension {dim} of a {tuple(input.shape)} tensor is empty: it has no element to select")


def _check_order(input: Any, dim: int = -1, *_: Any) -> None:
    if input.dtype.is_complex or input.dtype.kind == "b":
        raise DTypeError(f"{input.dtype.name} elements have no median; convert them with x.to(un.float32)")
    _check_dim(input, dim)


def _check_median(input: Any) -> None:
    if input.dtype.is_complex or input.dtype.kind == "b":
        raise DTypeError(f"{input.dtype.name} elements have no median; convert them with x.to(un.float32)")


def _check_kth(input: Any, k: int, dim: int, *_: Any) -> None:
    along = _axes.axis(dim, input.shape)
    length = input.shape[along] if input.shape else 1
    if not 1 <= k <= length:
        raise ArgumentError(f"k={k} is not between 1 and {length}, the length of dimension {dim}")


def _check_quantile(input: Any, q: Any, dim: int, interpolation: str, *_: Any) -> None:
    if not input.dtype.is_floating_point:
        raise DTypeError(f"input must be floating point, not {input.dtype.name}; convert it with x.to(un.float32)")
    _check_dim(input, dim)
    if interpolation not in _INTERPOLATIONS:
        raise ArgumentError(f"interpolation must be one of {', '.join(_INTERPOLATIONS)}, not {interpolation!r}")
    if len(getattr(q, "shape", ())) > 1:
        raise ShapeError(f"q must be a number or a vector, not of shape {tuple(q.shape)}")
    if getattr(q, "dtype", input.dtype) is not input.dtype and q.shape:
        raise DTypeError(f"q is {q.dtype.name}, input {input.dtype.name}; convert one with x.to(dtype)")


# ---- one element of each row ------------------------------------------------------------------------------------


@composite(methods=("msort",), check=lambda input: None)
def msort(input: Tensor) -> Tensor:
    """``input`` sorted along its first dimension."""
    return sort(input, 0).values


def _at(ordered: ValuesAndIndices, dim: int, place: Tensor | int, keepdim: bool) -> ValuesAndIndices:
    """The elements at one place of what was sorted along ``dim``."""
    if isinstance(place, int):
        found = [narrow(member, dim, place, 1) for member in ordered]
    else:
        found = [gather(member, dim, place) for member in ordered]
    return ValuesAndIndices(*found) if keepdim else ValuesAndIndices(*[squeeze(member, dim) for member in found])


def _middle(input: Tensor, dim: int, keepdim: bool, skip_nan: bool) -> ValuesAndIndices:
    """The lower median along ``dim``: of all elements, or of those that are not NaN."""
    ordered = sort(input, dim)
    if not input.ndim:
        return ordered
    length = input.shape[dim]
    if not input.dtype.is_floating_point:
        return _at(ordered, dim, (length - 1) // 2, keepdim)
    present = sum(logical_not(isnan(input)), dim, True)
    if skip_nan:
        return _at(ordered, dim, floor_divide(clamp(present - 1, min=0), 2), keepdim)
    return _at(ordered, dim, where(present < length, present, (length - 1) // 2), keepdim)


@composite(name="kthvalue", methods=("kthvalue",), check=_check_kth)
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> ValuesAndIndices:
    """The ``k``-th smallest element along ``dim``, counted from 1, and its index (int32).

    Example: ``kthvalue([5, 3, 4], 2) -> ValuesAndIndices(4, 2)``.

    Raises:
        ArgumentError: there is no ``k``-th element.
    """
    ordered = sort(input, dim)
    return _at(ordered, dim, k - 1, keepdim) if input.ndim else ordered


@composite(name="median", check=_check_order)
def _median_along(input: Tensor, dim: int, keepdim: bool) -> ValuesAndIndices:
    """The lower median along ``dim`` and its index; NaN where there is one."""
    return _middle(input, dim, keepdim, skip_nan=False)


@composite(name="nanmedian", check=_check_order)
def _nanmedian_along(input: Tensor, dim: int, keepdim: bool) -> ValuesAndIndices:
    """The lower median of what is not NaN along ``dim`` and its index."""
    return _middle(input, dim, keepdim, skip_nan=True)


def _overall(input: Tensor, skip_nan: bool) -> Tensor:
    """The median of all elements; those that equal it share the gradient evenly."""
    flat = input.reshape((-1,))
    if not flat.shape[0]:
        return mean(flat) if input.dtype.is_floating_point else sum(flat)
    selected = _middle(flat, 0, False, skip_nan).values
    if not input.dtype.is_floating_point:
        return selected
    value = selected.detach()
    ties = eq(flat, value)
    largest, smallest = amax(where(ties, flat, -math.inf)), amin(where(ties, flat, math.inf))  # they share evenly
    return where(isnan(value), selected, where(value > 0, largest, smallest))


@composite(name="median_of_all", check=_check_median)
def _median(input: Tensor) -> Tensor:
    """The lower median of all elements."""
    return _overall(input, skip_nan=False)


@composite(name="nanmedian_of_all", check=_check_median)
def _nanmedian(input: Tensor) -> Tensor:
    """The lower median of all elements that are not NaN."""
    return _overall(input, skip_nan=True)


@front("median")
def median(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, axis: int | None = None
) -> Tensor | ValuesAndIndices:
    """``median(x)``: of all elements; ``median(x, dim)``: (values, indices) along ``dim``. NaN wins.

    Of an even number of elements it is the lower of the two in the middle. Over all elements ties share the gradient
    evenly. Example: ``median([1., 4., 2., 3.]) -> 2.``
    """
    dim = dim if axis is None else axis
    return _median(input) if dim is None else _median_along(input, dim, keepdim)


@front("nanmedian")
def nanmedian(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, axis: int | None = None
) -> Tensor | ValuesAndIndices:
    """As :func:`median`, of the elements that are not NaN; NaN where there is none."""
    dim = dim if axis is None else axis
    return _nanmedian(input) if dim is None else _nanmedian_along(input, dim, keepdim)


@composite(name="mode", methods=("mode",), check=_check_dim)
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> ValuesAndIndices:
    """The most frequent element along ``dim``, the smallest of several, and the last index (int32) where it stands.

    Example: ``mode([2, 1, 2, 1]) -> ValuesAndIndices(1, 3)``.
    """
    ordered = sort(input, dim)
    if not input.ndim:
        return ordered
    length = input.shape[dim]
    later, earlier = (narrow(ordered.values, dim, start, length - 1) for start in (1, 0))
    first = zeros_like(narrow(ordered.indices, dim, 0, 1))
    run = cumsum(cat([first, ne(later, earlier).to(int32)], dim), dim)
    counts = scatter_add(zeros_like(run), dim, run, ones_like(run))
    last = gather(cumsum(counts, dim), dim, argmax(counts, dim, True)) - 1
    return _at(ordered, dim, last, keepdim)


# ---- quantiles --------------------------------------------------------------------------------------------------


def _quantiles(input: Tensor, q: Operand, dim: int, interpolation: str, skip_nan: bool) -> Tensor:
    """Quantiles along ``dim``, which becomes the dimension of ``q`` (1 for a number) and stays in its place."""
    rows = movedim(input, dim, -1) if input.ndim else input.reshape((1,))
    ordered = sort(rows, -1).values
    length = rows.shape[-1]
    share = zeros_like(narrow(ordered, -1, 0, 1)) + q
    if skip_nan:
        ranks = clamp(share * (sum(logical_not(isnan(rows)), -1, True) - 1), min=0)
    else:
        ranks = where(any(isnan(rows), -1, True), length - 1, share * (length - 1))
    if interpolation == "nearest":
        ranks = round(ranks)
    elif interpolation == "higher":
        ranks = ceil(ranks)
    below = floor(ranks)
    found = gather(ordered, -1, below.to(int32))
    if interpolation in ("linear", "midpoint"):
        above = gather(ordered, -1, ceil(ranks).to(int32))
        found = lerp(found, above, 0.5 if interpolation == "midpoint" else ranks - below)
    return movedim(found, -1, dim) if input.ndim else found


@composite(name="quantile", check=_check_quantile)
def _quantile(input: Tensor, q: Operand, dim: int, interpolation: str) -> Tensor:
    """Quantiles along ``dim``; NaN where there is a NaN."""
    return _quantiles(input, q, dim, interpolation, skip_nan=False)


@composite(name="nanquantile", check=_check_quantile)
def _nanquantile(input: Tensor, q: Operand, dim: int, interpolation: str) -> Tensor:
    """Quantiles of what is not NaN along ``dim``."""
    return _quantiles(input, q, dim, interpolation, skip_nan=True)


def _fitted(function: Any, input: Tensor, q: Operand, dim: int | None, keepdim: bool, interpolation: str) -> Tensor:
    if isinstance(q, (bool, int, float)) and not 0 <= q <= 1:
        raise ArgumentError(f"quantile: q must lie in [0, 1], not {q}")
    shape: Sequence[int] = input.shape
    source = input if dim is not None else input.reshape((-1,))
    along = _axes.axis(0 if dim is None else dim, source.shape)
    found: Tensor = function(source, q, along, interpolation)
    if not isinstance(q, Tensor) or not q.ndim:
        if not keepdim:
            return squeeze(found, along)
        if dim is None:
            return reshape(found, (1,) * len(shape))
        return found if shape else squeeze(found, 0)
    found = movedim(found, along, 0)
    if not keepdim:
        return found
    ones = (1,) * len(shape) if dim is None else tuple(1 if i == along else n for i, n in enumerate(shape))
    return reshape(found, (q.shape[0], *ones))


@front("quantile")
def quantile(
    input: Tensor,
    q: Operand,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    axis: int | None = None,
) -> Tensor:
    """The values below which a share ``q`` of the elements along ``dim`` (of all for None) lies; NaN wins.

    ``q`` is a number in [0, 1] or a vector of them, which becomes the first dimension. A quantile between two
    elements is interpolated: "linear", "lower", "higher", "midpoint" or "nearest".
    Example: ``quantile([0., 1., 2., 3.], 0.5) -> 1.5``.

    Raises:
        ArgumentError: ``q`` is a number outside of [0, 1], or there is no such interpolation.
    """
    return _fitted(_quantile, input, q, dim if axis is None else axis, keepdim, interpolation)


@front("nanquantile")
def nanquantile(
    input: Tensor,
    q: Operand,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    axis: int | None = None,
) -> Tensor:
    """As :func:`quantile`, of the elements that are not NaN; NaN where there is none."""
    return _fitted(_nanquantile, input, q, dim if axis is None else axis, keepdim, interpolation)
