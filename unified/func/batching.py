"""``vmap``: a function of one example as a function of many."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from unified._dispatch import table
from unified._levels import entered
from unified._tensor import Tensor
from unified._transforms import transforms_of
from unified.errors import ArgumentError, FunctionTransformError, ShapeError
from unified.func._arguments import flatten, name_of, representative, unflatten

_RANDOMNESS = ("error", "same", "different")


def vmap(
    func: Callable[..., Any], in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:  # fmt: skip
    """``func``, written for one example, as a function of batches; no loop runs.

    Args:
        func: takes and returns Tensors in any nesting.
        in_dims: where each positional argument has its batch dimension, None where it has none: an int for all, or a
            tuple with an entry for each argument, nested as the arguments are. Keyword arguments are batched along 0.
        out_dims: where each output gets it: an int for all, or a tuple. None for an output that does not vary.
        randomness: what draws do within: "error", or the "same" or "different" numbers for each example.
        chunk_size: how many examples are computed at a time, to save memory; None for all.

    Example: ``vmap(un.dot, in_dims=(0, None))(x, y)`` with ``x`` (5, 3) and ``y`` (3,) has shape (5,).

    Raises (when called):
        ArgumentError: ``in_dims`` or ``out_dims`` do not fit, or no argument is batched.
        ShapeError: batch dimensions have several lengths, or do not exist.
        FunctionTransformError: Python asked for a value within, something random was drawn with "error", or ``func``
            returned something else than Tensors.
    """
    if randomness not in _RANDOMNESS:
        raise ArgumentError(f"vmap: randomness must be one of {_RANDOMNESS}, not {randomness!r}")
    if chunk_size is not None and chunk_size < 1:
        raise ArgumentError(f"vmap: chunk_size must be None or at least 1, not {chunk_size}")

    @functools.wraps(func)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        name = name_of(func)
        if not isinstance(in_dims, (int, tuple)):
            raise ArgumentError(f"vmap({name}): in_dims must be an int or a tuple, not {in_dims!r}")
        if not args:
            raise ArgumentError(f"vmap({name}): at least one positional argument is needed")
        tensors, structure = flatten((args, kwargs))
        dims = _spread(name, in_dims, args) + [0] * len(flatten(kwargs)[0])
        size = _batch_size(name, tensors, dims)
        dims = [None if dim is None else dim % tensor.ndim for dim, tensor in zip(dims, tensors, strict=True)]
        step = size if chunk_size is None else chunk_size
        pieces = []
        drawn: list[Tensor] | None = [] if randomness == "same" and step < size else None
        for start in range(0, max(size, 1), max(step, 1)):
            length = min(step, size - start)
            given = tensors if length == size else _part(tensors, dims, start, length)
            pieces.append(_mapped(func, given, dims, structure, length, out_dims, randomness, drawn))
        return _joined(name, pieces, out_dims)

    return mapped


def _mapped(
    func: Callable[..., Any], tensors: Sequence[Tensor], dims: Sequence[int | None], structure: Any, size: int,
    out_dims: Any, randomness: str, drawn: list[Tensor] | None,
) -> tuple[list[Any], Any]:  # fmt: skip
    """The outputs of one batch, flat, with the batch along 0 where their out_dim is not None."""
    name = name_of(func)
    chosen = representative(f"vmap({name})", tensors)
    level = transforms_of(chosen).batch(size, randomness)
    level.drawn = drawn
    with entered(level):
        inputs = [t if dim is None else level.put(t, dim) for t, dim in zip(tensors, dims, strict=True)]
        args, kwargs = unflatten(structure, inputs)
        result = func(*args, **kwargs)
        places = _spread_out(name, out_dims, result)
        found, form = _outputs(name, result, places)
        outputs = []
        for tensor, place in zip(found, places, strict=True):
            if place is not None:
                outputs.append(level.take(tensor))
            elif isinstance(tensor, Tensor):
                if level.varies(tensor):
                    raise ArgumentError(f"vmap({name}): an output that differs between examples has out_dims None")
                outputs.append(level.lower(tensor))
            else:
                outputs.append(tensor)
    return outputs, (form, places)


def _joined(name: str, pieces: list[tuple[list[Any], Any]], out_dims: Any) -> Any:
    form, places = pieces[0][1]
    joined = []
    for members, place in zip(zip(*[outputs for outputs, _ in pieces], strict=True), places, strict=True):
        if place is None:
            joined.append(members[0])
            continue
        whole: Tensor = members[0] if len(members) == 1 else table["cat"].caller(list(members), 0)  # type: ignore[misc]
        if not -whole.ndim <= place < whole.ndim:
            raise ShapeError(
                f"vmap({name}): out_dims={out_dims} is out of range for an output of shape {tuple(whole.shape)} "
                "with its batch dimension"
            )
        joined.append(whole if place == 0 else whole.movedim(0, place))
    return _rebuilt(form, iter(joined))


def _part(tensors: Sequence[Tensor], dims: Sequence[int | None], start: int, length: int) -> list[Tensor]:
    return [t if dim is None else t.narrow(dim, start, length) for t, dim in zip(tensors, dims, strict=True)]


def _parts(dims: Any, value: Any) -> list[tuple[Any, Any]] | None:
    """Of a tuple, list or dict each member with its part of ``dims``, or None where that has another structure."""
    members = list(value.values()) if isinstance(value, dict) else list(value)
    if dims is None or isinstance(dims, int):
        return [(dims, member) for member in members]
    if isinstance(value, dict) and isinstance(dims, dict) and dims.keys() == value.keys():
        return [(dims[key], member) for key, member in value.items()]
    if isinstance(dims, (tuple, list)) and not isinstance(value, dict) and len(dims) == len(value):
        return list(zip(dims, members, strict=True))
    return None


def _spread(name: str, in_dims: Any, args: Any) -> list[Any]:
    """``in_dims`` for each Tensor in ``args``, flat."""

    def walk(dims: Any, value: Any) -> list[Any]:
        if isinstance(value, Tensor):
            if dims is not None and (not isinstance(dims, int) or isinstance(dims, bool)):
                raise ArgumentError(f"vmap({name}): in_dims has {dims!r} for a Tensor; it must be an int or None")
            return [dims]
        if isinstance(value, (tuple, list, dict)):
            parts = _parts(dims, value)
            if parts is None:
                raise ArgumentError(
                    f"vmap({name}): in_dims={in_dims} does not fit the structure of the arguments: {dims!r} stands "
                    f"for a {type(value).__name__} of {len(value)}"
                )
            return [dim for part, member in parts for dim in walk(part, member)]
        inner = flatten(value)[0]
        if dims is not None and not inner:
            raise ArgumentError(
                f"vmap({name}): in_dims has {dims!r} for an argument of type {type(value).__name__}; only Tensors "
                "have a batch dimension, so use None there"
            )
        return [dims] * len(inner)

    return walk(in_dims, args)


def _batch_size(name: str, tensors: Sequence[Tensor], dims: Sequence[int | None]) -> int:
    sizes = []
    for tensor, dim in zip(tensors, dims, strict=True):
        if dim is None:
            continue
        if not -tensor.ndim <= dim < tensor.ndim:
            raise ShapeError(
                f"vmap({name}): in_dims has {dim} for a Tensor of {tensor.ndim} dimension(s), {tuple(tensor.shape)}"
            )
        sizes.append(tensor.shape[dim])
    if not sizes:
        raise ArgumentError(f"vmap({name}): at least one Tensor must be batched, but in_dims gives None for all")
    if len(set(sizes)) > 1:
        raise ShapeError(f"vmap({name}): batch dimensions must have one length, but they have {sizes}")
    return int(sizes[0])


def _spread_out(name: str, out_dims: Any, result: Any) -> list[int | None]:
    """``out_dims`` for each output, flat."""

    def walk(dims: Any, value: Any) -> list[Any]:
        if isinstance(value, (tuple, list, dict)):
            parts = _parts(dims, value)
            if parts is None and isinstance(dims, tuple) and len(dims) == 1:
                return walk(dims[0], value)
            if parts is None:
                raise ArgumentError(
                    f"vmap({name}): out_dims={out_dims} does not fit the structure of the outputs: {dims!r} stands "
                    f"for a {type(value).__name__} of {len(value)}"
                )
            return [dim for part, member in parts for dim in walk(part, member)]
        if isinstance(dims, tuple) and len(dims) == 1:
            dims = dims[0]
        if dims is not None and (not isinstance(dims, int) or isinstance(dims, bool)):
            raise ArgumentError(f"vmap({name}): out_dims={out_dims} does not fit the outputs")
        return [dims]

    return walk(out_dims, result)


def _outputs(name: str, result: Any, places: Sequence[int | None]) -> tuple[list[Any], Any]:
    """The outputs, flat, and a function of such a list's iterator that rebuilds their structure."""
    found: list[Any] = []

    def walk(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return (type(value), [walk(member) for member in value])
        if isinstance(value, dict):
            return (dict, {key: walk(member) for key, member in value.items()})
        found.append(value)
        return None

    form = walk(result)
    for value, place in zip(found, places, strict=True):
        if place is not None and not isinstance(value, Tensor):
            raise FunctionTransformError(
                f"vmap({name}): the function must return Tensors only, but it returned {type(value).__name__}; "
                "out_dims=None hands on what is no Tensor"
            )
    return found, form


def _rebuilt(form: Any, leaves: Any) -> Any:
    if form is None:
        return next(leaves)
    kind, members = form
    if kind is dict:
        return {key: _rebuilt(member, leaves) for key, member in members.items()}
    values = [_rebuilt(member, leaves) for member in members]
    return kind(*values) if hasattr(kind, "_fields") else kind(values)
