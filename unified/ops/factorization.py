"""Factorizations of matrices, in the last two dimensions; the others are a batch.

Elements are float32, float64 or complex. Pivots and ``info`` are int32; pivots count from 1, as LAPACK's do. Where a
factor is determined up to signs or phases, a gradient is right for what does not depend on them.
"""

# ruff: noqa: N803, N806 - matrices have the capital letters of PyTorch's signatures
from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

from unified._dispatch import backends_by_type, composite, front, op, tracing
from unified._tensor import Tensor
from unified.errors import ArgumentError, OpError
from unified.ops import _matrix_checks as checks
from unified.ops.elementwise import add, mul, sub
from unified.ops.indexing import index_select, narrow
from unified.ops.linalg import matmul
from unified.ops.shape import cat, reshape, transpose, tril, triu, unsqueeze

__all__ = [
    "cholesky", "geqrf", "lu", "lu_unpack", "orgqr", "ormqr", "qr", "svd", "triangular_solve",
]  # fmt: skip


Result = TypeVar("Result", bound=tuple[Tensor, ...])


class TriangularSolution(NamedTuple):
    """What ``triangular_solve`` returns."""

    solution: Tensor
    cloned_coefficient: Tensor


class CholeskyAndInfo(NamedTuple):
    """What ``linalg.cholesky_ex`` returns."""

    L: Tensor
    info: Tensor


class PackedLU(NamedTuple):
    """What ``linalg.lu_factor`` returns: both factors in one matrix, and the row exchanges."""

    LU: Tensor
    pivots: Tensor


class PackedLUAndInfo(NamedTuple):
    """What ``linalg.lu_factor_ex`` returns."""

    LU: Tensor
    pivots: Tensor
    info: Tensor


class PLU(NamedTuple):
    """What ``linalg.lu`` and ``lu_unpack`` return: permutation, lower and upper factor."""

    P: Tensor
    L: Tensor
    U: Tensor


class PackedLDL(NamedTuple):
    """What ``linalg.ldl_factor`` returns."""

    LD: Tensor
    pivots: Tensor


class PackedLDLAndInfo(NamedTuple):
    """What ``linalg.ldl_factor_ex`` returns."""

    LD: Tensor
    pivots: Tensor
    info: Tensor


class QR(NamedTuple):
    """What ``linalg.qr`` and ``qr`` return."""

    Q: Tensor
    R: Tensor


class Reflectors(NamedTuple):
    """What ``geqrf`` returns: Householder vectors below ``R``, and their scales."""

    a: Tensor
    tau: Tensor


class Eigen(NamedTuple):
    """What ``linalg.eig`` and ``linalg.eigh`` return."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class SVDh(NamedTuple):
    """What ``linalg.svd`` returns; ``Vh`` is the adjoint of V."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class SVD(NamedTuple):
    """What ``svd``, ``svd_lowrank`` and ``pca_lowrank`` return."""

    U: Tensor
    S: Tensor
    V: Tensor


def checked(result: Result, check_errors: bool, message: str) -> Result:
    """``result`` with a field ``info``, whose values other than 0 are refused if ``check_errors``.

    A program has no values while it is traced: inside of one nothing is refused.

    Raises:
        OpError: with ``message``, and the place in a batch.
    """
    info: Tensor = result.info  # type: ignore[attr-defined]
    backend = backends_by_type[type(info._native)]
    if check_errors and tracing() is None and not backend.compiler.is_traced(info._native):
        codes = backend.to_numpy(info._native)
        if codes.any():
            place = tuple(int(index[0]) for index in codes.nonzero()) if codes.ndim else ()
            raise OpError(f"{message} (info {int(codes[place])}{f' at {place} of the batch' if place else ''})")
    return result


@op(name="conjugate_transpose")
def adjoint(input: Tensor) -> Tensor:
    """The conjugate transpose of each matrix."""


def identity(like: Tensor, rows: int, columns: int) -> Tensor:
    """Ones on the diagonal of a matrix of zeros, with the dtype, backend and device of ``like``."""
    return triu(tril(like.new_ones((rows, columns))))


# ---- triangular systems --------------------------------------------------------------------------------------------


def _triangular(A: Any, B: Any, upper: bool, left: bool = True, unitriangular: bool = False) -> None:
    checks.solved(A, B, left)


