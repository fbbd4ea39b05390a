"""Dynamic lengths by padding: what keeps a program for padded Tensors from ever letting the padding count.

A dimension named dynamic is padded to a bucket, and the true length is an input of the program. While the function
is traced, each Tensor has a *layout*: for each of its dimensions None, or a :class:`Ragged` that says which positions
are real. The invariant is that real positions hold what the function would compute without padding; the others hold
anything. Elementwise ops keep it by themselves; where an op mixes positions, a rule (``rules.py``) first puts the
op's identity into the padding. An op that has neither a rule nor a body of other ops is refused by name.

Gradients: what meets a dynamic dimension without having it (a weight, a bias) sums over it in backward. There the
cotangents of padding are exactly zero, or NaN where a derivative is infinite; ``guarded`` makes them zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from unified._caller import ParameterKind
from unified._dispatch import apply, backends_by_type, table
from unified._dtype import int32
from unified._engine import engine_of
from unified._length import Dynamic, Length
from unified._op import Op
from unified._size import Size
from unified._tape import grad_mode
from unified._tensor import Tensor
from unified.errors import DynamicLengthError


class Ragged(NamedTuple):
    """A padded dimension: position ``i`` is real where ``i // post % padded`` is less than ``dynamic + offset``."""

    dynamic: Dynamic
    offset: int = 0
    pre: int = 1
    post: int = 1

    @property
    def length(self) -> Length:
        """How long it is without padding."""
        return Length(self.dynamic, self.offset, self.pre * self.post)

    @property
    def simple(self) -> bool:
        """Whether the padding is all at the end."""
        return self.pre == 1


Layout = tuple[Ragged | None, ...]


Act = Callable[[list[Any]], None]
"""What is done with values, as numpy arrays."""

Cut = tuple[tuple[int, int, int, int, int], ...]
"""For each dynamic dimension: (dimension, which length, offset, pre, post), see :class:`Ragged`."""


def cut_by(layout: Layout, order: Sequence[Dynamic | None]) -> Cut:
    """How a value of this layout is cut to its true shape, by lengths in this order."""
    return tuple([
        (dim, order.index(ragged.dynamic), ragged.offset, ragged.pre, ragged.post)
        for dim, ragged in enumerate(layout) if ragged is not None
    ])  # fmt: skip


def trimmed(values: np.ndarray[Any, Any], by: Cut, lengths: Sequence[int]) -> np.ndarray[Any, Any]:
    """``values`` without their padding."""
    for dim, which, offset, pre, post in by:
        before, after = values.shape[:dim], values.shape[dim + 1 :]
        parts = values.reshape(*before, pre, -1, post, *after)
        real = parts[(*[slice(None)] * (dim + 1), slice(lengths[which] + offset))]
        values = real.reshape(*before, -1, *after)
    return values


