"""Linear algebra, by the names of ``torch.linalg``."""

from __future__ import annotations

from unified.ops.contraction import linalg_cross as cross
from unified.ops.contraction import linalg_diagonal as diagonal
from unified.ops.contraction import linalg_multi_dot as multi_dot
from unified.ops.contraction import linalg_vander as vander
from unified.ops.contraction import linalg_vecdot as vecdot
from unified.ops.distance import linalg_matrix_norm as matrix_norm
from unified.ops.distance import linalg_norm as norm
from unified.ops.linalg import matmul
from unified.ops.reduction import linalg_vector_norm as vector_norm

__all__ = [
    "cross", "diagonal", "matmul", "matrix_norm", "multi_dot", "norm", "vander", "vecdot", "vector_norm",
]  # fmt: skip
