"""Singular values and vectors by random projection."""

# ruff: noqa: N803, N806 - matrices have the capital letters of PyTorch's signatures
from __future__ import annotations

from unified._dispatch import composite, front
from unified._dtype import float32
from unified._tensor import Tensor
from unified.errors import ArgumentError
from unified.ops import _matrix_checks
from unified.ops.elementwise import sub
from unified.ops.factorization import SVD, adjoint, linalg_qr, linalg_svd
from unified.ops.linalg import matmul
from unified.ops.reduction import mean
from unified.random.generator import default_generator
from unified.random.sampling import randn


@composite(name="svd_lowrank", check=_matrix_checks.matrices)
def _svd_lowrank(A: Tensor, directions: Tensor, niter: int) -> SVD:
    """Algorithm 5.1 of Halko et al. 2009, https://arxiv.org/abs/0909.4061, over the range found by its 4.4."""
    wide = A.shape[-2] < A.shape[-1]
    A = adjoint(A) if wide else A
    basis = linalg_qr(matmul(A, directions.to(A.dtype))).Q
    for _ in range(niter):
        basis = linalg_qr(matmul(adjoint(A), basis)).Q
        basis = linalg_qr(matmul(A, basis)).Q
    U, S, Vh = linalg_svd(matmul(adjoint(basis), A), False)
    U, V = matmul(basis, U), adjoint(Vh)
    return SVD(V, S, U) if wide else SVD(U, S, V)


@front("svd_lowrank")
def svd_lowrank(A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None) -> SVD:
    """The ``q`` (6 if None) largest singular values of ``A - M`` and their vectors, approximately.

    ``niter`` (2 if None) subspace iterations start from directions drawn by the default generator.
    """
    _matrix_checks.matrices(A)
    size = (min(A.shape[-2:]), 6 if q is None else q)
    directions = randn(size, generator=default_generator(A.backend), dtype=float32)
    return _svd_lowrank(A if M is None else sub(A, M), directions, 2 if niter is None else niter)


@front()
def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> SVD:
    """Principal components of the rows of ``A (..., m, n)`` by :func:`svd_lowrank`.

    ``q`` is ``min(6, m, n)`` if None; ``center`` takes each column's mean off first.

    Raises:
        ArgumentError: ``q`` is not between 0 and ``min(m, n)``, or ``niter`` is negative.
    """
    _matrix_checks.matrices(A)
    most = min(A.shape[-2:])
    q = min(6, most) if q is None else q
    if not 0 <= q <= most:
        raise ArgumentError(f"pca_lowrank: q={q} is not between 0 and {most}, the smaller side of {tuple(A.shape)}")
    if niter < 0:
        raise ArgumentError(f"pca_lowrank: niter={niter} is negative")
    return svd_lowrank(sub(A, mean(A, -2, True)) if center else A, q, niter)
