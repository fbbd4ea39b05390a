"""Factorizations of matrices on PyTorch."""

# ruff: noqa: N803 - matrices have the capital letters of PyTorch's signatures
from __future__ import annotations

import torch

from unified.backends.protocol import Natives

natives = Natives()
linalg = torch.linalg

natives(
    conjugate_transpose=torch.adjoint, geqrf=torch.geqrf, linalg_eig=linalg.eig, linalg_eigh=linalg.eigh,
    linalg_eigvals=linalg.eigvals, linalg_eigvalsh=linalg.eigvalsh, linalg_qr=linalg.qr,
    linalg_householder_product=linalg.householder_product, ormqr=torch.ormqr, triangular_solve=torch.triangular_solve,
)  # fmt: skip


@natives
def linalg_solve_triangular(A, B, upper, left, unitriangular):
    return linalg.solve_triangular(A, B, upper=upper, left=left, unitriangular=unitriangular)


@natives
def linalg_cholesky_ex(A, upper):
    return linalg.cholesky_ex(A, upper=upper)


@natives
def linalg_lu_factor_ex(A, pivot):
    return linalg.lu_factor_ex(A, pivot=pivot)


@natives
def linalg_lu(A, pivot):
    return linalg.lu(A, pivot=pivot)


@natives
def lu_unpack(LU_data, LU_pivots):
    return torch.lu_unpack(LU_data, LU_pivots.to(torch.int32))


@natives
def lu_permutation(pivots, size):
    packed = pivots.new_zeros((*pivots.shape[:-1], size, pivots.shape[-1]), dtype=torch.float32)
    permutation = torch.lu_unpack(packed, pivots.to(torch.int32), unpack_data=False)[0]
    columns = torch.arange(size, dtype=torch.float32, device=pivots.device)
    return (columns @ permutation).to(torch.int32)


@natives
def linalg_ldl_factor_ex(A, hermitian):
    return linalg.ldl_factor_ex(A, hermitian=hermitian)


@natives
def thin_svd(A):
    return linalg.svd(A, full_matrices=False)


@natives
def linalg_svd(A, full_matrices, driver):
    return linalg.svd(A, full_matrices=full_matrices)


@natives
def linalg_svdvals(A, driver):
    return linalg.svdvals(A)
