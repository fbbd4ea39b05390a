"""Norms of matrices, and distances between vectors.

Vector norms are with the reductions. Where a distance is 0 its gradient is 0, as in PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from unified._dispatch import composite, front
from unified._dtype import DType, Number, int32
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError, ShapeError
from unified.ops import _axes, _checks
from unified.ops.elementwise import abs, add, clamp, div, eq, gt, mul, stop_gradient, sub, where
from unified.ops.factorization import linalg_svdvals
from unified.ops.linalg import matmul
from unified.ops.reduction import Dim, amax, amin, any_empty, linalg_vector_norm, sqrt_flat_at_zero, sum
from unified.ops.shape import broadcast_tensors, movedim, transpose, unsqueeze

__all__ = ["cdist", "cosine_similarity", "dist", "norm", "pairwise_distance", "pdist", "renorm"]

Scalar = Number


# ---- what operands must satisfy --------------------------------------------------------------------------------


def _matrices(A: Any, *_: Any) -> None:  # noqa: N803
    if len(A.shape) < 2:
        raise ShapeError(f"takes matrices, not a tensor of shape {tuple(A.shape)}")
    _checks.floating(A)


def _measured_matrices(
    A: Any,  # noqa: N803
    ord: Any = "fro",
    dim: Any = (-2, -1),
    keepdim: bool = False,
    dtype: DType | None = None,
) -> None:
    _matrices(A)
    if isinstance(dim, int) or len(dim) != 2:
        raise ArgumentError(f"dim must name the two dimensions of the matrices, not {dim!r}")
    rows, columns = _axes.axes(dim, A.shape)
    if ord not in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf):
        raise ArgumentError(f"ord must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, not {ord!r}")
    if dtype is not None and not dtype.is_inexact:
        raise DTypeError(f"dtype must be floating point or complex, not {dtype.name}")
    if dtype is not None and A.dtype.is_complex and not dtype.is_complex:
        raise DTypeError(f"the norm of {A.dtype.name} elements takes a complex dtype, not {dtype.name}")
    unbounded = {-1: (columns,), -math.inf: (rows,), -2: (rows, columns)}
    if not isinstance(ord, str) and any_empty(A.shape, unbounded.get(ord, ())):
        raise ShapeError(f"matrices of shape {tuple(A.shape)} have no norm of order {ord}")


def _rows(x1: Any, x2: Any, p: float = 2.0, compute_mode: str | None = None) -> None:
    if len(x1.shape) < 2 or len(x2.shape) < 2:
        raise ShapeError(f"takes rows of matrices, not shapes {tuple(x1.shape)} and {tuple(x2.shape)}")
    if x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(f"rows of {x1.shape[-1]} and {x2.shape[-1]} elements have no distance")
    _checks.broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    for operand in (x1, x2):
        _real(operand)
    _checks.same_dtype(x1=x1, x2=x2)
    _nonnegative(p)
    if compute_mode not in _MODES:
        listed = ", ".join(repr(mode) for mode in _MODES)
        raise ArgumentError(f"compute_mode must be one of {listed}, not {compute_mode!r}")


def _rows_of_one(input: Any, p: float = 2.0) -> None:
    if len(input.shape) != 2:
        raise ShapeError(f"takes one matrix, not a tensor of shape {tuple(input.shape)}")
    _real(input)
    _nonnegative(p)


def _real(input: Any) -> None:
    if not input.dtype.is_floating_point:
        raise DTypeError(f"elements must be real floating point, not {input.dtype.name}")


def _nonnegative(p: float) -> None:
    if not p >= 0:
        raise ArgumentError(f"p must not be negative, but is {p}")


def _slices(input: Any, p: float, dim: int, maxnorm: Any) -> None:
    if len(input.shape) < 2:
        raise ShapeError(f"input must have at least two dimensions, not shape {tuple(input.shape)}")
    _axes.axis(dim, input.shape)
    _checks.floating(input)
    if not p > 0:
        raise ArgumentError(f"p must be positive, but is {p}")
    if isinstance(maxnorm, (int, float)) and maxnorm < 0:
        raise ArgumentError(f"maxnorm must not be negative, but is {maxnorm}")


def _alike(x1: Any, x2: Any, dim: int = 1, eps: Any = 0) -> None:
    shape = _checks.broadcast_shapes(x1.shape, x2.shape)
    _axes.axis(dim, shape)
    for operand in (x1, x2):
        _checks.floating(operand)


# ---- norms -----------------------------------------------------------------------------------------------------


@composite(name="linalg_matrix_norm", check=_measured_matrices)
def linalg_matrix_norm(
    A: Tensor,  # noqa: N803
    ord: float | str = "fro",
    dim: tuple[int, int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """Norm of the matrices in two dimensions.

    Args:
        A: real or complex; the result is real.
        ord: "fro" (root of the sum of squares), "nuc" (sum of the singular values), 2 and -2 (the largest and the
            smallest of them), 1 and -1 (of the columns' sums of magnitudes), inf and -inf (of the rows').
        dim: where the rows and the columns are.
        keepdim: whether the two dimensions stay, with length 1.
        dtype: converts first.

    Example: ``matrix_norm([[1., -2.], [3., 4.]], 1) -> 6.``
    """
    if dtype is not None:
        A = A.to(dtype)  # noqa: N806
    if ord == "fro":
        return linalg_vector_norm(A, 2, dim, keepdim)
    matrices = movedim(A, dim, (-2, -1))
    if ord in ("nuc", 2, -2):
        values = linalg_svdvals(matrices)
    else:
        values = linalg_vector_norm(matrices, 1, -2 if ord in (1, -1) else -1)
    if ord == "nuc" or not values.shape[-1]:  # the largest of none is 0
        result = sum(values, -1)
    else:
        result = amax(values, -1) if float(ord) > 0 else amin(values, -1)
    if keepdim:
        for index in sorted(_axes.axes(dim, A.shape)):
            result = unsqueeze(result, index)
    return result


@front()
def linalg_norm(
    A: Tensor,  # noqa: N803
    ord: float | str | None = None,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """A vector norm or a matrix norm: that of one dimension, or of two.

    Without ``ord`` the 2-norm of all elements in ``dim``; with ``ord`` and without ``dim`` the norm of a vector or of
    a matrix, as ``A`` is one. Orders as in ``linalg.vector_norm`` and ``linalg.matrix_norm``.

    Raises:
        ArgumentError: ``dim`` names more than two dimensions, or a vector norm has no such order.
        ShapeError: ``ord`` without ``dim`` for more than two dimensions.
    """
    if ord is None:
        return linalg_vector_norm(A, 2, dim, keepdim, dtype=dtype)
    if dim is None:
        if A.ndim not in (1, 2):
            raise ShapeError(f"linalg.norm: ord without dim takes a vector or a matrix, not shape {tuple(A.shape)}")
        dim = tuple(range(A.ndim))
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    if len(dims) == 1:
        order: Any = ord
        return linalg_vector_norm(A, order, dims, keepdim, dtype=dtype)
    if len(dims) != 2:
        raise ArgumentError(f"linalg.norm: dim names one dimension or two, not {dims}")
    return linalg_matrix_norm(A, ord, (dims[0], dims[1]), keepdim, dtype=dtype)


@front("norm")
def norm(
    input: Tensor,
    p: float | str | None = "fro",
    dim: Dim = None,
    keepdim: bool = False,
    dtype: DType | None = None,
    *,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Vector norm of order ``p`` over ``dim``; "fro" is 2, and "nuc" the sum of a matrix's singular values.

    Example: ``norm([3., 4.]) -> 5.``

    Raises:
        ArgumentError: ``p`` is another word.
    """
    dim = dim if axis is None else axis
    keepdim = keepdim if keepdims is None else keepdims
    if p == "nuc":
        rows, columns = (-2, -1) if dim is None else _pair(dim)
        return linalg_matrix_norm(input, "nuc", (rows, columns), keepdim, dtype=dtype)
    order: Any = 2.0 if p in (None, "fro") else p
    return linalg_vector_norm(input, order, dim, keepdim, dtype=dtype)


