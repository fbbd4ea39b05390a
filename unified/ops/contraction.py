"""Products of tensors beyond the plain matrix product."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from unified._dispatch import composite, front, op
from unified._dtype import Number, promote_types
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError, ShapeError
from unified.ops import _axes, _checks
from unified.ops.creation import ones_like
from unified.ops.elementwise import mul, sub
from unified.ops.linalg import fits_into, matmul, outer, precise, weighted
from unified.ops.reduction import cumprod, sum
from unified.ops.shape import broadcast_tensors, cat, diagonal, expand, permute, reshape, roll, unsqueeze

__all__ = ["addbmm", "addr", "cross", "inner", "kron", "tensordot", "trace", "vdot"]

Scalar = Number


# ---- what operands must satisfy --------------------------------------------------------------------------------


def _vectors(input: Any, other: Any) -> None:
    if len(input.shape) != 1 or len(other.shape) != 1:
        raise ShapeError(f"operands must be vectors, not of shapes {tuple(input.shape)} and {tuple(other.shape)}")
    if input.shape[0] != other.shape[0]:
        raise ShapeError(f"vectors of {input.shape[0]} and {other.shape[0]} elements have no product")
    _checks.same_dtype(input=input, other=other)


def _along(x: Any, y: Any, dim: int = -1) -> None:
    shape = _checks.broadcast_shapes(x.shape, y.shape)
    _axes.axis(dim, shape)
    if not shape:
        raise ShapeError("operands must have at least one dimension; multiply scalars with *")
    _checks.same_dtype(x=x, y=y)
    _checks.floating(x)


def _last_dims(input: Any, other: Any) -> None:
    if input.shape and other.shape and input.shape[-1] != other.shape[-1]:
        raise ShapeError(
            f"the last dimensions of shapes {tuple(input.shape)} and {tuple(other.shape)} must have one length"
        )
    if input.shape and other.shape:
        _checks.same_dtype(input=input, other=other)


def _batches(input: Any, batch1: Any, batch2: Any, *_: Any) -> None:
    if len(batch1.shape) != 3 or len(batch2.shape) != 3 or batch1.shape[0] != batch2.shape[0]:
        raise ShapeError(
            f"batch1 {tuple(batch1.shape)} and batch2 {tuple(batch2.shape)} must have three dimensions and one "
            "number of matrices"
        )
    _checks.matmul(batch1, batch2)
    fits_into(input, (batch1.shape[1], batch2.shape[2]))
    _checks.same_dtype(input=input, batch1=batch1, batch2=batch2)


def _adds_outer(input: Any, vec1: Any, vec2: Any, beta: Any, alpha: Any) -> None:
    if len(vec1.shape) != 1 or len(vec2.shape) != 1:
        raise ShapeError(f"vec1 and vec2 must be vectors, not of shapes {tuple(vec1.shape)} and {tuple(vec2.shape)}")
    fits_into(input, (vec1.shape[0], vec2.shape[0]))
    for name, factor in (("beta", beta), ("alpha", alpha)):
        real = isinstance(factor, float) or (hasattr(factor, "dtype") and factor.dtype.is_inexact)
        if real and not any(operand.dtype.is_inexact for operand in (input, vec1, vec2)):
            raise DTypeError(f"{name} must be an int for {input.dtype.name} elements, not a float")


def _contracted(input: Any, other: Any, dims_self: Sequence[int], dims_other: Sequence[int]) -> None:
    first, second = _axes.axes(dims_self, input.shape), _axes.axes(dims_other, other.shape)
    if len(first) != len(second):
        raise ArgumentError(f"dims {tuple(dims_self)} and {tuple(dims_other)} must be equally many")
    for one, two in zip(first, second, strict=True):
        lengths = input.shape[one], other.shape[two]
        if lengths[0] != lengths[1] and 1 not in lengths:
            raise ShapeError(
                f"dimension {one} of {tuple(input.shape)} and dimension {two} of {tuple(other.shape)} are summed "
                "over together, but their lengths differ"
            )
    _checks.same_dtype(input=input, other=other)


def _crossed(input: Any, other: Any, dim: int = -1) -> None:
    if len(input.shape) != len(other.shape):
        raise ShapeError(
            f"operands must have the same number of dimensions, not {tuple(input.shape)} and {tuple(other.shape)}"
        )
    along = _axes.axis(dim, input.shape)
    if not input.shape or input.shape[along] != 3 or other.shape[along] != 3:
        raise ShapeError(
            f"dimension {dim} of shapes {tuple(input.shape)} and {tuple(other.shape)} must have length 3"
        )
    _checks.broadcast_shapes(input.shape, other.shape)


def _chain(tensors: Sequence[Any]) -> None:
    if len(tensors) < 2:
        raise ArgumentError(f"a chain has at least two matrices, not {len(tensors)}")
    for index, tensor in enumerate(tensors):
        rank = len(tensor.shape)
        if rank != 2 and not (rank == 1 and index in (0, len(tensors) - 1)):
            raise ShapeError(
                f"tensor {index} must be a matrix (or, first or last, a vector), but its shape is "
                f"{tuple(tensor.shape)}"
            )
    for one, two in itertools.pairwise(tensors):
        _checks.matmul(one, two)


def _matrix(input: Any) -> None:
    if len(input.shape) != 2:
        raise ShapeError(f"takes a matrix, not a tensor of shape {tuple(input.shape)}")


def _powers(x: Any, N: int | None = None) -> None:  # noqa: N803
    count = (x.shape[-1] if x.shape else 1) if N is None else N
    if count <= 1:
        raise ArgumentError(f"the number of powers N must be greater than 1, not {count}")


# ---- vectors ---------------------------------------------------------------------------------------------------


@op(name="conjugate_dot")
def conjugate_dot(x: Tensor, y: Tensor, dim: int) -> Tensor:
    """``sum(conj(x) * y)`` along ``dim``, in the operands' dtype."""


