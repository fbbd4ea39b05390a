"""Linear systems and functions of matrices, in the last two dimensions; the others are a batch."""

# ruff: noqa: N803, N806 - matrices have the capital letters of PyTorch's signatures
from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from unified._dispatch import composite, front, op
from unified._dtype import DType, complex64, complex128, float32, float64, int32
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError, ShapeError
from unified.ops import _checks
from unified.ops import _matrix_checks as checks
from unified.ops.elementwise import Operand, abs, div, eq, gt, log, maximum, mul, square, sub, where
from unified.ops.factorization import (
    adjoint,
    checked,
    identity,
    linalg_eigvalsh,
    linalg_qr,
    linalg_solve_triangular,
    linalg_svdvals,
    permutation_matrix,
)
from unified.ops.linalg import matmul
from unified.ops.reduction import amax, amin, linalg_vector_norm, sum
from unified.ops.shape import permute, reshape, squeeze, unsqueeze

__all__ = [
    "cholesky_inverse", "cholesky_solve", "det", "inverse", "logdet", "lu_solve", "matrix_exp", "matrix_power",
    "pinverse", "slogdet",
]  # fmt: skip


class InverseAndInfo(NamedTuple):
    """What ``linalg.inv_ex`` returns."""

    inverse: Tensor
    info: Tensor


class SolutionAndInfo(NamedTuple):
    """What ``linalg.solve_ex`` returns."""

    result: Tensor
    info: Tensor


class SignAndLogarithm(NamedTuple):
    """What ``linalg.slogdet`` returns: the determinant is ``sign * exp(logabsdet)``."""

    sign: Tensor
    logabsdet: Tensor


class LeastSquares(NamedTuple):
    """What ``linalg.lstsq`` returns; a field that the driver does not compute is empty."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


_REAL = {complex64: float32, complex128: float64}
_SINGULAR = "a matrix is singular"

# ---- systems with a factorization ----------------------------------------------------------------------------------


@composite(check=checks.factored)
def linalg_lu_solve(LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False) -> Tensor:
    """``X`` of ``A @ X = B`` for the ``A`` that :func:`linalg_lu_factor` factored; its adjoint's if ``adjoint``.

    Not ``left`` solves ``X @ A = B``.
    """
    if not left:
        return _adjoint(linalg_lu_solve(LU, pivots, _adjoint(B), adjoint=not adjoint))
    permutation = permutation_matrix(pivots, LU)
    if adjoint:
        inner = linalg_solve_triangular(_adjoint(LU), B, upper=False)
        return matmul(permutation, linalg_solve_triangular(_adjoint(LU), inner, upper=True, unitriangular=True))
    inner = linalg_solve_triangular(LU, matmul(permutation.mT, B), upper=False, unitriangular=True)
    return linalg_solve_triangular(LU, inner, upper=True)


_adjoint = adjoint  # where a parameter has the name


@front("lu_solve")
def lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """PyTorch's older form of :func:`linalg_lu_solve`."""
    return linalg_lu_solve(LU_data, LU_pivots, b)


@composite(methods=("cholesky_solve",), check=lambda B, L, *_: checks.solved(L, B))
def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """``X`` of ``A @ X = B`` for ``A = L @ L^H``, or ``A = L^H @ L`` if ``upper``."""
    lower = adjoint(L) if upper else L
    return linalg_solve_triangular(adjoint(lower), linalg_solve_triangular(lower, B, upper=False), upper=True)


@composite(methods=("cholesky_inverse",), check=checks.square)
def cholesky_inverse(L: Tensor, upper: bool = False) -> Tensor:
    """The inverse of ``A = L @ L^H``, or of ``L^H @ L`` if ``upper``."""
    return cholesky_solve(identity(L, L.shape[-1], L.shape[-1]), L, upper)


@op(check=lambda LD, pivots, B, *_: checks.factored(LD, pivots, B))
def linalg_ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False) -> Tensor:
    """``X`` of ``A @ X = B`` for the ``A`` that :func:`linalg_ldl_factor` factored."""


# ---- systems -------------------------------------------------------------------------------------------------------


@op(name="linalg_solve_ex", check=checks.solved_or_vector)
def _solve(A: Tensor, B: Tensor, left: bool, check_errors: bool) -> SolutionAndInfo:
    """The solution and the first pivot that is 0. With ``check_errors`` a native may raise by itself."""