def _pair(dim: int | Sequence[int]) -> Sequence[int]:
    if isinstance(dim, int) or len(dim) != 2:
        raise ArgumentError(f"norm: 'nuc' takes the two dimensions of matrices, not dim={dim!r}")
    return dim


@composite(methods=("renorm",), inplace=True, check=_slices)
def renorm(input: Tensor, p: float, dim: int, maxnorm: Scalar) -> Tensor:
    """Slices of ``input`` along ``dim``, those whose ``p``-norm is above ``maxnorm`` scaled down to it.

    Example: ``renorm([[3., 4.], [0., 1.]], 2, 0, 1.) -> [[0.6, 0.8], [0., 1.]]``.
    """
    along = _axes.axis(dim, input.shape)
    others = tuple(index for index in range(input.ndim) if index != along)
    size = linalg_vector_norm(input, p, others, True)
    return mul(input, where(gt(size, maxnorm), div(maxnorm, add(size, 1e-7)), 1.0).to(size.dtype))


# ---- distances -------------------------------------------------------------------------------------------------


def _length(difference: Tensor, p: float) -> Tensor:
    """The ``p``-norm along the last dimension as PyTorch's distance kernels have it.

    Unlike a norm's, the gradient of the largest element goes whole to each of equals.
    """
    if not math.isinf(p):
        return linalg_vector_norm(difference, p, -1)
    magnitudes = abs(difference)
    if not difference.shape[-1]:
        return sum(magnitudes, -1)
    largest = stop_gradient(amax(magnitudes, -1))
    ties = eq(magnitudes, unsqueeze(largest, -1))
    return add(largest, sum(where(ties, sub(magnitudes, stop_gradient(magnitudes)), 0.0), -1))


