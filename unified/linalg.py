"""Linear algebra, by the names of ``torch.linalg``."""

from __future__ import annotations

from unified.ops.contraction import linalg_cross as cross
from unified.ops.contraction import linalg_diagonal as diagonal
from unified.ops.contraction import linalg_multi_dot as multi_dot
from unified.ops.contraction import linalg_vander as vander
from unified.ops.contraction import linalg_vecdot as vecdot
from unified.ops.distance import linalg_matrix_norm as matrix_norm
from unified.ops.distance import linalg_norm as norm
from unified.ops.factorization import linalg_cholesky as cholesky
from unified.ops.factorization import linalg_cholesky_ex as cholesky_ex
from unified.ops.factorization import linalg_eig as eig
from unified.ops.factorization import linalg_eigh as eigh
from unified.ops.factorization import linalg_eigvals as eigvals
from unified.ops.factorization import linalg_eigvalsh as eigvalsh
from unified.ops.factorization import linalg_householder_product as householder_product
from unified.ops.factorization import linalg_ldl_factor as ldl_factor
from unified.ops.factorization import linalg_ldl_factor_ex as ldl_factor_ex
from unified.ops.factorization import linalg_lu as lu
from unified.ops.factorization import linalg_lu_factor as lu_factor
from unified.ops.factorization import linalg_lu_factor_ex as lu_factor_ex
from unified.ops.factorization import linalg_qr as qr
from unified.ops.factorization import linalg_solve_triangular as solve_triangular
from unified.ops.factorization import linalg_svd as svd
from unified.ops.factorization import linalg_svdvals as svdvals
from unified.ops.linalg import matmul
from unified.ops.reduction import linalg_vector_norm as vector_norm
from unified.ops.solve import linalg_cond as cond
from unified.ops.solve import linalg_det as det
from unified.ops.solve import linalg_inv as inv
from unified.ops.solve import linalg_inv_ex as inv_ex
from unified.ops.solve import linalg_ldl_solve as ldl_solve
from unified.ops.solve import linalg_lstsq as lstsq
from unified.ops.solve import linalg_lu_solve as lu_solve
from unified.ops.solve import linalg_matrix_power as matrix_power
from unified.ops.solve import linalg_matrix_rank as matrix_rank
from unified.ops.solve import linalg_pinv as pinv
from unified.ops.solve import linalg_slogdet as slogdet
from unified.ops.solve import linalg_solve as solve
from unified.ops.solve import linalg_solve_ex as solve_ex
from unified.ops.solve import linalg_tensorinv as tensorinv
from unified.ops.solve import linalg_tensorsolve as tensorsolve
from unified.ops.solve import matrix_exp

__all__ = [
    "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh",
    "householder_product", "inv", "inv_ex", "ldl_factor", "ldl_factor_ex", "ldl_solve", "lstsq", "lu",
    "lu_factor", "lu_factor_ex", "lu_solve", "matmul", "matrix_exp", "matrix_norm", "matrix_power",
    "matrix_rank", "multi_dot", "norm", "pinv", "qr", "slogdet", "solve", "solve_ex", "solve_triangular", "svd",
    "svdvals", "tensorinv", "tensorsolve", "vander", "vecdot", "vector_norm",
]  # fmt: skip
