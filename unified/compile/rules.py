"""What ops that compute make of a dimension of dynamic length: rules of ``padding.py``, by the op's name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unified._dispatch import backends_by_type
from unified._dtype import float32
from unified._length import Length
from unified._op import Op
from unified._tensor import Tensor
from unified.compile.padding import Layout, Padding, Ragged
from unified.errors import DynamicLengthError

Rule = Callable[..., Any]

rules: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers a rule (padding, op, *arguments) for the ops of these names."""

    def register(function: Rule) -> Rule:
        rules.update(dict.fromkeys(names, function))
        return function

    return register


def refuse(op: Op, what: str, *tensors: Tensor) -> DynamicLengthError:
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
    return DynamicLengthError(
        f"{op.name}: {what} is not possible with a dynamic length; operands: {shapes}. Do it on another dimension, "
        "outside of the compiled function, or take the dimension out of dynamic="
    )


def padded_shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(backends_by_type[type(tensor._native)].shape(tensor._native))


def reduced_dims(dim: Any, rank: int) -> tuple[int, ...]:
    """Reduced dimensions from the front; all of them for None and ()."""
    if dim is None or dim == ():
        return tuple(range(rank))
    return tuple(d % rank for d in ((dim,) if isinstance(dim, int) else dim)) if rank else ()


def without(layout: Layout, dims: Sequence[int], keepdim: bool) -> list[Ragged | None]:
    if keepdim:
        return [None if i in dims else ragged for i, ragged in enumerate(layout)]
    return [ragged for i, ragged in enumerate(layout) if i not in dims]


# ---- elementwise ---------------------------------------------------------------------------------------------

_BY_ELEMENT = ("unified.ops.elementwise", "unified.ops.comparison", "unified.nn.functional.activation",
               "unified.ops.complex", "unified.ops.arithmetic", "unified.ops.special")  # fmt: skip
_NOT_BY_ELEMENT = {"glu", "prelu", "frexp", "view_as_real", "view_as_complex"}


def _elementwise(padding: Padding, op: Op, *args: Any) -> Tensor:
    tensors = [arg for arg in args if isinstance(arg, Tensor)]
    layout = padding.broadcast(op.name, tensors)
    result = padding.mark(padding.plain(op, *args), layout)
    if any(padding.layout(tensor) != layout for tensor in tensors):  # somebody sums over a dimension in backward
        return padding.guarded(result)
    return result


rule("masked_fill", "to_device", "make_full_like", "apply_mask", "squared_magnitude")(_elementwise)


def rule_of(op: Op) -> Rule | None:
    """The rule of an op, or None; all ops of the elementwise families have one."""
    found = rules.get(op.name)
    if found is None and op.caller is not None and op.name not in _NOT_BY_ELEMENT:
        found = _elementwise if op.caller.__module__ in _BY_ELEMENT else None
    return found


# ---- reductions ----------------------------------------------------------------------------------------------


def _least(tensor: Tensor) -> Any:
    return _extreme(tensor, -1)


def _extreme(tensor: Tensor, sign: int) -> Any:
    dtype = tensor.dtype
    if dtype.kind == "f":
        return sign * math.inf
    if dtype.kind == "b":
        return sign > 0
    limits = np.iinfo(dtype.numpy)
    return int(limits.max if sign > 0 else limits.min)


_IDENTITIES: dict[str, Callable[[Tensor], Any]] = {
    "sum": lambda _: 0, "prod": lambda _: 1, "any": lambda _: 0, "all": lambda _: 1, "amax": _least,
    "amin": lambda t: _extreme(t, 1), "argmax": _least, "argmin": lambda t: _extreme(t, 1), "max": _least,
    "min": lambda t: _extreme(t, 1), "logsumexp": _least,
}  # fmt: skip


@rule(*_IDENTITIES)
def _reduction(padding: Padding, op: Op, input: Tensor, dim: Any = None, keepdim: bool = False, *rest: Any) -> Any:
    layout = padding.layout(input)
    dims = reduced_dims(dim, len(layout))
    over = [d for d in dims if layout[d] is not None]
    if over and op.name in ("argmax", "argmin", "max", "min") and (dim is None or not layout[over[0]].simple):  # type: ignore[union-attr]
        raise refuse(op, "a position in several dimensions at once", input)
    if over:
        identity = _IDENTITIES[op.name](input)
        input = padding.filled(input, bool(identity) if input.dtype.kind == "b" else identity, over)
    result = padding.plain(op, input, dim, keepdim, *rest)
    for each in result if isinstance(result, tuple) else (result,):
        padding.mark(each, without(layout, dims, keepdim))
    return result


