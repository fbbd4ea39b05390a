"""Subscripts, gathering and scattering.

``x[key]`` follows PyTorch: ints and slices act first, then index arrays; arrays side by side stay in place, arrays
that something separates move to the front. An int or a slice start is a dynamic argument, so that a loop over
``x[t]`` is one program. A negative array index counts from the end; one outside of its axis raises
IndexOutOfRangeError eagerly (on JAX and TensorFlow as long as the CPU is the default device, where looking at an
index costs 3 us and its extremes), and is undefined inside compiled programs, where XLA clamps it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from unified._dispatch import backends_by_type, composite, front, op, padding, tracing
from unified._dtype import Number, bool_, int32, scalar_dtype
from unified._index import Axis, AxisKind, bounds, parse
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError
from unified.ops import _axes
from unified.ops._checks import broadcast_shapes
from unified.ops.creation import from_host
from unified.ops.elementwise import where as _where

__all__ = [
    "argwhere", "gather", "index_add", "index_copy", "index_fill", "index_select", "masked_fill",
    "masked_select", "narrow", "nonzero", "scatter_add", "select", "take", "take_along_dim", "where",
]  # fmt: skip

Operand = Tensor | Number

# ---- checks --------------------------------------------------------------------------------------------------


def _check_masked_fill(input: Any, mask: Any, value: Any) -> None:
    if mask.dtype.kind != "b":
        raise DTypeError(f"mask must be bool, not {mask.dtype.name}")
    broadcast_shapes(input.shape, mask.shape)
    if getattr(value, "shape", ()):
        raise ShapeError(f"value must be a number or a 0-d tensor, not of shape {tuple(value.shape)}")
    _check_value(input, value)


def _check_value(input: Any, value: Any) -> None:
    kind = value.dtype if hasattr(value, "dtype") else scalar_dtype(value)
    if kind.is_complex and not input.dtype.is_complex:
        raise DTypeError(f"a {kind.name} value cannot fill a {input.dtype.name} tensor")


def subscripted_shape(shape: Sequence[int], operands: Sequence[Any], recipe: Sequence[Any]) -> tuple[int, ...]:
    """The shape of ``x[key]``."""
    queue = iter(operands)
    result: list[int] = []
    arrays: list[tuple[int, ...]] = []
    places: list[int] = []
    axis = 0
    for kind, start, length, _ in recipe:
        if kind is AxisKind.NEW:
            result.append(1)
            continue
        if kind is AxisKind.ALL:
            result.append(shape[axis])
        elif kind is AxisKind.SLICE:
            result.append(length)
        if kind is AxisKind.ARRAY:
            arrays.append(tuple(next(queue).shape))
            places.append(len(result) + len(places))
        elif kind is AxisKind.INT or (kind is AxisKind.SLICE and start is None):
            next(queue)
        axis += 1
    if arrays:
        together = places[-1] - places[0] == len(places) - 1
        at = places[0] if together else 0
        result[at:at] = broadcast_shapes(*arrays)
    return tuple(result)


def _subscripts(input: Any, operands: Sequence[Any], recipe: Sequence[Any]) -> Iterator[tuple[Any, int, int, bool]]:
    """The index arrays among ``operands``, which may count from the end (see ``_dispatch.Indices``)."""
    queue, axis = iter(operands), 0
    for kind, start, _, _ in recipe:
        if kind is AxisKind.ARRAY:
            yield next(queue), axis, input.shape[axis], True
        elif kind is AxisKind.INT or (kind is AxisKind.SLICE and start is None):
            next(queue)
        axis += kind is not AxisKind.NEW


def _written_subscripts(
    input: Any, operands: Sequence[Any], value: Any, recipe: Sequence[Any], accumulate: bool
) -> Iterator[tuple[Any, int, int, bool]]:
    return _subscripts(input, operands, recipe)


def _check_index(input: Any, operands: Sequence[Any], recipe: Sequence[Any]) -> None:
    subscripted_shape(input.shape, operands, recipe)


def _check_index_put(
    input: Any, operands: Sequence[Any], value: Any, recipe: Sequence[Any], accumulate: bool
) -> None:
    shape = subscripted_shape(input.shape, operands, recipe)
    given = tuple(getattr(value, "shape", ()))
    trimmed = given[max(0, len(given) - len(shape)) :]
    leading = given[: len(given) - len(trimmed)]
    fits = all(n == 1 for n in leading) and all(
        have in (1, want) for have, want in zip(trimmed[::-1], shape[::-1], strict=False)
    )
    if not fits:
        raise ShapeError(f"value of shape {given} does not broadcast to the subscripted shape {shape}")


# ---- subscripts ----------------------------------------------------------------------------------------------


@op(check=_check_index, indices=_subscripts)
def index(input: Tensor, operands: Sequence[Operand], recipe: tuple[Axis, ...]) -> Tensor:
    """``input[key]``, with the key as :func:`unified._index.parse` splits it."""


@op(name="index_put", check=_check_index_put, indices=_written_subscripts)
def write_at(
    input: Tensor, operands: Sequence[Operand], value: Operand, recipe: tuple[Axis, ...], accumulate: bool
) -> Tensor:
    """``input`` with ``value``, broadcast and cast, at ``input[key]``; added to what is there if ``accumulate``."""


@op()
def select_at(input: Tensor, dim: int, index: Operand) -> Tensor:
    """``input`` at one position of ``dim``, which must be in range; :func:`select` and ``x[i]`` see to that."""


@op()
def narrow_at(input: Tensor, dim: int, start: Operand, length: int) -> Tensor:
    """``length`` positions of ``dim`` from ``start``, in range already; :func:`narrow` and ``x[a:b]`` see to that."""


@op()
def nonzero_positions(input: Tensor) -> Tensor:
    """:func:`nonzero` as one int32 matrix, a row for each element that is not zero."""


@front("__getitem__")
def _getitem(self: Tensor, key: Any) -> Tensor:
    """``self[key]``: ints, slices, ``None``, ``...``, integer and bool Tensors or lists, as in PyTorch."""
    padded = padding()
    if padded is not None and padded.concerns(self, key):
        return padded.subscript(self, key)  # type: ignore[no-any-return]
    if key.__class__ is tuple:
        dim = len(key) - 1
        only = key[dim] if key and all(k.__class__ is slice and k == _WHOLE for k in key[:dim]) else None
    else:
        dim, only = 0, key
    if only.__class__ is int or only.__class__ is slice:  # one step along one axis, which is most of what is written
        shape = backends_by_type[self._native.__class__].shape(self._native)
        if dim < len(shape):
            length = shape[dim]
            if isinstance(only, slice):
                start, stop, step = only.indices(length) if length.__class__ is int else bounds(only, length)
                if step == 1:
                    return narrow_at(self, dim, start, max(0, stop - start))
            elif -length <= only < length:
                return select_at(self, dim, only)
    target, operands, recipe = subscripted(self, key)
    return index(target, operands, recipe)


_WHOLE = slice(None)


@front("__setitem__")
def _setitem(self: Tensor, key: Any, value: Any) -> None:
    """``self[key] = value``: rebinds the value of this Tensor; ``value`` is broadcast and cast."""
    if isinstance(value, Tensor):
        if value.backend == self.backend and value.device != self.device and value.ndim == 0:
            value = value.to(self.device)
    elif not isinstance(value, (bool, int, float, complex)):
        value = self.new_tensor(value)
    if isinstance(key, Tensor) and key.dtype.kind == "b" and not getattr(value, "shape", ()):
        _check_mask(key.shape, self.shape, 0)
        mask = key.reshape((*key.shape, *[1] * (self.ndim - key.ndim)))
        self._assign(masked_fill(self, mask, value))
        return
    self._assign(written_to(self, key, value, False))


def written_to(input: Tensor, key: Any, value: Operand, accumulate: bool) -> Tensor:
    """``input`` with ``value`` at ``input[key]``, or added there.

    A mask alone compiles too: there, as many elements as ``value`` has are taken to hold.
    """
    mask = key[0] if isinstance(key, tuple) and len(key) == 1 else key
    if isinstance(mask, Tensor) and mask.dtype.kind == "b" and mask.ndim and tracing() is not None:
        _check_mask(mask.shape, input.shape, 0)
        return write_where(input, mask, value, accumulate)
    target, operands, recipe = subscripted(input, key)
    written = write_at(target, operands, value, recipe, accumulate)
    return written if target is input else written.reshape(input.shape)


@composite
def write_where(input: Tensor, mask: Tensor, value: Operand, accumulate: bool) -> Tensor:
    """``input`` with ``value``, or its rows in order, where ``mask`` holds over the first dimensions, or added."""
    rest = input.shape[len(mask.shape) :]
    flat: Tensor = input.reshape((-1, *rest))
    holds = mask.reshape((-1,))
    rows: Any = value
    if isinstance(value, Tensor):
        rows = value.to(input.dtype)
        if len(value.shape) > len(rest):
            rows = rows.index_select(0, (holds.cumsum(0) - 1).clamp(0, value.shape[0] - 1))
    written: Tensor = _where(holds.reshape((-1, *[1] * len(rest))), flat + rows if accumulate else rows, flat)
    whole: Tensor = written.reshape(input.shape)
    return whole


def subscripted(tensor: Tensor, key: Any) -> tuple[Tensor, list[Any], tuple[Axis, ...]]:
    """The operands and the recipe of ``tensor[key]``, and ``tensor`` with a dimension more for each 0-d bool."""
    keys = key if isinstance(key, tuple) else (key,)
    if any(_is_array(k) or isinstance(k, _BOOLS) for k in keys):
        tensor, keys = _arrays(tensor, keys)
    recipe, operands = parse(keys, tensor.shape, Tensor)
    return tensor, operands, recipe


_BOOLS = (bool, np.bool_)


def _is_array(k: Any) -> bool:
    return isinstance(k, (Tensor, list, tuple, range, np.ndarray))


def _arrays(tensor: Tensor, keys: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
    """``keys`` with lists and numpy arrays as Tensors, and each bool mask as the positions where it holds.

    A 0-d mask stands on a new dimension of length 1, of which it takes position 0 or nothing.
    """
    arrays = [_as_index(tensor, k) if _is_array(k) else k for k in keys]
    result: list[Any] = []
    for place, k in enumerate(arrays):
        mask = isinstance(k, Tensor) and k.dtype.kind == "b"
        if not mask and not isinstance(k, _BOOLS):
            result.append(k)
            continue
        after_dots = any(other is Ellipsis for other in result)
        taken = sum(_axes_taken(other) for other in (arrays[place:] if after_dots else result))
        axis = tensor.ndim - taken if after_dots else taken
        if not isinstance(k, Tensor) or not k.ndim:
            tensor = tensor.unsqueeze(axis)
            result.append(nonzero(k.reshape((1,))).reshape((-1,)) if mask else _as_index(tensor, [0] if k else []))
            continue
        _check_mask(k.shape, tensor.shape, axis)
        result.extend(nonzero(k, as_tuple=True))
    return tensor, tuple(result)


def _axes_taken(k: Any) -> int:
    if k is None or k is Ellipsis or isinstance(k, _BOOLS):
        return 0
    return k.ndim if isinstance(k, Tensor) and k.dtype.kind == "b" else 1


def _as_index(tensor: Tensor, k: Any) -> Tensor:
    if not isinstance(k, Tensor):
        k = k if isinstance(k, np.ndarray) else list(k)
        empty = isinstance(k, list) and not k
        k = from_host(backends_by_type[type(tensor._native)], k, int32 if empty else None, tensor.device)
    if k.dtype.kind not in "iub":
        raise DTypeError(f"a {k.dtype.name} tensor cannot be a subscript; only integer and bool ones can")
    array: Tensor = k
    return array


def _check_mask(mask: Sequence[int], shape: Sequence[int], axis: int) -> None:
    if tuple(mask) != tuple(shape[axis : axis + len(mask)]):
        raise ShapeError(f"a mask of shape {tuple(mask)} does not fit axis {axis} of shape {tuple(shape)}")


@front("nonzero")
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """Positions of the elements that are not zero, int32, as one ``(count, ndim)`` matrix or a tuple of vectors.

    The shape depends on values, so that it cannot be compiled: there ``un.where`` with three arguments does.

    Raises:
        TracedValueError: inside a function that ``un.compile`` traces.
    """
    tracer = tracing()
    if tracer is not None:
        raise tracer.refuse_value("nonzero (or a bool mask as a subscript), whose shape depends on values")
    if as_tuple and not input.shape:  # where a 0-d tensor counts as a vector
        input = input.reshape((1,))
    positions = nonzero_positions(input)
    return positions.unbind(1) if as_tuple else positions


@front("argwhere")
def argwhere(input: Tensor) -> Tensor:
    """``nonzero(input)``, the ``(count, ndim)`` matrix."""
    positions: Tensor = nonzero(input)
    return positions


@front("masked_select")
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where ``mask`` holds, as a vector; both are broadcast. Cannot be compiled, see :func:`nonzero`."""
    shape = broadcast_shapes(input.shape, mask.shape)
    if mask.dtype.kind != "b":
        raise DTypeError(f"masked_select: mask must be bool, not {mask.dtype.name}")
    flat: Tensor = input.expand(shape).reshape((-1,))
    return _getitem(flat, mask.expand(shape).reshape((-1,)))


