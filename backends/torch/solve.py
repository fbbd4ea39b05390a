"""Linear systems and functions of matrices on PyTorch."""

# ruff: noqa: N803 - matrices have the capital letters of PyTorch's signatures
from __future__ import annotations

import torch

from unified.backends.protocol import Natives

natives = Natives()
linalg = torch.linalg

natives(
    cholesky_inverse=torch.cholesky_inverse, cholesky_solve=torch.cholesky_solve, linalg_cond=linalg.cond,
    linalg_det=linalg.det, linalg_matrix_power=linalg.matrix_power, linalg_slogdet=linalg.slogdet,
    linalg_tensorinv=linalg.tensorinv, linalg_tensorsolve=linalg.tensorsolve, logdet=torch.logdet,
    matrix_exp=torch.matrix_exp,
)  # fmt: skip


@natives
def linalg_lu_solve(LU, pivots, B, left, adjoint):
    return linalg.lu_solve(LU, pivots.to(torch.int32), B, left=left, adjoint=adjoint)


@natives
def linalg_ldl_solve(LD, pivots, B, hermitian):
    return linalg.ldl_solve(LD, pivots.to(torch.int32), B, hermitian=hermitian)


@natives
def linalg_solve_ex(A, B, left, check_errors):
    return linalg.solve_ex(A, B, left=left)


@natives
def linalg_inv_ex(A, check_errors):
    return linalg.inv_ex(A)


def _tolerances(A, *bounds):
    """Both as PyTorch takes them: two numbers or two tensors."""
    if not any(isinstance(bound, torch.Tensor) for bound in bounds):
        return bounds
    real = A.real.dtype if A.is_complex() else A.dtype
    return [bound if bound is None else torch.as_tensor(bound, dtype=real, device=A.device) for bound in bounds]


@natives
def linalg_pinv(A, atol, rtol, hermitian):
    atol, rtol = _tolerances(A, atol, rtol)
    return linalg.pinv(A, atol=atol, rtol=rtol, hermitian=hermitian)


@natives
def linalg_matrix_rank(A, atol, rtol, hermitian):
    atol, rtol = _tolerances(A, atol, rtol)
    return linalg.matrix_rank(A, atol=atol, rtol=rtol, hermitian=hermitian).to(torch.int32)


@natives
def linalg_lstsq(A, B, rcond, driver):
    solution, residuals, rank, singular_values = linalg.lstsq(A, B, rcond, driver=driver)
    return solution, residuals, rank.to(torch.int32), singular_values