@rule("mean")
def _mean(padding: Padding, op: Op, input: Tensor, dim: Any, keepdim: bool, dtype: Any) -> Tensor:
    layout = padding.layout(input)
    dims = reduced_dims(dim, len(layout))
    kept = dtype or input.dtype
    if not any(layout[d] for d in dims) or not kept.is_inexact:  # which the op refuses in its own words
        return padding.mark(padding.plain(op, input, dim, keepdim, dtype), without(layout, dims, keepdim))
    if kept.itemsize < float32.itemsize:  # the count, and the sum, are more than 16 bits hold
        narrowed: Tensor = _mean(padding, op, input, dim, keepdim, float32).to(kept)
        return narrowed
    total: Tensor = input.sum(dim, keepdim, dtype=dtype)
    for d in dims:
        total = total / input.shape[d]
    return total


@rule("var")
def _variance(padding: Padding, op: Op, input: Tensor, dim: Any, keepdim: bool, correction: float) -> Tensor:
    layout = padding.layout(input)
    dims = reduced_dims(dim, len(layout))
    if not any(layout[d] for d in dims):
        return padding.mark(padding.plain(op, input, dim, keepdim, correction), without(layout, dims, keepdim))
    if math.prod(n.low if isinstance(n, Length) else n for n in (input.shape[d] for d in dims)) <= correction:
        raise refuse(op, f"a correction of {correction}", input)
    wide = input.to(float32) if input.dtype.itemsize < float32.itemsize else input
    deviations = wide - wide.mean(dim, True)
    total: Tensor = (deviations.abs() if input.is_complex() else deviations).square().sum(dim, keepdim)
    degrees: Any = 1
    for d in dims:
        degrees = input.shape[d] * degrees if not isinstance(degrees, Tensor) else degrees * input.shape[d]
        if isinstance(degrees, Length):
            degrees = degrees.value()
    found: Tensor = (total / (degrees - correction)).to(total.dtype if input.is_complex() else input.dtype)
    return found


@rule("softmax", "log_softmax")
def _softmax(padding: Padding, op: Op, input: Tensor, dim: int, dtype: Any) -> Tensor:
    layout = padding.layout(input)
    filled = padding.filled(input, -math.inf, [dim % len(layout)])
    return padding.mark(padding.plain(op, filled, dim, dtype), layout)


@rule("cumsum", "cumprod")
def _running(padding: Padding, op: Op, input: Tensor, dim: int, dtype: Any) -> Tensor:
    layout = padding.layout(input)
    ragged = layout[dim % len(layout)]
    if ragged is not None and (not ragged.simple or ragged.post > 1):
        raise refuse(op, "a running total over a dimension that was merged", input)
    filled = padding.filled(input, 0 if op.name == "cumsum" else 1, [dim % len(layout)])
    return padding.mark(padding.plain(op, filled, dim, dtype), layout)


@rule("topk")
def _topk(padding: Padding, op: Op, input: Tensor, k: int, dim: int, largest: bool, order: bool) -> Any:
    layout = padding.layout(input)
    ragged = layout[dim % len(layout)]
    if ragged is not None and (not ragged.simple or not ragged.length >= k):
        raise refuse(op, f"taking {k}", input)
    filled = padding.filled(input, _extreme(input, -1 if largest else 1), [dim % len(layout)])
    result = padding.plain(op, filled, k, dim, largest, order)
    for each in result:
        padding.mark(each, without(layout, [dim % len(layout)], True))
    return result


# ---- products ------------------------------------------------------------------------------------------------