@front()
def where(condition: Tensor, input: Operand | None = None, other: Operand | None = None) -> Any:
    """``input`` where ``condition`` holds, else ``other``; without those two ``nonzero(condition, as_tuple=True)``.

    No NaN of the branch not taken enters a gradient. Example: ``where(x > 0, x, 0.0)``.

    Raises:
        ArgumentError: one of ``input`` and ``other`` alone is given.
        DTypeError: ``condition`` is not bool.
    """
    if (input is None) is not (other is None):
        raise ArgumentError("where: takes a condition alone, or with both input and other")
    if input is None or other is None:
        return nonzero(condition, as_tuple=True)
    return _where(condition, input, other)


@front("where")
def _where_method(input: Tensor, condition: Tensor, other: Operand) -> Tensor:
    """This Tensor where ``condition`` holds, else ``other``."""
    return _where(condition, input, other)


@op(methods=("masked_fill",), inplace=True, check=_check_masked_fill)
def masked_fill(input: Tensor, mask: Tensor, value: Operand) -> Tensor:
    """``value`` where ``mask`` holds, else ``input``. Example: ``scores.masked_fill(~causal, -math.inf)``."""


@front("select")
def select(input: Tensor, dim: int, index: int | Tensor) -> Tensor:
    """``input`` at one position of ``dim``, without it. Example: ``(2, 3) -> select(1, 0) -> (2,)``.

    Raises:
        IndexOutOfRangeError: no such position or dimension.
    """
    shape = input.shape
    at = _axes.axis(dim, shape)
    if not shape or (not isinstance(index, Tensor) and not -shape[at] <= index < shape[at]):
        raise IndexOutOfRangeError(f"select: index {index} is out of range for dim {dim} of shape {tuple(shape)}")
    return select_at(input, at, index)


