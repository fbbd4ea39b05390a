"""What each op makes of a dimension of dynamic length: the rules of ``padding.py``, by the op's name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unified._dispatch import backends_by_type, table
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


def _refuse(op: Op, what: str, *tensors: Tensor) -> DynamicLengthError:
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
    return DynamicLengthError(
        f"{op.name}: {what} is not possible with a dynamic length; operands: {shapes}. Do it on another dimension, "
        "outside of the compiled function, or take the dimension out of dynamic="
    )


def _padded(tensor: Tensor) -> tuple[int, ...]:
    return tuple(backends_by_type[type(tensor._native)].shape(tensor._native))


def _dims(dim: Any, rank: int) -> tuple[int, ...]:
    """Reduced dimensions from the front; all of them for None and ()."""
    if dim is None or dim == ():
        return tuple(range(rank))
    return tuple(d % rank for d in ((dim,) if isinstance(dim, int) else dim)) if rank else ()


def _without(layout: Layout, dims: Sequence[int], keepdim: bool) -> list[Ragged | None]:
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
    dims = _dims(dim, len(layout))
    over = [d for d in dims if layout[d] is not None]
    if over and op.name in ("argmax", "argmin", "max", "min") and (dim is None or not layout[over[0]].simple):  # type: ignore[union-attr]
        raise _refuse(op, "a position in several dimensions at once", input)
    if over:
        identity = _IDENTITIES[op.name](input)
        input = padding.filled(input, bool(identity) if input.dtype.kind == "b" else identity, over)
    result = padding.plain(op, input, dim, keepdim, *rest)
    for each in result if isinstance(result, tuple) else (result,):
        padding.mark(each, _without(layout, dims, keepdim))
    return result


@rule("mean")
def _mean(padding: Padding, op: Op, input: Tensor, dim: Any, keepdim: bool, dtype: Any) -> Tensor:
    layout = padding.layout(input)
    dims = _dims(dim, len(layout))
    if not any(layout[d] for d in dims):
        return padding.mark(padding.plain(op, input, dim, keepdim, dtype), _without(layout, dims, keepdim))
    kept = dtype or input.dtype
    if kept.itemsize < float32.itemsize:  # the count, and the sum, are more than 16 bits hold
        return _mean(padding, op, input, dim, keepdim, float32).to(kept)
    total: Tensor = input.sum(dim, keepdim, dtype=dtype)
    for d in dims:
        total = total / input.shape[d]
    return total


@rule("var")
def _variance(padding: Padding, op: Op, input: Tensor, dim: Any, keepdim: bool, correction: float) -> Tensor:
    layout = padding.layout(input)
    dims = _dims(dim, len(layout))
    if not any(layout[d] for d in dims):
        return padding.mark(padding.plain(op, input, dim, keepdim, correction), _without(layout, dims, keepdim))
    if math.prod(n.low if isinstance(n, Length) else n for n in (input.shape[d] for d in dims)) <= correction:
        raise _refuse(op, f"a correction of {correction}", input)
    wide = input.to(float32) if input.dtype.itemsize < float32.itemsize else input
    deviations = wide - wide.mean(dim, True)
    total: Tensor = (deviations.abs() if input.is_complex() else deviations).square().sum(dim, keepdim)
    degrees: Any = 1
    for d in dims:
        degrees = input.shape[d] * degrees if not isinstance(degrees, Tensor) else degrees * input.shape[d]
        if isinstance(degrees, Length):
            degrees = degrees.value()
    return (total / (degrees - correction)).to(input.dtype if not input.is_complex() else total.dtype)


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
        raise _refuse(op, "a running total over a dimension that was merged", input)
    filled = padding.filled(input, 0 if op.name == "cumsum" else 1, [dim % len(layout)])
    return padding.mark(padding.plain(op, filled, dim, dtype), layout)


@rule("topk")
def _topk(padding: Padding, op: Op, input: Tensor, k: int, dim: int, largest: bool, order: bool) -> Any:
    layout = padding.layout(input)
    ragged = layout[dim % len(layout)]
    if ragged is not None and (not ragged.simple or not ragged.length >= k):
        raise _refuse(op, f"taking {k}", input)
    filled = padding.filled(input, _extreme(input, -1 if largest else 1), [dim % len(layout)])
    result = padding.plain(op, filled, k, dim, largest, order)
    for each in result:
        padding.mark(each, _without(layout, [dim % len(layout)], True))
    return result


# ---- products ------------------------------------------------------------------------------------------------


@rule("linear")
def _linear(padding: Padding, op: Op, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    layout = padding.layout(input)
    if layout[-1] is not None or any(padding.layout(weight)):
        raise _refuse(op, "a product over that dimension", input, weight)
    result = padding.plain(op, padding.filled(input, 0), weight, bias)
    return padding.guarded(padding.mark(result, (*layout[:-1], None)))


@rule("matmul")
def _matmul(padding: Padding, op: Op, input: Tensor, other: Tensor) -> Tensor:
    left, right = padding.layout(input), padding.layout(other)
    contracted = left[-1], right[-1] if len(right) == 1 else right[-2]
    if contracted[0] != contracted[1]:
        raise _refuse(op, "a product of different lengths", input, other)
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
    return layout[-back] or _padded(tensor)[-back]


def _agreed(op: Op, pair: tuple[Any, Any], *tensors: Tensor) -> Ragged | None:
    found = {side for side in pair if side != 1 or isinstance(side, Ragged)}
    if len(found) > 1 and any(isinstance(side, Ragged) for side in found):
        raise _refuse(op, "broadcasting", *tensors)
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
        raise _refuse(op, "a product over that dimension", input, weight)
    out: list[Ragged | None] = [*layout[: -spatial - 1], None]
    for back in range(spatial, 0, -1):
        ragged = layout[-back]
        if ragged is not None:
            step = stride if isinstance(stride, int) else stride[-back if len(stride) > 1 else 0]
            if step != 1 or not ragged.simple or ragged.post > 1:
                raise _refuse(op, "a stride", input, weight)
            ragged = ragged._replace(offset=ragged.offset + _padded(result)[-back] - _padded(input)[-back])
        out.append(ragged)
    return padding.guarded(padding.mark(result, out))


@rule("native_layer_norm", "layer_norm", "rms_norm")
def _row_norm(padding: Padding, op: Op, input: Tensor, normalized_shape: Sequence[int], *rest: Any) -> Any:
    layout, count = padding.layout(input), len(normalized_shape)
    if any(layout[-count:]):
        raise _refuse(op, "normalising over that dimension", input)
    result = padding.plain(op, input, normalized_shape, *rest)
    if isinstance(result, Tensor):
        return padding.guarded(padding.mark(result, layout))
    return tuple([padding.guarded(padding.mark(each, layout)) for each in result])


# ---- shapes --------------------------------------------------------------------------------------------------


@rule("reshape")
def _reshape(padding: Padding, op: Op, input: Tensor, shape: Sequence[Any]) -> Tensor:
    units: list[Any] = []  # what the dimensions are made of, in order: sizes, and one (Ragged) for each dynamic one
    for size, ragged in zip(_padded(input), padding.layout(input), strict=True):
        units += [size] if ragged is None else [ragged.pre, ragged._replace(pre=1, post=1), ragged.post]
    units = [unit for unit in units if unit != 1]
    target = [*shape]
    if -1 in [size for size in target if size.__class__ is int]:
        at = next(i for i, size in enumerate(target) if size.__class__ is int and size == -1)
        target[at] = _rest(op, input, units, [size for i, size in enumerate(target) if i != at])
    padded, layout = [], []
    for size in target:
        ragged = None
        if isinstance(size, Length):
            ragged = _take(op, input, units, size)
            size = ragged.length.high
        else:
            _take_static(op, input, units, size)
        padded.append(size)
        layout.append(ragged)
    if units:
        raise _refuse(op, f"the shape {tuple(shape)}", input)
    return padding.mark(padding.plain(op, input, tuple(padded)), layout)


def _rest(op: Op, input: Tensor, units: Sequence[Any], others: Sequence[Any]) -> Any:
    """What -1 stands for."""
    ragged = [unit for unit in units if isinstance(unit, Ragged)]
    static = math.prod(unit for unit in units if not isinstance(unit, Ragged))
    for size in others:
        if isinstance(size, Length):
            held = [r for r in ragged if r.dynamic is size.dynamic and r.offset == size.offset]
            if not held:
                raise _refuse(op, f"the length {size!r}", input)
            ragged.remove(held[0])
            size = size.factor
        if size <= 0 or static % size:
            raise _refuse(op, "that shape", input)
        static //= size
    if len(ragged) > 1:
        raise _refuse(op, "merging two dynamic dimensions", input)
    return Length(ragged[0].dynamic, ragged[0].offset, static) if ragged else static


def _take_static(op: Op, input: Tensor, units: list[Any], size: int) -> None:
    """Takes a size off the front of ``units``."""
    while size != 1:
        if not units or isinstance(units[0], Ragged):
            raise _refuse(op, "splitting or moving a dynamic dimension", input)
        common = math.gcd(units[0], size)
        if common == 1:
            raise _refuse(op, "that shape", input)
        size //= common
        units[0] //= common
        if units[0] == 1:
            units.pop(0)


def _take(op: Op, input: Tensor, units: list[Any], size: Length) -> Ragged:
    """Takes a dynamic dimension off the front of ``units``, with the sizes that are merged with it."""
    pre = 1
    while units and not isinstance(units[0], Ragged):
        pre *= units.pop(0)
    if not units or units[0].dynamic is not size.dynamic or units[0].offset != size.offset or size.factor % pre:
        raise _refuse(op, f"the length {size!r}", input)
    ragged: Ragged = units.pop(0)
    _take_static(op, input, units, size.factor // pre)
    return ragged._replace(pre=pre, post=size.factor // pre)


@rule("permute")
def _permute(padding: Padding, op: Op, input: Tensor, dims: Sequence[int]) -> Tensor:
    layout = padding.layout(input)
    return padding.mark(padding.plain(op, input, dims), [layout[d] for d in dims])


@rule("transpose")
def _transpose(padding: Padding, op: Op, input: Tensor, dim0: int, dim1: int) -> Tensor:
    layout = list(padding.layout(input))
    layout[dim0], layout[dim1] = layout[dim1], layout[dim0]
    return padding.mark(padding.plain(op, input, dim0, dim1), layout)


@rule("unsqueeze")
def _unsqueeze(padding: Padding, op: Op, input: Tensor, dim: int) -> Tensor:
    layout = list(padding.layout(input))
    layout.insert(dim if dim >= 0 else dim + len(layout) + 1, None)
    return padding.mark(padding.plain(op, input, dim), layout)


@rule("squeeze")
def _squeeze(padding: Padding, op: Op, input: Tensor, dim: Any) -> Tensor:
    layout, shape = padding.layout(input), _padded(input)
    dims = [d for d in _dims(dim, len(layout)) if shape[d] == 1 and layout[d] is None]
    return padding.mark(padding.plain(op, input, tuple(dims)), _without(layout, dims, False)) if dims else input


@rule("expand")
def _expand(padding: Padding, op: Op, input: Tensor, size: Sequence[Any]) -> Tensor:
    layout, have = padding.layout(input), _padded(input)
    padded, out = [], []
    for back in range(len(size), 0, -1):
        wanted, ragged = size[-back], layout[-back] if back <= len(layout) else None
        if isinstance(wanted, Length):
            if ragged is None and (back > len(layout) or have[-back] == 1):
                if wanted.factor != 1:
                    raise _refuse(op, "a merged length", input)
                ragged = Ragged(wanted.dynamic, wanted.offset)
            elif ragged is None or not (ragged.length == wanted):
                raise _refuse(op, f"the length {wanted!r}", input)
            wanted = wanted.high
        elif ragged is not None and wanted != -1:
            raise _refuse(op, f"the size {wanted}", input)
        padded.append(wanted)
        out.append(ragged if ragged is not None else None)
    return padding.guarded(padding.mark(padding.plain(op, input, tuple(padded)), out))


@rule("make_full")
def _full(padding: Padding, op: Op, size: Sequence[Any], value: Any, dtype: Any, device: Any) -> Tensor:
    if any(isinstance(n, Length) and n.factor != 1 for n in size):
        raise _refuse(op, "a merged length")
    layout = [Ragged(n.dynamic, n.offset) if isinstance(n, Length) else None for n in size]
    padded = tuple([n.high if isinstance(n, Length) else n for n in size])
    return padding.mark(padding.plain(op, padded, value, dtype, device), layout)


@rule("make_arange")
def _arange(padding: Padding, op: Op, start: int, step: int, length: Length, dtype: Any, device: Any) -> Tensor:
    if not isinstance(length, Length) or length.factor != 1:
        raise _refuse(op, "a merged length")
    result = padding.plain(op, start, step, length.high, dtype, device)
    return padding.mark(result, [Ragged(length.dynamic, length.offset)])


@rule("tril", "triu")
def _triangle(padding: Padding, op: Op, input: Tensor, diagonal: int) -> Tensor:
    layout = padding.layout(input)
    if any(ragged is not None and (not ragged.simple or ragged.post > 1) for ragged in layout[-2:]):
        raise _refuse(op, "a triangle of a merged dimension", input)
    return padding.mark(padding.plain(op, input, diagonal), layout)


@rule("cat")
def _cat(padding: Padding, op: Op, tensors: Sequence[Tensor], dim: int) -> Tensor:
    layouts = [list(padding.layout(tensor)) for tensor in tensors]
    at = dim % len(layouts[0])
    along = [layout[at] for layout in layouts]
    for layout in layouts:
        layout[at] = None
    if any(layout != layouts[0] for layout in layouts) or any(along[:-1]):
        raise _refuse(op, "joining anything behind a dynamic dimension", *tensors)
    ragged = along[-1]
    if ragged is not None:
        if not ragged.simple or ragged.post > 1:
            raise _refuse(op, "joining a merged dimension", *tensors)
        ragged = ragged._replace(offset=ragged.offset + sum(_padded(tensor)[at] for tensor in tensors[:-1]))
    layouts[0][at] = ragged
    return padding.mark(padding.plain(op, list(tensors), dim), layouts[0])


@rule("stack")
def _stack(padding: Padding, op: Op, tensors: Sequence[Tensor], dim: int) -> Tensor:
    layout = list(padding.layout(tensors[0]))
    if any(list(padding.layout(tensor)) != layout for tensor in tensors):
        raise _refuse(op, "stacking different lengths", *tensors)
    layout.insert(dim % (len(layout) + 1), None)
    return padding.mark(padding.plain(op, list(tensors), dim), layout)


@rule("split_lengths", "unbind")
def _split(padding: Padding, op: Op, input: Tensor, *rest: Any) -> Any:
    layout, dim = padding.layout(input), rest[-1]
    if layout[dim] is not None:
        raise _refuse(op, "splitting it", input)
    kept = _without(layout, [dim % len(layout)], op.name == "split_lengths")
    return tuple([padding.mark(part, kept) for part in padding.plain(op, input, *rest)])


# ---- positions -----------------------------------------------------------------------------------------------


@rule("gather")
def _gather(padding: Padding, op: Op, input: Tensor, dim: int, index: Tensor) -> Tensor:
    layout, taken = padding.layout(input), padding.layout(index)
    at = dim % len(layout)
    if layout[at] is not None and not layout[at].simple:  # type: ignore[union-attr]
        raise _refuse(op, "an index into a merged dimension", input, index)
    if any(layout[d] != taken[d] for d in range(len(layout)) if d != at):
        raise _refuse(op, "gathering from another length", input, index)
    return padding.guarded(padding.mark(padding.plain(op, input, dim, index), taken))


@rule("index_select")
def _index_select(padding: Padding, op: Op, input: Tensor, dim: int, index: Tensor) -> Tensor:
    layout = list(padding.layout(input))
    ragged = layout[dim]
    if ragged is not None and not ragged.simple:
        raise _refuse(op, "an index into a merged dimension", input, index)
    layout[dim] = padding.layout(index)[0] if index.ndim else None
    return padding.guarded(padding.mark(padding.plain(op, input, dim, index), layout))


@rule("narrow_at", "select_at")
def _at_positions(padding: Padding, op: Op, input: Tensor, dim: int, where: Any, *length: Any) -> Tensor:
    layout = padding.layout(input)
    if layout[dim] is not None:  # subscript() is for these: here -1 is already the last of the padding
        raise _refuse(op, "a position counted in it", input)
    kept = _without(layout, [dim % len(layout)], op.name == "narrow_at")
    return padding.mark(padding.plain(op, input, dim, where, *length), kept)


def subscript(padding: Padding, tensor: Tensor, key: Any) -> Tensor:
    """``tensor[key]`` with full slices, slices, ints, None and ``...`` where a dimension is dynamic.

    Raises:
        DynamicLengthError: a key of another kind.
    """
    op = table["index"]
    keys = list(key) if isinstance(key, tuple) else [key]
    if any(k is not None and k is not Ellipsis and k.__class__ not in (int, slice) for k in keys):
        raise _refuse(op, "a subscript other than an int, a slice, None and ...", tensor)
    taken = sum(k is not None and k is not Ellipsis for k in keys)
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys[at : at + 1] = [slice(None)] * (tensor.ndim - taken)
    dim = 0
    for k in keys:
        if k is None:
            tensor = tensor.unsqueeze(dim)
        elif padding.layout(tensor)[dim] is None:
            tensor = tensor[(*[slice(None)] * dim, k)] if not padding.is_dynamic(tensor) else _static(tensor, dim, k)
        elif k.__class__ is int:
            tensor = _selected(padding, op, tensor, dim, k)
        else:
            tensor = _sliced(padding, op, tensor, dim, k)
        dim += k.__class__ is not int
    return tensor


def _selected(padding: Padding, op: Op, tensor: Tensor, dim: int, k: int) -> Tensor:
    """One position of a dynamic dimension, from its beginning or its end."""
    layout = padding.layout(tensor)
    length: Any = tensor.shape[dim]
    if length.low <= (k if k >= 0 else -k - 1) or not layout[dim].simple or layout[dim].post > 1:  # type: ignore[union-attr]
        raise _refuse(op, f"the position {k}, which is not there for all lengths of this bucket,", tensor)
    if k < 0:
        selected: Tensor = tensor.index_select(dim, (length.value() + k).reshape(1)).squeeze(dim)
        return selected
    return padding.mark(padding.plain("select_at", tensor, dim, k), _without(layout, [dim], False))


def _static(tensor: Tensor, dim: int, k: Any) -> Tensor:
    """The subscript of a dimension that is not dynamic, of a Tensor that has such ones."""
    size = tensor.shape[dim]
    if isinstance(k, slice):
        start, stop, step = k.indices(size)
        if (start, stop, step) == (0, size, 1):
            return tensor
        positions = range(start, stop, step)
        if step == 1:
            narrowed: Tensor = table["narrow_at"].caller(tensor, dim, start, len(positions))  # type: ignore[misc]
            return narrowed
        raise _refuse(table["index"], "a step beside it", tensor)
    position = range(size)[k]
    selected: Tensor = table["select_at"].caller(tensor, dim, position)  # type: ignore[misc]
    return selected


def _sliced(padding: Padding, op: Op, tensor: Tensor, dim: int, k: slice) -> Tensor:
    """``a:``, ``:-b`` and ``a:-b`` of a dynamic dimension, or up to its own length."""
    layout = list(padding.layout(tensor))
    ragged = layout[dim]
    assert ragged is not None
    start, stop = k.start or 0, k.stop
    if isinstance(stop, Length):
        stop = stop - ragged.length if stop.dynamic is ragged.dynamic and stop.factor == 1 else 1
        stop = None if stop == 0 else stop
    if start.__class__ is int and stop.__class__ is int and 0 <= start <= stop <= ragged.length.low:
        layout[dim] = None
        if k.step in (None, 1) and ragged.simple and ragged.post == 1:
            return padding.mark(padding.plain("narrow_at", tensor, dim, start, stop - start), layout)
    layout[dim] = ragged
    fits = start.__class__ is int and start >= 0 and (stop is None or (stop.__class__ is int and stop < 0))
    if k.step not in (None, 1) or not fits or not ragged.simple or ragged.post > 1:
        raise _refuse(op, "a slice other than [a:], [:-b] and [a:-b]", tensor)
    if (start, stop) == (0, None):
        return tensor
    less = start - (stop or 0)
    layout[dim] = ragged._replace(offset=ragged.offset - less)
    narrowed = padding.plain("narrow_at", tensor, dim, start, ragged.length.high - less)
    return padding.mark(narrowed, layout)
