"""What operands must satisfy, said once for all backends. Checks see shapes and dtypes, never values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unified.errors import DTypeError, ShapeError


def _shape(value: Any) -> tuple[int, ...]:
    return getattr(value, "shape", ())


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The common shape under broadcasting; raises ShapeError where there is none."""
    rank = max((len(shape) for shape in shapes), default=0)
    result = []
    for axis in range(-rank, 0):
        lengths = {shape[axis] for shape in shapes if len(shape) >= -axis} - {1}
        if len(lengths) > 1:
            listed = " and ".join(str(tuple(shape)) for shape in shapes)
            first, second = sorted(lengths)[:2]
            raise ShapeError(f"shapes {listed} do not broadcast: {first} and {second} differ at dimension {axis}")
        result.append(lengths.pop() if lengths else 1)
    return tuple(result)


def broadcastable(*operands: Any) -> None:
    """Operands of an elementwise op broadcast with each other."""
    broadcast_shapes(*[operand.shape for operand in operands if hasattr(operand, "shape")])


def same_dtype(**operands: Any) -> None:
    """All operands that are tensors have one dtype."""
    present = {name: value.dtype for name, value in operands.items() if value is not None}
    if len(set(present.values())) > 1:
        listed = ", ".join(f"{name} is {dtype.name}" for name, dtype in present.items())
        raise DTypeError(f"operands must have one dtype, but {listed}; convert one with x.to(dtype)")


def matmul(input: Any, other: Any) -> None:
    """``(..., n, k) @ (..., k, m)``, with vectors as PyTorch has them."""
    if not input.shape or not other.shape:
        raise ShapeError("operands must have at least one dimension; multiply scalars with *")
    inner = other.shape[-2] if len(other.shape) > 1 else other.shape[0]
    if input.shape[-1] != inner:
        raise ShapeError(
            f"shapes {tuple(input.shape)} and {tuple(other.shape)} cannot be multiplied: the last dimension of "
            f"input is {input.shape[-1]}, the contracted one of other is {inner}"
        )
    broadcast_shapes(input.shape[:-2], other.shape[:-2])
    same_dtype(input=input, other=other)


def linear(input: Any, weight: Any, bias: Any = None) -> None:
    """``input (..., in)``, ``weight (out, in)``, ``bias (out)``."""
    if not input.shape or len(weight.shape) not in (1, 2) or input.shape[-1] != weight.shape[-1]:
        raise ShapeError(
            f"input {tuple(input.shape)} does not fit weight {tuple(weight.shape)}: the last dimension of input "
            "must equal the last of weight (out_features, in_features)"
        )
    if bias is not None and tuple(bias.shape) not in ((), tuple(weight.shape[:-1])):
        raise ShapeError(f"bias {tuple(bias.shape)} does not fit weight {tuple(weight.shape)}")
    same_dtype(input=input, weight=weight, bias=bias)


def convolution(input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> None:
    """``input (N, C, *spatial)`` or unbatched, ``weight (out, C / groups, *kernel)``, ``bias (out)``."""
    spatial = len(weight.shape) - 2
    if len(input.shape) not in (spatial + 1, spatial + 2):
        raise ShapeError(
            f"input {tuple(input.shape)} has {len(input.shape)} dimensions; a {spatial}-d convolution takes "
            f"{spatial + 2} (N, C, ...) or {spatial + 1} (C, ...)"
        )
    channels = input.shape[-spatial - 1]
    if channels != weight.shape[1] * groups:
        raise ShapeError(
            f"input {tuple(input.shape)} has {channels} channels, but weight {tuple(weight.shape)} with "
            f"groups={groups} takes {weight.shape[1] * groups}"
        )
    if weight.shape[0] % groups:
        raise ShapeError(f"{weight.shape[0]} output channels cannot be split into groups={groups}")
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise ShapeError(f"bias {tuple(bias.shape)} must have the shape ({weight.shape[0]},) of the output channels")
    same_dtype(input=input, weight=weight, bias=bias)


def cross_entropy(input: Any, target: Any, *_: Any) -> None:
    """``input (N, C, ...)`` or ``(C)``; ``target`` class indices ``(N, ...)`` or probabilities like input."""
    if not input.dtype.is_floating_point:
        raise DTypeError(f"input must be floating point logits, not {input.dtype.name}")
    if target.dtype.is_floating_point:
        if tuple(target.shape) != tuple(input.shape):
            raise ShapeError(
                f"class probabilities {tuple(target.shape)} must have the shape of input {tuple(input.shape)}"
            )
        return
    expected = (input.shape[0], *input.shape[2:]) if len(input.shape) > 1 else ()
    if tuple(target.shape) != tuple(expected):
        raise ShapeError(
            f"target {tuple(target.shape)} does not fit input {tuple(input.shape)}: class indices must have the "
            f"shape {tuple(expected)}, that of input without its class dimension"
        )


def floating(input: Any, *_: Any) -> None:
    """The first operand is floating point or complex."""
    if not input.dtype.is_inexact:
        raise DTypeError(f"input must be floating point, not {input.dtype.name}; convert it with x.to(un.float32)")


def is_complex_valued(value: Any) -> bool:
    """Whether a number is complex, or the dtype of a tensor."""
    return isinstance(value, complex) or (hasattr(value, "dtype") and bool(value.dtype.is_complex))


def on_the_real_line(*values: Any) -> None:
    """Operands broadcast, and none is complex."""
    broadcastable(*values)
    if any(is_complex_valued(value) for value in values):
        raise DTypeError("complex numbers are not on the real line; take their .abs(), .real or .imag")