@front("narrow", "narrow_copy")
def narrow(input: Tensor, dim: int, start: int | Tensor, length: int) -> Tensor:
    """``length`` positions of ``dim`` from ``start``, an int or a 0-d integer Tensor.

    Example: ``(5,) -> narrow(0, 1, 3) -> (3,)``.

    Raises:
        IndexOutOfRangeError: they reach outside of the dimension; with a Tensor undefined in compiled programs.
    """
    shape = input.shape
    at = _axes.axis(dim, shape)
    if not shape:
        raise ShapeError("narrow: a 0-d tensor cannot be narrowed")
    if isinstance(start, Tensor):
        if start.ndim or start.dtype.kind not in "iu":
            raise ArgumentError(f"narrow: start must be a 0-d integer, not {start.dtype.name} {tuple(start.shape)}")
        if tracing() is not None and 0 <= length <= shape[at]:
            return narrow_at(input, at, _where(start < 0, start + shape[at], start), length)
        start = int(start)
    first = start + shape[at] if start < 0 else start
    if not 0 <= first <= first + length <= shape[at]:
        raise IndexOutOfRangeError(
            f"narrow: start {start} and length {length} reach outside of dim {dim} of shape {tuple(shape)}"
        )
    return narrow_at(input, at, first, length)


# ---- gathering -----------------------------------------------------------------------------------------------


