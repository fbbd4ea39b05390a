"""Affine maps."""

from __future__ import annotations

from unified._dispatch import op
from unified._tensor import Tensor
from unified.ops import _checks


@op(check=_checks.linear)
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias``.

    Args:
        input: ``(..., in_features)``.
        weight: ``(out_features, in_features)``.
        bias: ``(out_features,)``.

    Returns:
        ``(..., out_features)``.

    Raises:
        ShapeError: the shapes do not fit.
        DTypeError: the operands have several dtypes.
    """