_MODES = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")
_MANY_ROWS = 25  # from here on PyTorch's default multiplies matrices


@composite(check=_rows)
def cdist(
    x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary"
) -> Tensor:
    """``p``-norm distance of each row of ``x1`` to each of ``x2``: ``(..., n, d), (..., m, d) -> (..., n, m)``.

    Args:
        x1, x2: real; the leading dimensions broadcast.
        p: at least 0, or inf.
        compute_mode: whether Euclidean distances come out of one matrix product, which is faster and less exact:
            "use_mm_for_euclid_dist_if_necessary" (from 26 rows on), "use_mm_for_euclid_dist" or
            "donot_use_mm_for_euclid_dist".

    Example: ``cdist([[0., 0.]], [[3., 4.], [0., 1.]]) -> [[5., 1.]]``.
    """
    many = max(x1.shape[-2], x2.shape[-2]) > _MANY_ROWS
    if p == 2 and (compute_mode == _MODES[1] or (compute_mode == _MODES[0] and many)):
        squares = [sum(mul(x, x), -1, True) for x in (x1, x2)]
        product = matmul(x1, transpose(x2, -2, -1))
        total = sub(add(squares[0], transpose(squares[1], -2, -1)), mul(product, 2.0))
        return sqrt_flat_at_zero(clamp(total, min=0.0))
    return _length(sub(unsqueeze(x1, -2), unsqueeze(x2, -3)), float(p))


@composite(check=_rows_of_one)
def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """``p``-norm distances between the rows of a matrix: ``(n, d) -> (n (n - 1) / 2)``.

    In the order of rows (0, 1), (0, 2), ..., (1, 2), ... Example: ``pdist([[0.], [3.], [5.]]) -> [3., 5., 2.]``.
    """
    first, second = np.triu_indices(input.shape[0], 1)
    rows = [input.index_select(0, input.new_tensor(places, dtype=int32)) for places in (first, second)]
    return _length(sub(rows[0], rows[1]), float(p))


@composite(methods=("dist",))
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """``p``-norm of ``input - other``, broadcast, as one number. Example: ``dist([0., 0.], [3., 4.]) -> 5.``"""
    return linalg_vector_norm(sub(input, other), p)


@composite
def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: Scalar = 1e-6, keepdim: bool = False) -> Tensor:
    """``p``-norm of ``x1 - x2 + eps`` along the last dimension: ``(..., d), (..., d) -> (...)``."""
    return linalg_vector_norm(add(sub(x1, x2), eps), p, -1, keepdim)


@composite(check=_alike)
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: Scalar = 1e-8) -> Tensor:
    """``x1 . x2 / (max(|x1|, eps) max(|x2|, eps))`` along ``dim`` of the common shape.

    Example: ``cosine_similarity([1., 0.], [1., 1.], 0) -> 0.7071``.
    """
    directions = [_direction(x, dim, eps) for x in broadcast_tensors(x1, x2)]
    return sum(mul(directions[0], directions[1]), dim)


def _direction(x: Tensor, dim: int, eps: Scalar) -> Tensor:
    """``x`` over its length, or over ``eps`` if that is larger; the length's gradient does not know of ``eps``."""
    length = linalg_vector_norm(x, 2, dim, True)
    return div(x, add(length, stop_gradient(sub(clamp(length, min=eps), length))))