@rule("linear")
def _linear(padding: Padding, op: Op, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    layout = padding.layout(input)
    if layout[-1] is not None or any(padding.layout(weight)):
        raise refuse(op, "a product over that dimension", input, weight)
    result = padding.plain(op, padding.filled(input, 0), weight, bias)
    return padding.guarded(padding.mark(result, (*layout[:-1], None)))


@rule("matmul")
def _matmul(padding: Padding, op: Op, input: Tensor, other: Tensor) -> Tensor:
    left, right = padding.layout(input), padding.layout(other)
    contracted = left[-1], right[-1] if len(right) == 1 else right[-2]
    if contracted[0] != contracted[1]:
        raise refuse(op, "a product of different lengths", input, other)
    rows = left[-2:-1] if len(left) > 1 else ()
    columns = right[-1:] if len(right) > 1 else ()
    batch: Layout = ()
    if len(left) > 2 or len(right) > 2:
        size = max(len(left), len(right)) - 2
        pairs = [(_at(padding, input, d), _at(padding, other, d)) for d in range(size + 2, 2, -1)]
        batch = tuple([_agreed(op, pair, input, other) for pair in pairs])
    result = padding.plain(op, padding.filled(input, 0), padding.filled(other, 0))
    return padding.guarded(padding.mark(result, (*batch, *rows, *columns)))


def _at(padding: Padding, tensor: Tensor, back: int) -> Any:
    """The dimension ``back`` places from the end: a Ragged, or a size, 1 where there is none."""
    layout = padding.layout(tensor)
    if back > len(layout):
        return 1
    return layout[-back] or padded_shape(tensor)[-back]


def _agreed(op: Op, pair: tuple[Any, Any], *tensors: Tensor) -> Ragged | None:
    found = {side for side in pair if side != 1 or isinstance(side, Ragged)}
    if len(found) > 1 and any(isinstance(side, Ragged) for side in found):
        raise refuse(op, "broadcasting", *tensors)
    ragged = [side for side in found if isinstance(side, Ragged)]
    return ragged[0] if ragged else None


@rule("embedding")
def _embedding(padding: Padding, op: Op, input: Tensor, weight: Tensor, padding_idx: int | None) -> Tensor:
    result = padding.plain(op, input, weight, padding_idx)
    return padding.guarded(padding.mark(result, (*padding.layout(input), None)))


@rule("one_hot")
def _one_hot(padding: Padding, op: Op, tensor: Tensor, num_classes: int) -> Tensor:
    return padding.mark(padding.plain(op, tensor, num_classes), (*padding.layout(tensor), None))


@rule("causal_mask")
def _causal_mask(padding: Padding, op: Op, query: Tensor, key: Tensor) -> Tensor:
    return padding.mark(padding.plain(op, query, key), (padding.layout(query)[-2], padding.layout(key)[-2]))


@rule("conv1d", "conv2d", "conv3d")
def _convolution(
    padding: Padding,
    op: Op,
    input: Tensor,
    weight: Tensor,
    bias: Any,
    stride: Any,
    pads: Any,
    dilation: Any,
    groups: Any,
) -> Tensor:
    layout, spatial = padding.layout(input), weight.ndim - 2
    result = padding.plain(op, padding.filled(input, 0), weight, bias, stride, pads, dilation, groups)
    if any(padding.layout(weight)) or layout[-spatial - 1] is not None:
        raise refuse(op, "a product over that dimension", input, weight)
    out: list[Ragged | None] = [*layout[: -spatial - 1], None]
    for back in range(spatial, 0, -1):
        ragged = layout[-back]
        if ragged is not None:
            step = stride if isinstance(stride, int) else stride[-back if len(stride) > 1 else 0]
            if step != 1 or not ragged.simple or ragged.post > 1:
                raise refuse(op, "a stride", input, weight)
            ragged = ragged._replace(offset=ragged.offset + padded_shape(result)[-back] - padded_shape(input)[-back])
            if ragged.length.low < 1:
                raise refuse(op, "a kernel that is longer than some lengths of this bucket", input, weight)
        out.append(ragged)
    return padding.guarded(padding.mark(result, out))


@rule("native_layer_norm", "layer_norm", "rms_norm")
def _row_norm(padding: Padding, op: Op, input: Tensor, normalized_shape: Sequence[int], *rest: Any) -> Any:
    layout, count = padding.layout(input), len(normalized_shape)
    if any(layout[-count:]):
        raise refuse(op, "normalising over that dimension", input)
    result = padding.plain(op, input, normalized_shape, *rest)
    if isinstance(result, Tensor):
        return padding.guarded(padding.mark(result, layout))
    return tuple([padding.guarded(padding.mark(each, layout)) for each in result])
