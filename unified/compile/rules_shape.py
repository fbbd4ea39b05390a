"""What ops that arrange make of a dimension of dynamic length: shapes, subscripts and positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from unified._dispatch import table
from unified._length import Length
from unified._op import Op
from unified._tensor import Tensor
from unified.compile.padding import Padding, Ragged
from unified.compile.rules import padded_shape, reduced_dims, refuse, rule, without

# ---- shapes --------------------------------------------------------------------------------------------------


@rule("reshape")
def _reshape(padding: Padding, op: Op, input: Tensor, shape: Sequence[Any]) -> Tensor:
    units: list[Any] = []  # what the dimensions are made of, in order: sizes, and one (Ragged) for each dynamic one
    for size, ragged in zip(padded_shape(input), padding.layout(input), strict=True):
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
        raise refuse(op, f"the shape {tuple(shape)}", input)
    return padding.mark(padding.plain(op, input, tuple(padded)), layout)


def _rest(op: Op, input: Tensor, units: Sequence[Any], others: Sequence[Any]) -> Any:
    """What -1 stands for."""
    ragged = [unit for unit in units if isinstance(unit, Ragged)]
    static = math.prod(unit for unit in units if not isinstance(unit, Ragged))
    for size in others:
        if isinstance(size, Length):
            held = [r for r in ragged if r.dynamic is size.dynamic and r.offset == size.offset]
            if not held:
                raise refuse(op, f"the length {size!r}", input)
            ragged.remove(held[0])
            size = size.factor
        if size <= 0 or static % size:
            raise refuse(op, "that shape", input)
        static //= size
    if len(ragged) > 1:
        raise refuse(op, "merging two dynamic dimensions", input)
    return Length(ragged[0].dynamic, ragged[0].offset, static) if ragged else static


def _take_static(op: Op, input: Tensor, units: list[Any], size: int) -> None:
    """Takes a size off the front of ``units``."""
    while size != 1:
        if not units or isinstance(units[0], Ragged):
            raise refuse(op, "splitting or moving a dynamic dimension", input)
        common = math.gcd(units[0], size)
        if common == 1:
            raise refuse(op, "that shape", input)
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
        raise refuse(op, f"the length {size!r}", input)
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
    layout, shape = padding.layout(input), padded_shape(input)
    dims = [d for d in reduced_dims(dim, len(layout)) if shape[d] == 1 and layout[d] is None]
    return padding.mark(padding.plain(op, input, tuple(dims)), without(layout, dims, False)) if dims else input


@rule("expand")
def _expand(padding: Padding, op: Op, input: Tensor, size: Sequence[Any]) -> Tensor:
    layout, have = padding.layout(input), padded_shape(input)
    padded, out = [], []
    for back in range(len(size), 0, -1):
        wanted, ragged = size[-back], layout[-back] if back <= len(layout) else None
        if isinstance(wanted, Length):
            if ragged is None and (back > len(layout) or have[-back] == 1):
                if wanted.factor != 1:
                    raise refuse(op, "a merged length", input)
                ragged = Ragged(wanted.dynamic, wanted.offset)
            elif ragged is None or ragged.length != wanted:
                raise refuse(op, f"the length {wanted!r}", input)
            wanted = wanted.high
        elif ragged is not None and wanted != -1:
            raise refuse(op, f"the size {wanted}", input)
        padded.append(wanted)
        out.append(ragged if ragged is not None else None)
    return padding.guarded(padding.mark(padding.plain(op, input, tuple(padded)), out))


@rule("make_full")
def _full(padding: Padding, op: Op, size: Sequence[Any], value: Any, dtype: Any, device: Any) -> Tensor:
    if any(isinstance(n, Length) and n.factor != 1 for n in size):
        raise refuse(op, "a merged length")
    layout = [Ragged(n.dynamic, n.offset) if isinstance(n, Length) else None for n in size]
    padded = tuple([n.high if isinstance(n, Length) else n for n in size])
    return padding.mark(padding.plain(op, padded, value, dtype, device), layout)


@rule("make_arange")
def _arange(padding: Padding, op: Op, start: int, step: int, length: Length, dtype: Any, device: Any) -> Tensor:
    if not isinstance(length, Length) or length.factor != 1:
        raise refuse(op, "a merged length")
    result = padding.plain(op, start, step, length.high, dtype, device)
    return padding.mark(result, [Ragged(length.dynamic, length.offset)])


@rule("tril", "triu")
def _triangle(padding: Padding, op: Op, input: Tensor, diagonal: int) -> Tensor:
    layout = padding.layout(input)
    if any(ragged is not None and (not ragged.simple or ragged.post > 1) for ragged in layout[-2:]):
        raise refuse(op, "a triangle of a merged dimension", input)
    return padding.mark(padding.plain(op, input, diagonal), layout)


@rule("cat")
def _cat(padding: Padding, op: Op, tensors: Sequence[Tensor], dim: int) -> Tensor:
    layouts = [list(padding.layout(tensor)) for tensor in tensors]
    at = dim % len(layouts[0])
    along = [layout[at] for layout in layouts]
    for layout in layouts:
        layout[at] = None
    if any(layout != layouts[0] for layout in layouts) or any(along[:-1]):
        raise refuse(op, "joining anything behind a dynamic dimension", *tensors)
    ragged = along[-1]
    if ragged is not None:
        if not ragged.simple or ragged.post > 1:
            raise refuse(op, "joining a merged dimension", *tensors)
        ragged = ragged._replace(offset=ragged.offset + sum(padded_shape(tensor)[at] for tensor in tensors[:-1]))
    layouts[0][at] = ragged
    return padding.mark(padding.plain(op, list(tensors), dim), layouts[0])


@rule("stack")
def _stack(padding: Padding, op: Op, tensors: Sequence[Tensor], dim: int) -> Tensor:
    layout = list(padding.layout(tensors[0]))
    if any(list(padding.layout(tensor)) != layout for tensor in tensors):
        raise refuse(op, "stacking different lengths", *tensors)
    layout.insert(dim % (len(layout) + 1), None)
    return padding.mark(padding.plain(op, list(tensors), dim), layout)


@rule("split_lengths", "unbind")
def _split(padding: Padding, op: Op, input: Tensor, *rest: Any) -> Any:
    layout, dim = padding.layout(input), rest[-1]
    if layout[dim] is not None:
        raise refuse(op, "splitting it", input)
    kept = without(layout, [dim % len(layout)], op.name == "split_lengths")
    return tuple([padding.mark(part, kept) for part in padding.plain(op, input, *rest)])


# ---- positions -----------------------------------------------------------------------------------------------


@rule("gather")
def _gather(padding: Padding, op: Op, input: Tensor, dim: int, index: Tensor) -> Tensor:
    layout, taken = padding.layout(input), padding.layout(index)
    at = dim % len(layout)
    if layout[at] is not None and not layout[at].simple:  # type: ignore[union-attr]
        raise refuse(op, "an index into a merged dimension", input, index)
    if any(layout[d] != taken[d] for d in range(len(layout)) if d != at):
        raise refuse(op, "gathering from another length", input, index)
    return padding.guarded(padding.mark(padding.plain(op, input, dim, index), taken))


@rule("index_select")
def _index_select(padding: Padding, op: Op, input: Tensor, dim: int, index: Tensor) -> Tensor:
    layout = list(padding.layout(input))
    ragged = layout[dim]
    if ragged is not None and not ragged.simple:
        raise refuse(op, "an index into a merged dimension", input, index)
    layout[dim] = padding.layout(index)[0] if index.ndim else None
    return padding.guarded(padding.mark(padding.plain(op, input, dim, index), layout))


@rule("narrow_at", "select_at")
def _at_positions(padding: Padding, op: Op, input: Tensor, dim: int, where: Any, *length: Any) -> Tensor:
    layout = padding.layout(input)
    if layout[dim] is not None:  # subscript() is for these: here -1 is already the last of the padding
        raise refuse(op, "a position counted in it", input)
    kept = without(layout, [dim % len(layout)], op.name == "narrow_at")
    return padding.mark(padding.plain(op, input, dim, where, *length), kept)


def subscript(padding: Padding, tensor: Tensor, key: Any) -> Tensor:
    """``tensor[key]`` with full slices, slices, ints, None and ``...`` where a dimension is dynamic.

    Raises:
        DynamicLengthError: a key of another kind.
    """
    op = table["index"]
    keys = list(key) if isinstance(key, tuple) else [key]
    if any(k is not None and k is not Ellipsis and k.__class__ not in (int, slice) for k in keys):
        raise refuse(op, "a subscript other than an int, a slice, None and ...", tensor)
    taken = sum(k is not None and k is not Ellipsis for k in keys)
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys[at : at + 1] = [slice(None)] * (tensor.ndim - taken)
    dim = 0
    for k in keys:
        if k is None:
            tensor = tensor.unsqueeze(dim)
        elif k.__class__ is slice and isinstance(k.stop, Length) and padding.layout(tensor)[dim] is None:
            tensor = _up_to(padding, op, tensor, dim, k)
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
        raise refuse(op, f"the position {k}, which is not there for all lengths of this bucket,", tensor)
    if k < 0:
        selected: Tensor = tensor.index_select(dim, (length.value() + k).reshape(1)).squeeze(dim)
        return selected
    return padding.mark(padding.plain("select_at", tensor, dim, k), without(layout, [dim], False))


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
        raise refuse(table["index"], "a step beside it", tensor)
    position = range(size)[k]
    selected: Tensor = table["select_at"].caller(tensor, dim, position)  # type: ignore[misc]
    return selected


def _up_to(padding: Padding, op: Op, tensor: Tensor, dim: int, k: slice) -> Tensor:
    """``a:length`` of a dimension that is not dynamic, as of a table of positions."""
    start, stop, size = k.start or 0, k.stop, tensor.shape[dim]
    if k.step not in (None, 1) or start.__class__ is not int or not 0 <= start <= stop.low or stop.factor != 1:
        raise refuse(op, "a slice to a dynamic length other than [:length] and [a:length]", tensor)
    if stop.high > size:
        bucket = f"the bucket of {stop.low} to {stop.high} (end one there, buckets=)"
        raise refuse(op, f"a slice to {stop!r} of a dimension of {size}, in the middle of {bucket},", tensor)
    layout = list(padding.layout(tensor))
    layout[dim] = Ragged(stop.dynamic, stop.offset - start)
    return padding.mark(padding.plain("narrow_at", tensor, dim, start, stop.high - start), layout)


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
        raise refuse(op, "a slice other than [a:], [:-b] and [a:-b]", tensor)
    if (start, stop) == (0, None):
        return tensor
    less = start - (stop or 0)
    if ragged.length.low < less:
        raise refuse(op, f"leaving out {less}, more than some lengths of this bucket,", tensor)
    layout[dim] = ragged._replace(offset=ragged.offset - less)
    narrowed = padding.plain("narrow_at", tensor, dim, start, ragged.length.high - less)
    return padding.mark(narrowed, layout)
