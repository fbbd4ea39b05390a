"""Ops that gather over dimensions: sums, extremes, tests, norms, scans, orders.

``dim`` is an int, a tuple of ints or None (all dimensions) unless said otherwise; ``keepdim`` keeps reduced
dimensions with length 1. Sums of integers are int32, or int64 where the input is; indices and counts are int32.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from unified._dispatch import composite, front, op
from unified._dtype import DType, float32
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError
from unified.ops.elementwise import abs, div, maximum, minimum, mul, ne, neg, pow, sqrt, square, sub, where

__all__ = [
    "all", "amax", "amin", "any", "argmax", "argmin", "argsort", "count_nonzero", "cumprod", "cumsum",
    "log_softmax", "logsumexp", "max", "mean", "min", "prod", "softmax", "sort", "std", "std_mean", "sum",
    "topk", "var", "var_mean",
]  # fmt: skip

Dim = int | Sequence[int] | None


class ValuesAndIndices(NamedTuple):
    """What ``max(x, dim)``, ``sort`` and ``topk`` return."""

    values: Tensor
    indices: Tensor


class VarianceAndMean(NamedTuple):
    """What ``var_mean`` returns."""

    var: Tensor
    mean: Tensor


class DeviationAndMean(NamedTuple):
    """What ``std_mean`` returns."""

    std: Tensor
    mean: Tensor


# ---- what operands must satisfy --------------------------------------------------------------------------------


def _dims(input: Any, dim: Any) -> tuple[int, ...]:
    """The dimensions that ``dim`` names, each once, counted from the front."""
    rank = len(input.shape)
    if dim is None or (not isinstance(dim, int) and not len(dim)):
        return tuple(range(rank))
    dims = []
    for index in (dim,) if isinstance(dim, int) else dim:
        bound = builtins.max(rank, 1)
        if not -bound <= index < bound:
            raise IndexOutOfRangeError(f"dim {index} is out of range for a tensor of {rank} dimensions")
        dims.append(index % bound)
    if len(set(dims)) < len(dims):
        raise ArgumentError(f"dim {tuple(dim)} names a dimension twice")
    return tuple(dims) if rank else ()


def _reduces(input: Any, dim: Any = None, *_: Any) -> None:
    _dims(input, dim)


def _reduces_floats(input: Any, dim: Any = None, keepdim: bool = False, dtype: DType | None = None) -> None:
    _dims(input, dim)
    found = dtype or input.dtype
    if not found.is_inexact:
        raise DTypeError(f"needs floating-point elements, not {found.name}; pass dtype=un.float32 or convert first")


def _reduces_moments(input: Any, dim: Any = None, *_: Any) -> None:
    _reduces_floats(input, dim)


def _measures(x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, dtype: DType | None = None) -> None:
    if not isinstance(ord, (int, float)):
        raise ArgumentError(f"ord or p must be a number, 'fro' or 'nuc', not {ord!r}")
    dims = _dims(x, dim)
    for found in (x.dtype, dtype or x.dtype):
        if not found.is_inexact:
            raise DTypeError(f"needs floating-point elements, not {found.name}; convert first: x.to(un.float32)")
    if dtype is not None and x.dtype.is_complex and not dtype.is_complex:
        raise DTypeError(f"the norm of {x.dtype.name} elements takes a complex dtype, not {dtype.name}")
    if (ord < 0 or math.isinf(ord)) and any_empty(x.shape, dims):
        raise ShapeError(f"a {tuple(x.shape)} tensor has no elements to take the norm of order {ord} of")


def any_empty(shape: Sequence[int], dims: Sequence[int]) -> bool:
    """Whether one of the dimensions has length 0."""
    return not builtins.all(shape[index] for index in dims)


def _normalizes(input: Any, dim: Any, dtype: DType | None = None) -> None:
    _scans(input, dim)
    _reduces_floats(input, None, False, dtype)


def _reduces_some(input: Any, dim: Any = None, *_: Any) -> None:
    dims = _dims(input, dim)
    if empty := [index for index in dims if not input.shape[index]]:
        raise ShapeError(f"dimension {empty[0]} of a {tuple(input.shape)} tensor is empty: it has no extreme element")


def _selects(input: Any, dim: Any, *_: Any) -> None:
    if not isinstance(dim, int):
        raise ArgumentError(f"dim must be one int, not {dim!r}")
    _reduces_some(input, dim)


def _scans(input: Any, dim: Any, *_: Any) -> None:
    if not isinstance(dim, int):
        raise ArgumentError(f"dim must be one int, not {dim!r}")
    _dims(input, dim)


def _takes_top(input: Any, k: int, dim: int, *_: Any) -> None:
    _scans(input, dim)
    length = input.shape[dim] if input.shape else 1
    if not 0 <= k <= length:
        raise ArgumentError(f"k={k} is not between 0 and {length}, the length of dimension {dim}")


# ---- sums --------------------------------------------------------------------------------------------------------


@op(methods=("sum",), check=_reduces)
def sum(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """Sum over ``dim``; ``dtype`` converts first. Example: ``sum([[1, 2], [3, 4]], 0) -> [4, 6]``."""


@op(methods=("mean",), check=_reduces_floats)
def mean(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """Arithmetic mean over ``dim`` of floating-point elements.

    Raises:
        DTypeError: integers, unless ``dtype`` makes floats of them.
    """


@op(methods=("prod",), check=_reduces)
def prod(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """Product over ``dim``, with right gradients where elements are 0."""


@composite(methods=("count_nonzero",), check=_reduces)
def count_nonzero(input: Tensor, dim: Dim = None) -> Tensor:
    """How many elements over ``dim`` are not 0."""
    return sum(ne(input, 0), dim)


@op(methods=("any",), check=_reduces)
def any(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether some element over ``dim`` is not 0."""


