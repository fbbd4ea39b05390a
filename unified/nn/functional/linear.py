"""Affine maps."""

from __future__ import annotations

from typing import Any

from unified._dispatch import composite, op
from unified._tensor import Tensor
from unified.errors import ShapeError
from unified.ops import _checks
from unified.ops.linalg import matmul


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


def _bilinear(input1: Any, input2: Any, weight: Any, bias: Any) -> None:
    if len(weight.shape) != 3 or not input1.shape or tuple(input1.shape[:-1]) != tuple(input2.shape[:-1]):
        raise ShapeError(
            f"input1 {tuple(input1.shape)} and input2 {tuple(input2.shape)} may differ in their last dimension only, "
            f"and weight {tuple(weight.shape)} must have 3 (out, in1, in2)"
        )
    if (input1.shape[-1], input2.shape[-1]) != tuple(weight.shape[1:]):
        raise ShapeError(
            f"input1 {tuple(input1.shape)} and input2 {tuple(input2.shape)} must end with the last two dimensions of "
            f"weight {tuple(weight.shape)}"
        )
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise ShapeError(f"bias {tuple(bias.shape)} must have the shape ({weight.shape[0]},) of the results")
    _checks.same_dtype(input1=input1, input2=input2, weight=weight, bias=bias)


@composite(check=_bilinear)
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input1 @ weight[o] @ input2 + bias[o]`` for each output o.

    Args:
        input1: ``(..., in1)``.
        input2: ``(..., in2)``.
        weight: ``(out, in1, in2)``.
        bias: ``(out,)``.

    Returns:
        ``(..., out)``.

    Raises:
        ShapeError: the shapes do not fit.
        DTypeError: the operands have several dtypes.
    """
    outputs, first, second = weight.shape
    batch = tuple(input1.shape[:-1])
    rows = input1.numel() // first if first else 0
    by_first = matmul(input1.reshape((rows, first)), weight.permute((1, 0, 2)).reshape((first, outputs * second)))
    by_both = matmul(by_first.reshape((rows, outputs, second)), input2.reshape((rows, second, 1)))
    output: Tensor = by_both.reshape((*batch, outputs))
    return output if bias is None else output + bias
