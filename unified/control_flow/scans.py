"""Loops over slices: ``scan``, ``map`` and ``associative_scan``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unified import _structure as structure
from unified._tensor import Tensor
from unified.control_flow import _rules
from unified.control_flow._nests import Nest, backend_of
from unified.control_flow._region import compiles, settled
from unified.control_flow._state import State, recorded
from unified.errors import ArgumentError, ControlFlowError, OperandError, ShapeError
from unified.ops.creation import arange, zeros
from unified.ops.shape import cat, stack


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any = None, length: int | None = None,
    reverse: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    """A loop that carries a state along and stacks what it gives out: ``carry, y = f(carry, x)`` for each slice.

    Eagerly this is a Python ``for``. Inside ``un.compile`` the body is traced once and becomes one loop of the
    compiler's. Tensors that ``f`` uses from outside need no mention; those it rebinds are carried along.

    Args:
        f: (carry, slice of ``xs``) to (next carry, y), both in any nesting of Tensors.
        init: the first carry. Each next one must have its structure, shapes and dtypes.
        xs: Tensors in any nesting with a first dimension of one length, or None for a loop of ``length`` trips.
        length: how many trips; may be left out where ``xs`` says it.
        reverse: from the last slice to the first; ``y`` of a slice stays at its place.

    Returns:
        ``(carry, ys)``, with a new first dimension in ``ys``.

    Example: ``un.scan(lambda c, x: (c + x, c + x), un.tensor(0.0), x)`` has ``x.cumsum(0)`` as its ``ys``.

    Raises:
        ControlFlowError: ``f`` returns no pair, or a carry of another structure, shape or dtype than ``init``.
        ShapeError: ``xs`` have several lengths, or another one than ``length``.
        ArgumentError: neither ``xs`` nor ``length`` is given.
    """
    slices: list[Tensor] = []
    form = structure.flatten(xs, slices)
    count = _length("scan", slices, length)
    carry: list[Tensor] = []
    init_form = structure.flatten(init, carry)
    if count and not compiles():
        return _looped(f, init, init_form, carry, slices, form, count, reverse)
    return _traced(f, init_form, carry, slices, form, count, reverse)


def _length(what: str, xs: list[Tensor], length: int | None) -> int:
    if length is not None and (not isinstance(length, int) or isinstance(length, bool)):
        raise OperandError(f"{what}: length must be an int, not {type(length).__name__}")
    if any(x.ndim == 0 for x in xs):
        raise ShapeError(f"{what}: xs must have a first dimension to loop over, and one of them is 0-d")
    found = {x.shape[0] for x in xs} | (set() if length is None else {length})
    if not found:
        raise ArgumentError(f"{what}: give xs, or length= for a loop without slices")
    if len(found) > 1:
        raise ShapeError(
            f"{what}: xs of shapes {[tuple(x.shape) for x in xs]} and length={length} name several lengths"
        )
    count = int(found.pop())  # a dynamic one says that it cannot be known
    if count < 0:
        raise ArgumentError(f"{what}: length must not be negative, but it is {count}")
    return count


def _pair(value: Any) -> tuple[Any, Any]:
    if not isinstance(value, tuple) or len(value) != 2:
        raise ControlFlowError(f"scan: f must return a pair (carry, y), not {type(value).__name__}")
    return value


def _looped(
    f: Callable[..., Any], carry: Any, init_form: Any, leaves: list[Tensor], xs: list[Tensor], form: Any, count: int,
    reverse: bool,
) -> tuple[Any, Any]:  # fmt: skip
    """As a Python loop."""
    start = Nest(init_form, leaves)
    rows = [x.unbind(0) for x in xs]
    given: list[list[Tensor]] = []
    first: Nest | None = None
    for place in reversed(range(count)) if reverse else range(count):
        carry, y = _pair(f(carry, structure.unflatten(form, [row[place] for row in rows])))
        start.require(Nest.of(carry)[0], "scan", "init", "the carry")
        nest, found = Nest.of(y)
        if first is None:
            first = nest
        first.require(nest, "scan", "the first y", "a later y")
        given.append(found)
    assert first is not None
    if reverse:
        given.reverse()
    return carry, structure.unflatten(first.form, [stack(list(column)) for column in zip(*given, strict=True)])


def _traced(
    f: Callable[..., Any], init_form: Any, carry: list[Tensor], xs: list[Tensor], form: Any, count: int,
    reverse: bool,
) -> tuple[Any, Any]:  # fmt: skip
    """As one construct of the compiler's."""
    like = [*carry, *xs] or [arange(1)]
    selected = backend_of(like)
    width = len(carry)
    rows = [x.new_zeros(x.shape[1:]) if not count else x[0] for x in xs]
    region = settled("scan", lambda carry, x: _pair(f(carry, x)), (tuple, (init_form, form)), carry, rows, like[0])
    next_form, y_form = region.result.form[1]  # type: ignore[index]
    start = Nest(init_form, carry)
    begun = Nest(next_form, [])
    begun.specs = region.result.specs[:width] if next_form == init_form else []
    start.require(begun, "scan", "init", "the carry")
    state = State([region])
    steady = state.of(state.read)
    specs = region.result.specs[width:]
    if not count:
        with selected:
            empty = [zeros((0, *shape), dtype=dtype) for shape, dtype in specs]
        return structure.unflatten(init_form, carry), structure.unflatten(y_form, empty)
    moved, sliced = len(state.changed), len(xs)  # a graph keeps this body, which must not keep Tensors of the trace

    def body(inputs: list[Tensor]) -> list[Tensor]:
        held, changing, rest = inputs[:width], inputs[width : width + moved], inputs[width + moved :]
        results, left = region.run([*held, *rest[:sliced]], state.captured, state.ordered(changing, rest[sliced:]))
        return [*results[:width], *[left[place] for place in state.changed], *results[width:]]

    start_of = [*carry, *state.of(state.changed)]
    final, stacked = _rules.scan(body, start_of, xs, steady, count, reverse, state.inert(width))
    state.write(final[width:])
    last = recorded(final[:width], region.requires[:width])
    return structure.unflatten(init_form, last), structure.unflatten(
        y_form, recorded(stacked, region.requires[width:])
    )