@composite(name="linalg_vecdot", check=_along)
def linalg_vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """``sum(conj(x) * y)`` along ``dim``, the other dimensions broadcast. Example: ``(n, 3), (n, 3) -> (n)``."""
    return conjugate_dot(x, y, dim)


@composite(methods=("vdot",), check=_vectors)
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """``sum(conj(input) * other)`` of two vectors: ``(n), (n) -> ()``."""
    return conjugate_dot(input, other, 0)


@composite(methods=("inner",), check=_last_dims)
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sum of the products along the last dimensions: ``(..., k), (***, k) -> (..., ***)``; a scalar multiplies."""
    if not input.ndim or not other.ndim:
        return mul(input, other)
    return _tensordot(input, other, (-1,), (-1,))


@composite(name="linalg_cross", check=_crossed)
def linalg_cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """Cross product of vectors of three elements along ``dim``; the other dimensions broadcast.

    Example: ``cross([1., 0., 0.], [0., 1., 0.]) -> [0., 0., 1.]``.
    """
    first, second = broadcast_tensors(input, other)
    ahead = mul(roll(first, -1, dim), roll(second, -2, dim))
    return sub(ahead, mul(roll(first, -2, dim), roll(second, -1, dim)))


@front("cross")
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """:func:`linalg.cross <unified.linalg.cross>` along ``dim``, by default the first dimension of length 3.

    Raises:
        ShapeError: no dimension has length 3.
    """
    if dim is None:
        dim = next((index for index, length in enumerate(input.shape) if length == 3), None)
        if dim is None:
            raise ShapeError(f"cross: no dimension of shape {tuple(input.shape)} has length 3")
    return linalg_cross(input, other, dim=dim)


@composite(methods=("addr",), inplace=True, check=_adds_outer)
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
    """``beta * input + alpha * outer(vec1, vec2)``; ``input`` broadcasts to ``(n, m)``."""
    dtype = promote_types(input.dtype, promote_types(vec1.dtype, vec2.dtype))
    return weighted(input.to(dtype), beta, outer(precise(vec1.to(dtype)), precise(vec2.to(dtype))), alpha)


# ---- matrices --------------------------------------------------------------------------------------------------


@composite(methods=("addbmm",), inplace=True, check=_batches)
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
    """``beta * input + alpha * sum(batch1 @ batch2, 0)``: ``(b, n, k), (b, k, m) -> (n, m)``."""
    return weighted(input, beta, _tensordot(precise(batch1), precise(batch2), (0, 2), (0, 1)), alpha)


@composite(methods=("trace",), check=_matrix)
def trace(input: Tensor) -> Tensor:
    """Sum of a matrix's diagonal. Example: ``trace([[1., 2.], [3., 4.]]) -> 5.``"""
    return sum(diagonal(input))


def linalg_diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:  # noqa: N803
    """The diagonal of each matrix in the last two dimensions. Example: ``(b, 3, 4) -> (b, 3)``."""
    return diagonal(A, offset, dim1, dim2)


@composite(name="linalg_vander", check=_powers)
def linalg_vander(x: Tensor, *, N: int | None = None) -> Tensor:  # noqa: N803
    """Powers 0 to ``N - 1`` (``n - 1`` by default) of each element: ``(..., n) -> (..., n, N)``.

    Example: ``vander([2, 3]) -> [[1, 2], [1, 3]]``.
    """
    column = reshape(x, (1, 1)) if not x.ndim else unsqueeze(x, -1)
    count = column.shape[-2] if N is None else N
    repeated = expand(column, (*column.shape[:-1], count - 1))
    return cumprod(cat([ones_like(column), repeated], -1), -1)