@op(check=_triangular)
def linalg_solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """``X`` of ``A @ X = B``, or ``X @ A = B`` if not ``left``, for triangular ``A``.

    The other triangle is not read, nor is the diagonal if ``unitriangular``: it counts as ones.
    """


@composite(methods=("triangular_solve",), check=lambda b, A, upper=True, transpose=False, *_: checks.solved(A, b))
def triangular_solve(
    b: Tensor, A: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> TriangularSolution:
    """PyTorch's older form of :func:`linalg_solve_triangular`: ``A @ X = b``, or ``A^T @ X = b`` if ``transpose``."""
    matrix = A.mT if transpose else A
    solution = linalg_solve_triangular(matrix, b, upper=upper is not transpose, unitriangular=unitriangular)
    return TriangularSolution(solution, A.clone())


# ---- Cholesky ------------------------------------------------------------------------------------------------------


@op(name="linalg_cholesky_ex", check=checks.square)
def _cholesky(A: Tensor, upper: bool) -> CholeskyAndInfo:
    """The factor and whether it exists."""


@front()
def linalg_cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> CholeskyAndInfo:
    """As :func:`linalg_cholesky` without raising; ``info`` is positive where a matrix is not positive definite."""
    return checked(_cholesky(A, upper), check_errors, "linalg.cholesky: a matrix is not positive definite")


@front()
def linalg_cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """The lower triangular ``L`` with ``A = L @ L^H``, or with ``upper`` its adjoint; reads one triangle of ``A``.

    Raises:
        OpError: a matrix is not positive definite.
    Example: ``linalg.cholesky([[4., 2.], [2., 5.]]) -> [[2., 0.], [1., 2.]]``.
    """
    return linalg_cholesky_ex(A, upper=upper, check_errors=True).L


@front("cholesky")
def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """PyTorch's older name of :func:`linalg_cholesky`."""
    return linalg_cholesky(input, upper=upper)


# ---- LU ------------------------------------------------------------------------------------------------------------


@op(name="linalg_lu_factor_ex", check=checks.pivoted)
def _lu(A: Tensor, pivot: bool) -> PackedLUAndInfo:
    """Both factors, the row exchanges, and the first pivot that is 0."""


@front()
def linalg_lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> PackedLUAndInfo:
    """As :func:`linalg_lu_factor`; ``info`` is k where the k-th pivot is exactly 0 and the first such, else 0."""
    return checked(_lu(A, pivot), check_errors, "linalg.lu_factor: a pivot is exactly 0")


@front()
def linalg_lu_factor(A: Tensor, *, pivot: bool = True) -> PackedLU:
    """``A (..., m, n) = P @ L @ U`` with row pivots, L below the diagonal of ``LU`` and U in the rest.

    ``pivots[i]`` is the row, counted from 1, that step i exchanged with row i.
    """
    return PackedLU(*_lu(A, pivot)[:2])


@front("lu")
def lu(
    A: Tensor, pivot: bool = True, get_infos: bool = False
) -> tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor]:
    """PyTorch's older name of :func:`linalg_lu_factor`; ``get_infos`` adds its ``info``."""
    packed, pivots, info = _lu(A, pivot)
    return (packed, pivots, info) if get_infos else (packed, pivots)


@op(name="lu_permutation")
def _permutation(pivots: Tensor, size: int) -> Tensor:
    """The order of ``size`` rows (int32, from 0) after the exchanges of ``pivots``."""


def permutation_matrix(pivots: Tensor, like: Tensor) -> Tensor:
    """``P`` of ``like = P @ L @ U``, in its dtype."""
    size = like.shape[-2]
    order = _permutation(pivots, size)
    rows = index_select(identity(like, size, size), 0, reshape(order, (-1,)))
    transposed = reshape(rows, (*order.shape, size))
    return transpose(transposed, -2, -1)


@composite(name="lu_unpack", check=checks.unpacked)
def _lu_unpack(LU_data: Tensor, LU_pivots: Tensor) -> PLU:
    """All three factors."""
    rows, columns = LU_data.shape[-2:]
    rank = min(rows, columns)
    left = narrow(LU_data, -1, 0, rank)
    lower = add(tril(left, -1), identity(LU_data, rows, rank))
    upper = triu(narrow(LU_data, -2, 0, rank))
    return PLU(permutation_matrix(LU_pivots, LU_data), lower, upper)