def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """``f`` of each slice of ``xs`` along its first dimension, one after the other, stacked.

    It is a :func:`scan` without a carry; ``un.vmap`` computes the same of all slices at once, faster, but with more
    memory.

    Args:
        f: a slice to Tensors in any nesting, of the same shapes and dtypes for each slice.
        xs: Tensors in any nesting with a first dimension of one length.

    Example: ``un.map(lambda row: row.sum(), un.ones(3, 4))`` is ``[4, 4, 4]``.

    Raises:
        ControlFlowError, ShapeError: as for :func:`scan`.
        ArgumentError: ``xs`` has no Tensor.
    """
    return scan(lambda _, x: (None, f(x)), None, xs)[1]


def associative_scan(fn: Callable[[Any, Any], Any], elems: Any, dim: int = 0, reverse: bool = False) -> Any:
    """All partial results ``fn(fn(e[0], e[1]), e[2])...`` of an associative function, in a tree of depth ``log2(n)``.

    The tree is made of slices and of calls of ``fn`` on many elements at once, eager and compiled alike, as
    ``jax.lax.associative_scan`` makes it (Blelloch, "Prefix sums and their applications", 1990).

    Args:
        fn: combines two nests like ``elems``, of any length along ``dim``, element by element along it.
        elems: Tensors in any nesting with one length along ``dim``.
        dim: the dimension to go along.
        reverse: from the end.

    Example: ``un.associative_scan(un.add, x)`` is ``x.cumsum(0)``.

    Raises:
        ControlFlowError: ``fn`` returns another structure, shape or dtype than it was given.
        ShapeError: ``elems`` differ in length along ``dim``, or have no such dimension.
        ArgumentError: ``elems`` has no Tensor.
    """
    nest, leaves = Nest.of(elems)
    if not leaves:
        raise ArgumentError("associative_scan: elems has no Tensor")
    if any(not -leaf.ndim <= dim < leaf.ndim for leaf in leaves):
        raise ShapeError(f"associative_scan: dim {dim} is out of range for {[tuple(x.shape) for x in leaves]}")
    dims = [dim % leaf.ndim for leaf in leaves]
    if len({leaf.shape[d] for leaf, d in zip(leaves, dims, strict=True)}) > 1:
        raise ShapeError(f"associative_scan: {[tuple(x.shape) for x in leaves]} differ in length along dim {dim}")

    def combine(first: list[Tensor], second: list[Tensor]) -> list[Tensor]:
        found, results = Nest.of(fn(structure.unflatten(nest.form, first), structure.unflatten(nest.form, second)))
        Nest(nest.form, second).require(found, "associative_scan", "its argument", "the result of fn")
        return results

    def part(tensors: list[Tensor], start: int, stop: int | None, step: int = 1) -> list[Tensor]:
        return [t[(slice(None),) * d + (slice(start, stop, step),)] for t, d in zip(tensors, dims, strict=True)]

    def partial(tensors: list[Tensor]) -> list[Tensor]:
        count = tensors[0].shape[dims[0]]
        if count < 2:
            return tensors
        odd = partial(combine(part(tensors, 0, count - 1, 2), part(tensors, 1, None, 2)))
        even = part(tensors, 0, 1)
        if count > 2:
            rest = combine(part(odd, 0, (count - 1) // 2), part(tensors, 2, None, 2))
            even = [cat([e, r], d) for e, r, d in zip(even, rest, dims, strict=True)]
        return [_interleaved(e, o, d) for e, o, d in zip(even, odd, dims, strict=True)]

    if not reverse:
        return structure.unflatten(nest.form, partial(leaves))
    flipped = partial([leaf.flip(d) for leaf, d in zip(leaves, dims, strict=True)])
    return structure.unflatten(nest.form, [t.flip(d) for t, d in zip(flipped, dims, strict=True)])


def _interleaved(even: Tensor, odd: Tensor, dim: int) -> Tensor:
    """Elements of both in turn along ``dim``; ``even`` may have one more."""
    count = odd.shape[dim]
    pairs = stack([even.narrow(dim, 0, count), odd], dim + 1)
    shape = list(odd.shape)
    shape[dim] = 2 * count
    whole: Tensor = pairs.reshape(tuple(shape))
    return whole if even.shape[dim] == count else cat([whole, even.narrow(dim, count, 1)], dim)