@front()
def linalg_solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> SolutionAndInfo:
    """As :func:`linalg_solve`; ``info`` is k where the k-th pivot is exactly 0 and the first such, else 0."""
    return checked(_solve(A, B, left, check_errors), check_errors, f"linalg.solve: {_SINGULAR}")


@front()
def linalg_solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """``X`` of ``A @ X = B`` for ``A (..., n, n)`` and ``B (..., n, k)``, or of ``X @ A = B`` if not ``left``.

    ``B`` is a vector, or a batch of them, if it has one dimension or the shape ``A.shape[:-1]``.

    Raises:
        OpError: a matrix is singular.
    Example: ``linalg.solve([[2., 0.], [0., 4.]], [2., 2.]) -> [1., 0.5]``.
    """
    return linalg_solve_ex(A, B, left=left, check_errors=True).result


@op(name="linalg_inv_ex", check=checks.square)
def _inverse(A: Tensor, check_errors: bool) -> InverseAndInfo:
    """The inverse and the first pivot that is 0. With ``check_errors`` a native may raise by itself."""


@front()
def linalg_inv_ex(A: Tensor, *, check_errors: bool = False) -> InverseAndInfo:
    """As :func:`linalg_inv`; ``info`` is k where the k-th pivot is exactly 0 and the first such, else 0."""
    return checked(_inverse(A, check_errors), check_errors, f"linalg.inv: {_SINGULAR}")


@front("inverse")
def linalg_inv(A: Tensor) -> Tensor:
    """The inverse of square matrices.

    Raises:
        OpError: a matrix is singular.
    """
    return linalg_inv_ex(A, check_errors=True).inverse


inverse = linalg_inv


def _tensor_of_matrices(A: Any, ind: int = 2) -> None:
    if not isinstance(ind, int) or ind < 1:
        raise ArgumentError(f"ind must be a positive int, not {ind!r}")
    if math.prod(A.shape[:ind]) != math.prod(A.shape[ind:]):
        raise ShapeError(f"the first {ind} dimensions of {tuple(A.shape)} must have as many elements as the others")


@composite(check=_tensor_of_matrices)
def linalg_tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse of ``tensordot(A, ., ind)``: ``A``'s first ``ind`` dimensions become the last.

    Example: shapes ``(4, 6, 8, 3)`` with ``ind=2`` ``-> (8, 3, 4, 6)``.
    """
    size = math.prod(A.shape[:ind])
    return reshape(linalg_inv(reshape(A, (size, size))), (*A.shape[ind:], *A.shape[:ind]))


def _moved_last(A: Any, dims: Sequence[int] | None) -> tuple[int, ...]:
    """The order of ``A``'s dimensions with ``dims`` at the end."""
    rank = len(A.shape)
    last = [dim % rank for dim in dims or ()]
    return (*(dim for dim in range(rank) if dim not in last), *last)


def _tensor_system(A: Any, B: Any, dims: Sequence[int] | None = None) -> None:
    shape = [A.shape[dim] for dim in _moved_last(A, dims)]
    if math.prod(shape[len(B.shape) :]) != math.prod(B.shape):
        raise ShapeError(
            f"A {tuple(A.shape)} must have {math.prod(B.shape)} elements, as B {tuple(B.shape)} has, "
            f"beyond its first {len(B.shape)} dimensions"
        )
    _checks.same_dtype(A=A, B=B)


@composite(check=_tensor_system)
def linalg_tensorsolve(A: Tensor, B: Tensor, dims: Sequence[int] | None = None) -> Tensor:
    """``X`` of ``tensordot(A, X, X.ndim) = B``, after ``A``'s ``dims`` have moved to its end."""
    moved = permute(A, _moved_last(A, dims))
    size = math.prod(B.shape)
    solution = linalg_solve(reshape(moved, (size, size)), reshape(B, (size,)))
    return reshape(solution, moved.shape[len(B.shape) :])


# ---- least squares, pseudo-inverse, rank and condition ------------------------------------------------------------


@op(name="linalg_pinv", check=lambda A, atol, rtol, hermitian: (checks.square if hermitian else checks.matrices)(A))
def _pinv(A: Tensor, atol: Operand | None, rtol: Operand | None, hermitian: bool) -> Tensor:
    """The Moore-Penrose inverse. Gradients: Golub and Pereyra 1973, https://doi.org/10.1137/0710036."""