@op(methods=("all",), check=_reduces)
def all(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether no element over ``dim`` is 0."""


@op(methods=("cumsum",), inplace=True, check=_scans)
def cumsum(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """Sums of the elements up to each one along ``dim``. Example: ``cumsum([1, 2, 3], 0) -> [1, 3, 6]``."""


@op(methods=("cumprod",), inplace=True, check=_scans)
def cumprod(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """Products of the elements up to each one along ``dim``, with right gradients where elements are 0."""


# ---- moments and norms -------------------------------------------------------------------------------------------


def _chosen(dim: Any, axis: Any, keepdim: bool, keepdims: bool | None) -> tuple[Any, bool]:
    return (dim if axis is None else axis), (keepdim if keepdims is None else keepdims)


Correction = float | None


class _Moment(NamedTuple):
    """The arguments of a moment, whichever way they were written."""

    dim: Dim
    keepdim: bool
    correction: float


def _moment(
    dim: Dim | bool, unbiased: bool | None, keepdim: bool, correction: Correction, axis: Dim, keepdims: bool | None
) -> _Moment:
    """PyTorch's overloads in one: ``var(x, True)`` says ``unbiased``, ``var(x, 1)`` a dimension."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise ArgumentError("give unbiased or correction, not both")
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    dim, keepdim = _chosen(dim, axis, keepdim, keepdims)
    return _Moment(tuple(dim) if isinstance(dim, list) else dim, keepdim, correction)


@composite(name="var", check=_reduces_moments)
def _var(input: Tensor, dim: Dim, keepdim: bool, correction: float) -> Tensor:
    """Variance over ``dim``, worked out in 32 bits at least."""
    if input.dtype.itemsize < float32.itemsize:
        return _var(input.to(float32), dim, keepdim, correction).to(input.dtype)
    deviations = sub(input, mean(input, dim, True))
    squares = square(abs(deviations) if input.dtype.is_complex else deviations)
    total = sum(squares, dim, keepdim)
    degrees = math.prod(input.shape[index] for index in _dims(input, dim)) - correction
    return div(total, degrees) if degrees > 0 else mul(total, math.inf)


@composite(name="std", check=_reduces_moments)
def _std(input: Tensor, dim: Dim, keepdim: bool, correction: float) -> Tensor:
    """Standard deviation over ``dim``."""
    return sqrt_flat_at_zero(_var(input, dim, keepdim, correction))


@composite(name="var_mean", check=_reduces_moments)
def _var_mean(input: Tensor, dim: Dim, keepdim: bool, correction: float) -> VarianceAndMean:
    """Variance and mean over ``dim``."""
    return VarianceAndMean(_var(input, dim, keepdim, correction), mean(input, dim, keepdim))


@composite(name="std_mean", check=_reduces_moments)
def _std_mean(input: Tensor, dim: Dim, keepdim: bool, correction: float) -> DeviationAndMean:
    """Standard deviation and mean over ``dim``."""
    return DeviationAndMean(_std(input, dim, keepdim, correction), mean(input, dim, keepdim))


@front("var")
def var(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Correction = None,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Variance over ``dim``: squared deviations summed and divided by ``n - correction`` (1 by default).

    ``unbiased``, alone also in the place of ``dim``, is PyTorch's older name: True for ``correction=1``, False for 0.
    Example: ``var([1., 3.]) -> 2.``

    Raises:
        ArgumentError: both ``unbiased`` and ``correction`` are given.
    """
    return _var(input, *_moment(dim, unbiased, keepdim, correction, axis, keepdims))


@front("std")
def std(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Correction = None,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Standard deviation over ``dim``, as :func:`var`; the gradient of a constant's is 0."""
    return _std(input, *_moment(dim, unbiased, keepdim, correction, axis, keepdims))


@front("var_mean")
def var_mean(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Correction = None,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> VarianceAndMean:
    """Variance and mean over ``dim``, as :func:`var` and :func:`mean`."""
    return _var_mean(input, *_moment(dim, unbiased, keepdim, correction, axis, keepdims))


@front("std_mean")
def std_mean(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Correction = None,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> DeviationAndMean:
    """Standard deviation and mean over ``dim``, as :func:`std` and :func:`mean`."""
    return _std_mean(input, *_moment(dim, unbiased, keepdim, correction, axis, keepdims))


def sqrt_flat_at_zero(input: Tensor) -> Tensor:
    """Square root whose gradient at 0 is 0."""
    zero = input == 0
    return where(zero, 0.0, sqrt(where(zero, 1.0, input)))


def _power_norm(magnitudes: Tensor, order: float, dim: Dim, keepdim: bool) -> Tensor:
    """``sum(m ** order) ** (1 / order)`` for magnitudes, with a gradient of 0 for elements and norms that are 0."""
    zero = magnitudes == 0
    of_zero = 0.0 if order > 0 else math.inf
    total = sum(where(zero, of_zero, pow(where(zero, 1.0, magnitudes), order)), dim, keepdim)
    limit = total == of_zero
    return where(limit, 0.0, pow(where(limit, 1.0, total), 1 / order))


@op(name="squared_magnitude")
def squared_magnitude(input: Tensor) -> Tensor:
    """``|input| ** 2``: real, also for complex elements, and smooth at 0."""


@composite(name="linalg_vector_norm", check=_measures)
def linalg_vector_norm(
    x: Tensor, ord: float = 2, dim: Dim = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Vector norm over ``dim``: ``sum(|x| ** ord) ** (1 / ord)``; ``ord`` may be 0, inf, -inf or negative.

    ``dtype`` converts first. The gradient of a norm that is 0 is 0. Example: ``vector_norm([3., 4.]) -> 5.``
    """
    if dtype is not None:
        x = x.to(dtype)
    if x.dtype.itemsize > 2:
        return _vector_norm(x, float(ord), dim, keepdim)
    return _vector_norm(x.to(float32), float(ord), dim, keepdim).to(x.dtype)  # 16 bits overflow when squared


def _vector_norm(x: Tensor, order: float, dim: Dim, keepdim: bool) -> Tensor:
    if order == 2:
        return sqrt_flat_at_zero(sum(squared_magnitude(x), dim, keepdim))
    magnitudes = abs(x)
    if order == 1:
        return sum(magnitudes, dim, keepdim)
    if math.isinf(order):
        return amax(magnitudes, dim, keepdim) if order > 0 else amin(magnitudes, dim, keepdim)
    if order == 0:
        return sum(ne(magnitudes, 0).to(magnitudes.dtype), dim, keepdim)
    return _power_norm(magnitudes, order, dim, keepdim)


# ---- extremes -----------------------------------------------------------------------------------------------------


@op(methods=("amax",), check=_reduces_some)
def amax(input: Tensor, dim: Dim = (), keepdim: bool = False) -> Tensor:
    """The largest element over ``dim``; NaN wins; ties share the gradient evenly."""


@op(methods=("amin",), check=_reduces_some)
def amin(input: Tensor, dim: Dim = (), keepdim: bool = False) -> Tensor:
    """The smallest element over ``dim``; NaN wins; ties share the gradient evenly."""


@op(methods=("argmax",), check=_reduces_some)
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Index (int32) of the largest element along ``dim``, the first of equals; in the flattened tensor for None."""


@op(methods=("argmin",), check=_reduces_some)
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Index (int32) of the smallest element along ``dim``, the first of equals; in the flattened tensor for None."""


@op(name="max", check=_selects)
def _max_along(input: Tensor, dim: int, keepdim: bool = False) -> ValuesAndIndices:
    """Largest elements along ``dim`` and their indices."""


@op(name="min", check=_selects)
def _min_along(input: Tensor, dim: int, keepdim: bool = False) -> ValuesAndIndices:
    """Smallest elements along ``dim`` and their indices."""


@front("max")
def max(
    input: Tensor,
    dim: int | Tensor | None = None,
    keepdim: bool = False,
    *,
    other: Tensor | None = None,
    axis: int | None = None,
    keepdims: bool | None = None,
) -> Any:
    """``max(x)``: the largest element; ``max(x, dim)``: (values, indices) along ``dim``; ``max(x, y)``: elementwise.

    Along a dimension the gradient goes to the selected index; over all elements ties share it evenly.
    Example: ``max([[1, 5], [7, 2]], 1) -> ValuesAndIndices([5, 7], [1, 0])``.
    """
    dim, keepdim = _chosen(dim, axis, keepdim, keepdims)
    if isinstance(dim, Tensor):
        return maximum(input, dim)
    if other is not None:
        return maximum(input, other)
    if dim is None:
        return amax(input)
    return _max_along(input, dim, keepdim)


@front("min")
def min(
    input: Tensor,
    dim: int | Tensor | None = None,
    keepdim: bool = False,
    *,
    other: Tensor | None = None,
    axis: int | None = None,
    keepdims: bool | None = None,
) -> Any:
    """``min(x)``: the smallest element; ``min(x, dim)``: (values, indices) along ``dim``; ``min(x, y)``: elementwise.

    Gradients as in :func:`max`. Example: ``min([[1, 5], [7, 2]], 1) -> ValuesAndIndices([1, 2], [0, 1])``.
    """
    dim, keepdim = _chosen(dim, axis, keepdim, keepdims)
    if isinstance(dim, Tensor):
        return minimum(input, dim)
    if other is not None:
        return minimum(input, other)
    if dim is None:
        return amin(input)
    return _min_along(input, dim, keepdim)


# ---- softmax and its kin ------------------------------------------------------------------------------------------


@op(methods=("logsumexp",), check=_reduces)
def logsumexp(input: Tensor, dim: Dim, keepdim: bool = False) -> Tensor:
    """``log(sum(exp(input)))`` over ``dim``, without overflow; of integers in the default float dtype."""


@op(methods=("softmax",), check=_normalizes)
def softmax(input: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """``exp(x) / sum(exp(x))`` along ``dim``, without overflow. Example: ``softmax([0., 0.], 0) -> [0.5, 0.5]``."""


@op(methods=("log_softmax",), check=_normalizes)
def log_softmax(input: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """``x - logsumexp(x)`` along ``dim``: the logarithm of :func:`softmax`, accurate where that is near 0."""


@composite(name="softmin", check=_normalizes)
def softmin(input: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """Softmax of ``-input`` along ``dim``; ``un.nn.functional.softmin`` is the public spelling."""
    return softmax(neg(input), dim, dtype)


# ---- orders -------------------------------------------------------------------------------------------------------


@op(methods=("sort",), check=_scans)
def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> ValuesAndIndices:
    """Sorted elements along ``dim`` and where they were (int32); equals keep their order, NaN counts as largest.

    Example: ``sort([3, 1, 2]) -> ValuesAndIndices([1, 2, 3], [1, 2, 0])``.
    """


@composite(methods=("argsort",), check=_scans)
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The indices of :func:`sort`."""
    return sort(input, dim, descending, stable).indices


@op(methods=("topk",), check=_takes_top)
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesAndIndices:
    """The ``k`` largest (or smallest) elements along ``dim``, in order, and their indices (int32)."""