@front()
def lu_unpack(LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True) -> PLU:
    """The factors ``P``, ``L`` and ``U`` of what :func:`linalg_lu_factor` packs; those not asked for are empty."""
    P, L, U = _lu_unpack(LU_data, LU_pivots)
    nothing = LU_data.new_empty((0,))
    return PLU(P if unpack_pivots else nothing, L if unpack_data else nothing, U if unpack_data else nothing)


@composite(check=checks.pivoted)
def linalg_lu(A: Tensor, *, pivot: bool = True) -> PLU:
    """``A (..., m, n) = P @ L @ U``: a permutation, a unit lower and an upper triangular matrix."""
    packed, pivots, _ = _lu(A, pivot)
    return _lu_unpack(packed, pivots)


# ---- LDL -----------------------------------------------------------------------------------------------------------


@op(name="linalg_ldl_factor_ex", check=checks.square)
def _ldl(A: Tensor, hermitian: bool) -> PackedLDLAndInfo:
    """Both factors, the exchanges, and the first block of D that is singular."""


@front()
def linalg_ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False) -> PackedLDLAndInfo:
    """As :func:`linalg_ldl_factor`; ``info`` is k where the k-th element of D is exactly 0 and the first, else 0."""
    return checked(_ldl(A, hermitian), check_errors, "linalg.ldl_factor: a block of D is exactly singular")


@front()
def linalg_ldl_factor(A: Tensor, *, hermitian: bool = False) -> PackedLDL:
    """``A = P L D L^T P^T`` (``L^H`` if ``hermitian``), D of blocks of 1 and 2, by Bunch and Kaufman's pivots (1977).

    The packing is LAPACK's: D and the unit lower L share ``LD``, a negative pivot marks the rows of a 2x2 block.
    """
    return PackedLDL(*_ldl(A, hermitian)[:2])


# ---- QR and Householder reflectors ---------------------------------------------------------------------------------


def _has_mode(A: object, mode: str = "reduced", *_: object) -> None:
    checks.matrices(A)
    if mode not in ("reduced", "complete", "r"):
        raise ArgumentError(f"mode must be 'reduced', 'complete' or 'r', not {mode!r}")


@op(check=_has_mode)
def linalg_qr(A: Tensor, mode: str = "reduced") -> QR:
    """``A (..., m, n) = Q @ R``: orthonormal columns and an upper triangular matrix.

    ``mode`` "reduced" gives ``Q (..., m, k)``, ``R (..., k, n)`` for ``k = min(m, n)``; "complete" gives a square Q,
    differentiable where ``m <= n``; "r" gives R with an empty Q, without gradients.
    """


@front("qr")
def qr(input: Tensor, some: bool = True) -> QR:
    """PyTorch's older name of :func:`linalg_qr`; ``some=False`` is ``mode="complete"``."""
    return linalg_qr(input, "reduced" if some else "complete")


@op(methods=("geqrf",), check=checks.matrices)
def geqrf(input: Tensor) -> Reflectors:
    """A QR factorization as LAPACK packs it: R, below it the vectors of its reflectors, and their scales ``tau``."""