@front()
def linalg_pinv(
    A: Tensor,
    rcond: float | Tensor | None = None,
    hermitian: bool = False,
    *,
    atol: float | Tensor | None = None,
    rtol: float | Tensor | None = None,
) -> Tensor:
    """The Moore-Penrose inverse ``(..., n, m)`` of ``A (..., m, n)``.

    Singular values up to ``max(atol, rtol * largest)`` count as 0; each is a number or a Tensor of the batch's shape.
    ``rtol`` is 0 if ``atol`` is positive, else ``max(m, n)`` times the dtype's epsilon. ``rcond`` is an older name of
    it. ``hermitian`` takes ``A`` as Hermitian.
    """
    return _pinv(A, atol, rcond if rtol is None else rtol, hermitian)


@front("pinverse")
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """PyTorch's older form of :func:`linalg_pinv`."""
    return linalg_pinv(input, rcond)


def _tolerance(largest: Tensor, A: Tensor, atol: Operand | None, rtol: Operand | None) -> Tensor:
    """``max(atol, rtol * largest)`` with the defaults of :func:`linalg_pinv`."""
    smallest = float(np.finfo(largest.dtype.numpy).eps) * max(A.shape[-2:])
    if rtol is None:
        rtol = smallest if atol is None else where(gt(largest * 0 + atol, 0), 0.0, smallest)
    relative = mul(largest, rtol)
    return relative if atol is None else maximum(relative, largest * 0 + atol)


@composite(name="linalg_matrix_rank", check=lambda A, *_: checks.matrices(A))
def _matrix_rank(A: Tensor, atol: Operand | None, rtol: Operand | None, hermitian: bool) -> Tensor:
    """How many singular values exceed the tolerance."""
    values = abs(linalg_eigvalsh(A)) if hermitian else linalg_svdvals(A)
    if not values.shape[-1]:
        return sum(gt(values, 0), -1)
    bound = _tolerance(amax(values, -1), A, atol, rtol)
    return sum(gt(values, unsqueeze(bound, -1)), -1)


@front()
def linalg_matrix_rank(
    A: Tensor,
    tol: float | Tensor | None = None,
    hermitian: bool = False,
    *,
    atol: float | Tensor | None = None,
    rtol: float | Tensor | None = None,
) -> Tensor:
    """How many singular values (int32) exceed ``max(atol, rtol * largest)``, as in :func:`linalg_pinv`.

    ``tol`` is an absolute tolerance alone.
    """
    if tol is not None:
        return _matrix_rank(A, tol, 0.0, hermitian)
    return _matrix_rank(A, atol, rtol, hermitian)


_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


def _least_squares(A: Any, B: Any, rcond: Any = None, driver: str | None = None) -> None:
    checks.matrices(A)
    _checks.same_dtype(A=A, B=B)
    if driver not in (None, *_DRIVERS):
        raise ArgumentError(f"driver must be one of {_DRIVERS}, not {driver!r}")
    if not B.shape or B.shape[-1 if checks.is_vector(A, B) else -2] != A.shape[-2]:
        raise ShapeError(f"right-hand sides {tuple(B.shape)} do not fit matrices {tuple(A.shape)}")


@composite(check=_least_squares)
def linalg_lstsq(A: Tensor, B: Tensor, rcond: Operand | None = None, *, driver: str | None = None) -> LeastSquares:
    """``X`` of least norm among those that minimise the norm of each column of ``A @ X - B``.

    ``driver`` "gels" takes ``A`` as of full rank; the others ("gelsy" by default) treat singular values up to
    ``rcond`` (``max(m, n)`` times the epsilon) times the largest as 0 and give the rank, "gelsd" and "gelss" the
    singular values as well. The squared norms of the columns are there where m > n and the driver is not "gelsy";
    where the rank turns out smaller than n, PyTorch leaves them out, and they are here.
    """
    driver = driver or "gelsy"
    vector = checks.is_vector(A, B)
    right = unsqueeze(B, -1) if vector else B
    rows, columns = A.shape[-2:]
    solution = _full_rank_solution(A, right) if driver == "gels" else matmul(_pinv(A, None, rcond, False), right)
    residuals = singular_values = A.new_zeros((0,), dtype=_real(A.dtype))
    rank = residuals.to(int32)
    if rows > columns and driver != "gelsy":
        residuals = sum(square(abs(sub(matmul(A, solution), right))), -2)
    if driver != "gels":
        rank = _matrix_rank(A, None, rcond, False)
    if driver in ("gelsd", "gelss"):
        singular_values = linalg_svdvals(A)
    return LeastSquares(squeeze(solution, -1) if vector else solution, residuals, rank, singular_values)


