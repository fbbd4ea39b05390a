"""Products of matrices and vectors."""

from __future__ import annotations

from unified._dispatch import composite, op
from unified._tensor import Tensor
from unified.ops import _checks


@op(methods=("matmul", "__matmul__"), check=_checks.matmul)
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """Matrix product over the last two dimensions, the others broadcast; vectors as in ``torch.matmul``.

    Example: shapes ``(b, n, k) @ (k, m) -> (b, n, m)``.
    """


@composite(methods=("bmm",))
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Batched product: ``(b, n, k), (b, k, m) -> (b, n, m)``."""
    return matmul(input, mat2)


@composite(methods=("mm",))
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """Product of two matrices: ``(n, k), (k, m) -> (n, m)``."""
    return matmul(input, mat2)