def _compact(input: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
    """V and T with ``H_1 ... H_k = I - V T V^H`` (Schreiber and Van Loan 1989).

    T is the inverse of ``diag(1 / tau) + striu(V^H V)`` (Puglisi 1992), written as ``D (I + striu(V^H V) D)^-1`` with
    ``D = diag(tau)``, which a tau of 0 does not trouble.
    """
    count = tau.shape[-1]
    vectors = add(tril(narrow(input, -1, 0, count), -1), identity(input, input.shape[-2], count))
    inner = mul(triu(matmul(adjoint(vectors), vectors), 1), unsqueeze(tau, -2))
    scales = mul(identity(input, count, count), unsqueeze(tau, -2))
    return vectors, linalg_solve_triangular(inner, scales, upper=True, left=False, unitriangular=True)


@composite(methods=("orgqr",), check=checks.reflectors)
def linalg_householder_product(input: Tensor, tau: Tensor) -> Tensor:
    """The first n columns of ``H_1 H_2 ... H_k``, where ``H_i = I - tau[i] v_i v_i^H``.

    ``v_i`` is column i of ``input (..., m, n)`` below the diagonal, with 1 on it and 0 above.
    """
    rows, columns = input.shape[-2:]
    vectors, inner = _compact(input, tau)
    top = adjoint(narrow(vectors, -2, 0, columns))
    return sub(identity(input, rows, columns), matmul(matmul(vectors, inner), top))


orgqr = linalg_householder_product


@composite(methods=("ormqr",), check=checks.reflected)
def ormqr(input: Tensor, tau: Tensor, other: Tensor, left: bool = True, transpose: bool = False) -> Tensor:
    """``Q @ other``, or ``other @ Q`` if not ``left``, with the square Q of :func:`geqrf`, or its adjoint."""
    vectors, inner = _compact(input, tau)
    inner = adjoint(inner) if transpose else inner
    if left:
        return sub(other, matmul(vectors, matmul(inner, matmul(adjoint(vectors), other))))
    return sub(other, matmul(matmul(matmul(other, vectors), inner), adjoint(vectors)))


# ---- eigenvalues ---------------------------------------------------------------------------------------------------


@op(check=checks.square)
def linalg_eig(A: Tensor) -> Eigen:
    """Eigenvalues in no particular order, and eigenvectors of norm 1 as columns; both complex.

    Gradients: Boeddeker et al. 2017, https://arxiv.org/abs/1701.00392.
    """


@composite(check=checks.square)
def linalg_eigvals(A: Tensor) -> Tensor:
    """The eigenvalues of :func:`linalg_eig`."""
    return linalg_eig(A).eigenvalues


def _has_triangle(A: object, UPLO: str = "L", *_: object) -> None:
    checks.square(A)
    if UPLO not in ("L", "U", "l", "u"):
        raise ArgumentError(f"UPLO must be 'L' or 'U', not {UPLO!r}")


@op(check=_has_triangle)
def linalg_eigh(A: Tensor, UPLO: str = "L") -> Eigen:
    """Real eigenvalues, ascending, and orthonormal eigenvectors of Hermitian matrices; reads the triangle ``UPLO``.

    Example: ``linalg.eigh([[2., 1.], [1., 2.]]).eigenvalues -> [1., 3.]``.
    """


@composite(check=_has_triangle)
def linalg_eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of :func:`linalg_eigh`."""
    return linalg_eigh(A, UPLO).eigenvalues


# ---- singular values -----------------------------------------------------------------------------------------------


@op(name="thin_svd", check=checks.matrices)
def thin_svd(A: Tensor) -> SVDh:
    """``U (..., m, k)``, ``S (..., k)`` and ``Vh (..., k, n)`` for ``k = min(m, n)``."""


def _completed(columns: Tensor) -> Tensor:
    """Orthonormal columns ``(..., m, k)`` with m - k more, which carry no gradient, as in PyTorch."""
    rows, count = columns.shape[-2:]
    if rows == count:
        return columns
    everything = linalg_qr(columns.detach(), "complete").Q
    return cat([columns, narrow(everything, -1, count, rows - count)], -1)


def _has_driver(A: object, full_matrices: bool = True, driver: str | None = None) -> None:
    checks.matrices(A)
    if driver is not None:
        raise ArgumentError(f"driver={driver!r} names a CUDA kernel; leave it out")


@composite(check=_has_driver)
def linalg_svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> SVDh:
    """``A (..., m, n) = U @ diag(S) @ Vh``: singular values descending, singular vectors orthonormal.

    ``full_matrices`` makes U and Vh square. Gradients are finite where singular values differ.
    """
    U, S, Vh = thin_svd(A)
    if not full_matrices:
        return SVDh(U, S, Vh)
    return SVDh(_completed(U), S, adjoint(_completed(adjoint(Vh))))


@composite(check=lambda A, driver=None: _has_driver(A, False, driver))
def linalg_svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """The singular values of :func:`linalg_svd`, descending."""
    return thin_svd(A).S


@composite(name="svd", check=checks.matrices)
def _svd(input: Tensor, some: bool = True) -> SVD:
    """:func:`linalg_svd` with V in place of its adjoint, thin if ``some``."""
    U, S, Vh = linalg_svd(input, not some)
    return SVD(U, S, adjoint(Vh))


@front("svd")
def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> SVD:
    """PyTorch's older form of :func:`linalg_svd`: returns V, not its adjoint; ``some=False`` makes both square.

    Without ``compute_uv`` U and V are zeros.
    """
    if compute_uv:
        return _svd(input, some)
    rows, columns = input.shape[-2:]
    zeros = (input.new_zeros((*input.shape[:-2], size, size)) for size in (rows, columns))
    return SVD(next(zeros), linalg_svdvals(input), next(zeros))