def _best_splits(lengths: Sequence[int]) -> dict[tuple[int, int], int]:
    """Where to cut each stretch of a chain of matrices ``lengths[i] x lengths[i + 1]``, by dynamic programming.

    Cormen et al., Introduction to Algorithms, section 15.2.
    """
    count = len(lengths) - 1
    cost = {(i, i): 0 for i in range(count)}
    splits = {}
    for span in range(1, count):
        for start in range(count - span):
            end = start + span
            outside = lengths[start] * lengths[end + 1]
            cost[start, end], splits[start, end] = min(
                (cost[start, cut] + cost[cut + 1, end] + outside * lengths[cut + 1], cut) for cut in range(start, end)
            )
    return splits


@composite(name="linalg_multi_dot", check=_chain)
def linalg_multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """Product of a chain of matrices in the order that multiplies least; the first and last may be vectors.

    Example: shapes ``(10, 100), (100, 5), (5, 50) -> (10, 50)``, the first two multiplied first.
    """
    chain = list(tensors)
    row, column = chain[0].ndim == 1, chain[-1].ndim == 1
    if row:
        chain[0] = unsqueeze(chain[0], 0)
    if column:
        chain[-1] = unsqueeze(chain[-1], 1)
    splits = _best_splits([chain[0].shape[0], *[matrix.shape[1] for matrix in chain]])

    def product(start: int, end: int) -> Tensor:
        if start == end:
            return chain[start]
        cut = splits[start, end]
        return matmul(product(start, cut), product(cut + 1, end))

    result = product(0, len(chain) - 1)
    kept = result.shape[int(row) : 1 if column else 2]
    return reshape(result, tuple(kept)) if row or column else result


# ---- tensors ---------------------------------------------------------------------------------------------------


@composite(name="tensordot", check=_contracted)
def _tensordot(input: Tensor, other: Tensor, dims_self: tuple[int, ...], dims_other: tuple[int, ...]) -> Tensor:
    """Sum over pairs of dimensions, as one matrix product."""
    first, second = _axes.axes(dims_self, input.shape), _axes.axes(dims_other, other.shape)
    for one, two in zip(first, second, strict=True):  # a length of 1 is broadcast: the other's sum meets it
        if input.shape[one] != other.shape[two]:
            if input.shape[one] == 1:
                other = sum(other, two, True).to(other.dtype)
            else:
                input = sum(input, one, True).to(input.dtype)
    rows = tuple(index for index in range(input.ndim) if index not in first)
    columns = tuple(index for index in range(other.ndim) if index not in second)
    count = math.prod(input.shape[index] for index in first)
    height = tuple(input.shape[index] for index in rows)
    width = tuple(other.shape[index] for index in columns)
    left = reshape(permute(input, (*rows, *first)), (math.prod(height), count))
    right = reshape(permute(other, (*second, *columns)), (count, math.prod(width)))
    return reshape(matmul(left, right), (*height, *width))


def tensordot(a: Tensor, b: Tensor, dims: int | Sequence[Sequence[int]] | Tensor = 2) -> Tensor:
    """Sum of the products over dimensions of ``a`` and ``b``: the last ``dims`` of ``a`` with the first of ``b``.

    ``dims`` may also list them: ``tensordot(a, b, ([1], [0]))`` is ``a @ b`` for matrices.

    Raises:
        ArgumentError: ``dims`` is negative, or more than there are.
        ShapeError: lengths that are summed together differ.
    """
    listed: Any = dims.tolist() if isinstance(dims, Tensor) else dims
    if isinstance(listed, int):
        if not 0 <= listed <= min(a.ndim, b.ndim):
            raise ArgumentError(f"tensordot: dims must lie in [0, {min(a.ndim, b.ndim)}], not {listed}")
        listed = range(a.ndim - listed, a.ndim), range(listed)
    first, second = ((dim,) if isinstance(dim, int) else tuple(dim) for dim in listed)
    return _tensordot(a, b, first, second)


@composite(methods=("kron",))
def kron(input: Tensor, other: Tensor) -> Tensor:
    """Kronecker product: each element of ``input`` times ``other``, side by side: ``(n, m), (k, l) -> (nk, ml)``."""
    rank = max(input.ndim, other.ndim)
    first = (*[1] * (rank - input.ndim), *input.shape)
    second = (*[1] * (rank - other.ndim), *other.shape)
    spread = reshape(input, tuple(length for pair in zip(first, [1] * rank, strict=True) for length in pair))
    tile = reshape(other, tuple(length for pair in zip([1] * rank, second, strict=True) for length in pair))
    return reshape(mul(spread, tile), tuple(one * two for one, two in zip(first, second, strict=True)))