@op(methods=("gather",), check=_axes.check_gather, indices=_axes.index_along)
def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """``out[i][j] = input[index[i][j]][j]`` for ``dim=0``, and so on; the result has the shape of ``index``."""


@op(methods=("index_select",), check=_axes.check_index_select, indices=_axes.index_along)
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of ``dim`` that a vector names. Example: ``(5, 2) -> index_select(0, [4, 0]) -> (2, 2)``."""


def _check_take_along_dim(input: Any, indices: Any, dim: int | None) -> None:
    _axes.integer_index(indices)
    if dim is None:
        return
    if len(indices.shape) != len(input.shape):
        raise ShapeError(
            f"input {tuple(input.shape)} and indices {tuple(indices.shape)} must have equally many dimensions"
        )
    at = _axes.axis(dim, input.shape)
    for part in (slice(at), slice(at + 1, None)):
        broadcast_shapes(input.shape[part], indices.shape[part])


def _along_or_flat(input: Any, indices: Any, dim: int | None) -> list[tuple[Any, int, int, bool]]:
    if dim is None or not len(input.shape):
        return [(indices, 0, math.prod(input.shape), True)]
    return [(indices, dim, input.shape[_axes.axis(dim, input.shape)], True)]


@composite(methods=("take_along_dim",), check=_check_take_along_dim, indices=_along_or_flat)
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """As :func:`gather`, with the other dimensions broadcast; flattened if ``dim`` is None.

    Negative indices count from the end.
    """
    if dim is None:
        return take_along_dim(input.reshape((-1,)), indices.reshape((-1,)), 0)
    if not input.shape:
        return gather(input, 0, indices)
    at = _axes.axis(dim, input.shape)
    head = broadcast_shapes(input.shape[:at], indices.shape[:at])
    tail = broadcast_shapes(input.shape[at + 1 :], indices.shape[at + 1 :])
    grown = input.expand((*head, input.shape[at], *tail))
    counted = _where(indices < 0, indices + input.shape[at], indices)
    return gather(grown, at, counted.expand((*head, indices.shape[at], *tail)))


@front("take")
def take(input: Tensor, index: Tensor) -> Tensor:
    """Elements of the flattened ``input``, in the shape of ``index``. At [0, 3] ``[[1, 2], [3, 4]]`` has [1, 4]."""
    _axes.integer_index(index)
    return _getitem(input.reshape((-1,)), (index,)) if index.ndim else select(input.reshape((-1,)), 0, index)


# ---- scattering ----------------------------------------------------------------------------------------------


@op(name="scatter", check=_axes.check_scatter, indices=_axes.index_along)
def scatter_at(input: Tensor, dim: int, index: Tensor, src: Operand) -> Tensor:
    """:func:`unified.ops.scatter.scatter` without a reduction."""


@op(methods=("scatter_add",), inplace=True, check=_axes.check_scatter, indices=_axes.index_along)
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """``input`` with ``src[i][j]`` added at ``[index[i][j]][j]`` for ``dim=0``, and so on."""


def _put(name: str, input: Tensor, dim: int, index: Tensor, value: Operand, accumulate: bool) -> Tensor:
    at = _axes.axis(dim, input.shape)
    _axes.integer_index(index)
    if index.ndim > 1:
        raise ShapeError(f"{name}: index must be a vector, not of shape {tuple(index.shape)}")
    if input.ndim == 0:
        scalar: Tensor = _put(name, input.reshape((1,)), 0, index, value, accumulate).reshape(())
        return scalar
    shape = (*input.shape[:at], math.prod(index.shape), *input.shape[at + 1 :])
    if isinstance(value, Tensor) and value.ndim and tuple(value.shape) != shape:
        raise ShapeError(f"{name}: source {tuple(value.shape)} must have the shape {shape}")
    recipe = tuple(Axis(AxisKind.ARRAY if k == at else AxisKind.ALL) for k in range(input.ndim))
    return write_at(input, [index.reshape((-1,))], value, recipe, accumulate)


@front("index_add", "index_add_")
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Number = 1) -> Tensor:
    """``input`` with ``alpha * source`` added at the positions ``index`` of ``dim``; repeats add up."""
    return _put("index_add", input, dim, index, source if alpha == 1 else source * alpha, True)


@front("index_copy", "index_copy_")
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """``input`` with ``source`` at the positions ``index`` of ``dim``."""
    return _put("index_copy", input, dim, index, source, False)


def _check_index_fill(input: Any, dim: int, index: Any, value: Any) -> None:
    _axes.check_index_select(input, dim, index)
    if getattr(value, "shape", ()):
        raise ArgumentError(f"value must be a number or a 0-d tensor, not of shape {tuple(value.shape)}")
    _check_value(input, value)


@composite(methods=("index_fill",), inplace=True, check=_check_index_fill, indices=_axes.index_along)
def index_fill(input: Tensor, dim: int, index: Tensor, value: Operand) -> Tensor:
    """``input`` with ``value``, a number or a 0-d tensor, at the positions ``index`` of ``dim``."""
    shape = input.shape
    at = _axes.axis(dim, shape)
    length = shape[at] if shape else 1
    count = math.prod(index.shape)
    flags = index.new_ones((count,), dtype=bool_)
    array = (Axis(AxisKind.ARRAY),)
    hit = write_at(index.new_zeros((length,), dtype=bool_), [index.reshape((count,))], flags, array, False)
    return masked_fill(input, hit.reshape([length if k == at else 1 for k in range(len(shape))]), value)