class Padding:
    """Interprets ops on padded Tensors, for one trace."""

    def __init__(
        self,
        tracer: Any,
        arguments: Sequence[Tensor],
        layouts: Sequence[Layout],
        rule_of: Callable[[Op], Any],
        subscript: Callable[..., Tensor],
    ) -> None:
        self._tracer = tracer
        self._rule_of, self._subscript = rule_of, subscript
        self._layouts: dict[int, Layout] = {}
        self._held: list[Any] = []
        self._masks: dict[Ragged, Tensor] = {}
        for argument, layout in zip(arguments, layouts, strict=True):
            self.mark(argument, layout)

    # ---- layouts -------------------------------------------------------------------------------------------

    def mark(self, tensor: Tensor, layout: Sequence[Ragged | None]) -> Tensor:
        """Notes the layout of a Tensor's value; returns the Tensor."""
        self._layouts[id(tensor._native)] = tuple(layout)
        self._held.append(tensor._native)  # so that no other native gets its id
        return tensor

    def layout(self, tensor: Tensor) -> Layout:
        """The layout of a Tensor.

        Raises:
            DynamicLengthError: its value came to be where nobody could follow.
        """
        found = self._layouts.get(id(tensor._native))
        if found is not None:
            return found
        backend = backends_by_type[type(tensor._native)]
        static: Layout = (None,) * len(backend.shape(tensor._native))
        if not backend.compiler.is_traced(tensor._native) or self._is_state(tensor):
            return static
        raise DynamicLengthError(
            f"a Tensor of (padded) shape {tuple(backend.shape(tensor._native))} was made in a way that dynamic "
            "lengths cannot follow, such as a hook, a transform of un.func or a gradient of a dynamic argument"
        )

    def _is_state(self, tensor: Tensor) -> bool:
        """Whether it is a Tensor from outside, or such a one's gradient: those have no dynamic dimensions."""
        touched = self._tracer.touched
        return id(tensor) in touched or any(getattr(f.tensor, "_grad", None) is tensor for f in touched.values())

    def aliased(self, source: Tensor, target: Tensor) -> None:
        """Says that ``target`` now has the value of ``source`` under another native."""
        if source._native is not target._native:
            self.mark(target, self.layout(source))

    def is_dynamic(self, tensor: Tensor) -> bool:
        """Whether one of its dimensions is."""
        return any(self.layout(tensor))

    def unpadded(self, tensors: Sequence[Tensor], act: Act) -> tuple[Sequence[Tensor], Act]:
        """What ``act`` needs to get the values of ``tensors`` without padding, and the action on those."""
        layouts = [self.layout(tensor) for tensor in tensors]
        dynamics = list({ragged.dynamic: None for layout in layouts for ragged in layout if ragged is not None})
        if not dynamics:
            return tensors, act
        cuts = [cut_by(layout, dynamics) for layout in layouts]

        def cut_first(arrays: list[Any]) -> None:
            lengths = [int(length) for length in arrays[len(cuts) :]]
            act([trimmed(array, by, lengths) for array, by in zip(arrays, cuts, strict=False)])

        return [*tensors, *[dynamic.tensor for dynamic in dynamics]], cut_first

    def shape(self, tensor: Tensor) -> Size:
        """The true shape, with a :class:`Length` for each dynamic dimension."""
        shape = backends_by_type[type(tensor._native)].shape(tensor._native)
        layout = self.layout(tensor)
        lengths: Any = [n if ragged is None else ragged.length for n, ragged in zip(shape, layout, strict=True)]
        return Size(lengths)

    # ---- ops -----------------------------------------------------------------------------------------------

    def apply(self, op: Op, args: Sequence[Any]) -> Any:
        """An op on any Tensors: plainly where nothing is dynamic, by its rule, or by its body."""
        dynamic = False
        values = []
        for parameter, value in zip(op.parameters, args, strict=True):
            if parameter.kind is not ParameterKind.STATIC:
                value = _valued(value)
                dynamic = dynamic or any(self.is_dynamic(tensor) for tensor in _tensors(value))
            else:
                dynamic = dynamic or _has_length(value)
            values.append(value)
        if not dynamic:
            return self._static(self.plain(op, *values))
        rule = self._rule_of(op)
        if rule is not None:
            return rule(self, op, *values)
        if op.composite is not None and op.caller is not None:
            return self._body(op, values)
        raise DynamicLengthError(
            f"{op.name}: nobody has written down what this op makes of a dimension of dynamic length; apply it to "
            "dimensions that are not dynamic, leave it out of the compiled function, or take the dimension out of "
            f"dynamic=\n  operands: {', '.join(str(tuple(t.shape)) for v in values for t in _tensors(v))}"
        )

    def _body(self, op: Op, values: Sequence[Any]) -> Any:
        body = op.caller.__wrapped__  # type: ignore[union-attr]
        split = next((i for i, p in enumerate(op.parameters) if p.keyword), len(values))
        names = [p.name for p in op.parameters[split:]]
        result = body(*values[:split], **dict(zip(names, values[split:], strict=True)))
        if op.returns is None:
            return result
        return tuple(result) if op.returns is tuple else op.returns(*result)

    def plain(self, op: Op | str, *args: Any) -> Any:
        """The op on the padded values as they are."""
        tracer, self._tracer.padding = self._tracer, None
        try:
            return apply(table[op] if isinstance(op, str) else op, args)
        finally:
            tracer.padding = self

    def _static(self, result: Any) -> Any:
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if tensor is not None:
                self.mark(tensor, (None,) * tensor.ndim)
        return result

    def concerns(self, tensor: Tensor, key: Any) -> bool:
        """Whether ``tensor[key]`` has to do with dynamic lengths."""
        keys = key if isinstance(key, tuple) else (key,)
        return self.is_dynamic(tensor) or any(k.__class__ is slice and isinstance(k.stop, Length) for k in keys)

    def subscript(self, tensor: Tensor, key: Any) -> Tensor:
        """``tensor[key]`` where :meth:`concerns` says so."""
        result: Tensor = self._subscript(self, tensor, key)
        return result

    # ---- masks ---------------------------------------------------------------------------------------------

    def mask(self, layout: Layout, dims: Sequence[int]) -> Tensor | None:
        """Bool, True at the positions that are real in ``dims``; it broadcasts to a Tensor of that layout."""
        found: Tensor | None = None
        for dim in dims:
            ragged = layout[dim]
            if ragged is None:
                continue
            shape = [1] * len(layout)
            shape[dim] = ragged.length.high
            along = self.plain("reshape", self._real(ragged), tuple(shape))
            found = along if found is None else self.plain("logical_and", found, along)
        return found

    def _real(self, ragged: Ragged) -> Tensor:
        mask = self._masks.get(ragged)
        if mask is None:
            place = ragged.dynamic.tensor.device
            positions = self.plain("make_arange", 0, 1, ragged.length.high, int32, place)
            if ragged.post > 1:
                positions = self.plain("floor_divide", positions, ragged.post)
            if ragged.pre > 1:
                positions = self.plain("remainder", positions, ragged.dynamic.high + ragged.offset)
            length = self.plain("add", ragged.dynamic.tensor, ragged.offset)
            mask = self._masks[ragged] = self.plain("lt", positions, length)
        return mask

    def filled(self, tensor: Tensor, value: Any, dims: Sequence[int] | None = None) -> Tensor:
        """``tensor`` with ``value`` in the padding of ``dims`` (all of them if left out)."""
        layout = self.layout(tensor)
        mask = self.mask(layout, range(len(layout)) if dims is None else dims)
        if mask is None:
            return tensor
        return self.mark(self.plain("where", mask, tensor, value), layout)

    def guarded(self, tensor: Tensor) -> Tensor:
        """``tensor``, whose padding passes no gradient on: not even NaN."""
        layout = self.layout(tensor)
        if not any(layout) or not (grad_mode.enabled and engine_of(tensor).requires_grad(tensor)):
            return tensor
        constant = self.plain("stop_gradient", tensor)
        return self.mark(self.plain("where", self.mask(layout, range(len(layout))), tensor, constant), layout)

    def broadcast(self, name: str, tensors: Sequence[Tensor]) -> Layout:
        """The layout of an elementwise result.

        Raises:
            DynamicLengthError: whether the operands broadcast depends on a length.
        """
        rank = max(tensor.ndim for tensor in tensors)
        result: list[Ragged | None] = [None] * rank
        for dim in range(1, rank + 1):
            seen: set[Any] = set()
            for tensor in tensors:
                if dim > tensor.ndim:
                    continue
                ragged = self.layout(tensor)[-dim]
                if ragged is not None:
                    seen.add(ragged)
                elif backends_by_type[type(tensor._native)].shape(tensor._native)[-dim] != 1:
                    seen.add(None)
            if len(seen) > 1:
                shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
                raise DynamicLengthError(
                    f"{name}: whether these shapes broadcast depends on a dynamic length: {shapes}"
                )
            result[-dim] = seen.pop() if seen else None
        return tuple(result)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for member in value:
            yield from _tensors(member)


def _valued(value: Any) -> Any:
    """``value`` with a Tensor in the place of each length."""
    if isinstance(value, Length):
        return value.value()
    if isinstance(value, (list, tuple)) and any(isinstance(member, Length) for member in value):
        return [_valued(member) for member in value]
    return value


def _has_length(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_has_length(member) for member in value)
    return isinstance(value, Length)