def _full_rank_solution(A: Tensor, B: Tensor) -> Tensor:
    if A.shape[-2] >= A.shape[-1]:
        Q, R = linalg_qr(A)
        return linalg_solve_triangular(R, matmul(adjoint(Q), B), upper=True)
    Q, R = linalg_qr(adjoint(A))
    return matmul(Q, linalg_solve_triangular(adjoint(R), B, upper=False))


_NORMS = (None, "fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)


def _has_condition(A: Any, p: Any = None) -> None:
    if p not in _NORMS:
        raise ArgumentError(f"p must be one of {_NORMS}, not {p!r}")
    (checks.matrices if p in (None, 2, -2) else checks.square)(A)


def _real(dtype: DType) -> DType:
    return _REAL.get(dtype, dtype)


def _norm(A: Tensor, p: float | str) -> Tensor:
    """A norm of each matrix."""
    if p == "fro":
        return linalg_vector_norm(A, 2, (-2, -1))
    if p == "nuc":
        return sum(linalg_svdvals(A), -1)
    assert isinstance(p, (int, float))
    totals = sum(abs(A), -1 if math.isinf(p) else -2)
    return amax(totals, -1) if p > 0 else amin(totals, -1)


@composite(check=_has_condition)
def linalg_cond(A: Tensor, p: float | str | None = None) -> Tensor:
    """The condition number ``norm(A, p) * norm(inv(A), p)``; ``p`` None and 2 are the largest over the smallest
    singular value, -2 its reciprocal. Singular matrices have an infinite one.
    """
    if not math.prod(A.shape[-2:]):
        nothing: Tensor = A.new_zeros(A.shape[:-2], dtype=_real(A.dtype))
        return nothing
    if p in (None, 2, -2):
        values = linalg_svdvals(A)
        largest, smallest = values[..., 0], values[..., -1]
        return div(smallest, largest) if p == -2 else div(largest, smallest)
    assert p is not None
    inverse, info = _inverse(A, False)
    return where(eq(info, 0), mul(_norm(A, p), _norm(inverse, p)), math.inf)


# ---- determinants --------------------------------------------------------------------------------------------------


@op(methods=("det",), check=checks.square)
def linalg_det(A: Tensor) -> Tensor:
    """The determinant; its gradient is the adjugate's, also where a matrix is singular."""


det = linalg_det


@op(methods=("slogdet",), check=checks.square)
def linalg_slogdet(A: Tensor) -> SignAndLogarithm:
    """The determinant's sign (of modulus 1 if complex; 0 for a singular matrix) and the logarithm of its modulus."""


slogdet = linalg_slogdet


@composite(methods=("logdet",), check=checks.square)
def logdet(A: Tensor) -> Tensor:
    """The logarithm of the determinant: NaN where that is negative, -inf where it is 0."""
    sign, logarithm = linalg_slogdet(A)
    if A.dtype.is_complex:
        return log(sign) + logarithm
    return where(eq(sign, -1.0), math.nan, logarithm)


# ---- powers and exponentials ---------------------------------------------------------------------------------------


@composite(methods=("matrix_power",), check=checks.square)
def linalg_matrix_power(A: Tensor, n: int) -> Tensor:
    """``A`` times itself ``n`` times, by repeated squaring; powers of the inverse for a negative ``n``."""
    if n == 0:
        return A * 0 + identity(A, A.shape[-1], A.shape[-1])
    factor = linalg_inv(A) if n < 0 else A
    result, left = None, builtins.abs(n)
    while True:
        if left % 2:
            result = factor if result is None else matmul(result, factor)
        left //= 2
        if not left:
            assert result is not None
            return result
        factor = matmul(factor, factor)


matrix_power = linalg_matrix_power


def _exponentiates(A: Any) -> None:
    if not A.dtype.is_inexact:
        raise DTypeError(f"needs floating-point elements, not {A.dtype.name}; convert with x.to(un.float32)")
    if len(A.shape) < 2 or A.shape[-1] != A.shape[-2]:
        raise ShapeError(f"needs square matrices (..., n, n), but the shape is {tuple(A.shape)}")


@op(methods=("matrix_exp",), check=_exponentiates)
def matrix_exp(A: Tensor) -> Tensor:
    """The exponential ``I + A + A^2 / 2 + A^3 / 6 + ...`` of square matrices."""
