"""Levels: what a value is inside a ``vmap`` or a ``jvp`` of ``unified.func``, where the tape differentiates.

Such a value takes the place of a native in an ordinary Tensor, as a framework's own tracer does. Its type has an
entry among the backends, whose implementation of an op *interprets* it: a derived op (``Op.batched``,
``Op.pushforward``) is applied to the Tensors inside, through ``_dispatch.apply``. So an outer level, an outer tape
and the tracer of ``un.compile`` see ordinary ops, and levels nest in any order. A Tensor that meets a value of a
deeper level is a constant there; where it lies in a graph, that is the affair of the Tensor inside.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from unified._custom import Applied, apply_call
from unified._dispatch import apply, depth, level_depths, wrap
from unified._dtype import DType
from unified._op import Mask, Op, backends_by_type
from unified._tensor import Tensor
from unified.backends.protocol import VALUE_ASKED, Backend, Native, Place
from unified.errors import FunctionTransformError, UnifiedError, UnsupportedOpError


class _Stack(threading.local):
    def __init__(self) -> None:
        self.levels: list[Any] = []


_stack = _Stack()


def active() -> list[Any]:
    """The levels at work in this thread, outermost first; those of a backend's own transforms too."""
    return _stack.levels


def outside(tensor: Tensor) -> Tensor:
    """All examples of it along leading dimensions, the outermost level's first."""
    tensor = tensor.detach()
    for level in reversed(active()):
        taken = level.take(tensor)
        tensor = taken[0] if isinstance(taken, tuple) else taken
    return tensor


class Level:
    """One ``vmap`` or ``jvp`` while its function runs. A value whose level is over refuses to be used."""

    name = ""
    wraps = True
    constructs = True
    value: type[Value]

    def __init__(self) -> None:
        self.alive = False
        self.depth = 0

    def __enter__(self) -> Any:
        held = [level.depth for level in active() if isinstance(level, Level)]
        self.depth = max(held, default=0) + 1
        self.alive = True
        return self

    def __exit__(self, *_: object) -> None:
        self.alive = False

    def constant(self, tensor: Tensor) -> Value:
        """``tensor`` as a value of this level that does not vary in it."""
        raise NotImplementedError

    def kind(self, tensor: Tensor) -> type[Any]:
        """The type of this level's values over Tensors of that backend."""
        return _kind(self.value, backends_by_type[type(tensor._native)], self.depth)


def innermost() -> Level | None:
    """The innermost level of this module that is at work, or None."""
    return next((level for level in reversed(active()) if isinstance(level, Level)), None)


class Value:
    """A native of a level."""

    __slots__ = ("inner", "level")
    inner: Tensor
    level: Any

    def tensors(self) -> Iterator[Tensor]:
        """The Tensors inside."""
        raise NotImplementedError

    def map(self, function: Callable[[Tensor], Tensor]) -> Value:
        """The same value with ``function`` of the Tensors inside."""
        raise NotImplementedError


class Batched(Value):
    """Examples of one shape: ``inner`` has them along dimension 0 or, unless ``varies``, is each of them."""

    __slots__ = ("varies",)

    def __init__(self, level: Level, inner: Tensor, varies: bool) -> None:
        self.level, self.inner, self.varies = level, inner, varies

    def tensors(self) -> Iterator[Tensor]:
        yield self.inner

    def map(self, function: Callable[[Tensor], Tensor]) -> Value:
        return type(self)(self.level, function(self.inner), self.varies)

    def constant(self) -> Native:
        """The value for the tape's ``detach``."""
        inner = self.inner.detach()
        return type(self)(self.level, inner, True) if self.varies else inner._native


class Dual(Value):
    """A primal and its tangent, which is None where it is zero."""

    __slots__ = ("tangent",)

    def __init__(self, level: Level, inner: Tensor, tangent: Tensor | None) -> None:
        self.level, self.inner, self.tangent = level, inner, tangent

    def tensors(self) -> Iterator[Tensor]:
        yield self.inner
        if self.tangent is not None:
            yield self.tangent

    def map(self, function: Callable[[Tensor], Tensor]) -> Value:
        return type(self)(self.level, function(self.inner), None if self.tangent is None else function(self.tangent))

    def constant(self) -> Native:
        """The value for the tape's ``detach``: forward derivatives end there too."""
        return self.inner.detach()._native


class Batch(Level):
    """The level of one ``vmap``. Satisfies ``protocol.BatchLevel``."""

    name = "vmap"
    value = Batched

    def __init__(self, size: int, randomness: str) -> None:
        super().__init__()
        self.size, self.randomness = size, randomness
        self.drawn: list[Tensor] | None = None
        self.cursor = 0

    def constant(self, tensor: Tensor) -> Batched:
        made: Batched = self.kind(tensor)(self, tensor, False)
        return made

    def put(self, tensor: Tensor, dim: int) -> Tensor:
        """Inside: each slice of ``tensor`` along ``dim``."""
        moved = tensor if dim == 0 else tensor.movedim(dim, 0)
        return wrap(self.kind(moved)(self, moved, True))

    def varies(self, tensor: Tensor) -> bool:
        """Whether it depends on the example."""
        native = tensor._native
        return depth(tensor) == self.depth and _open(native).varies

    def take(self, tensor: Tensor) -> Tensor:
        """Outside: all examples of it along dimension 0."""
        if self.varies(tensor):
            inner: Tensor = tensor._native.inner
            return inner
        outside = self.lower(tensor)
        repeated: Tensor = outside.unsqueeze(0).expand((self.size, *outside.shape))
        return repeated

    def lower(self, tensor: Tensor) -> Tensor:
        """Outside: what does not vary."""
        inner: Tensor = tensor._native.inner if depth(tensor) == self.depth else tensor
        return inner

    def interpret(self, op: Op, args: list[Any], natives: Sequence[Any]) -> Any:
        mask: Mask = tuple(place for place, value in _values(natives) if value.varies)
        varies = bool(mask)
        result = _apply(op.batched(mask) if varies else op, args)
        return _each(result, lambda tensor: self.kind(tensor)(self, tensor, varies))

    def custom(self, call: Applied, inputs: list[Tensor]) -> list[Tensor]:
        """A rule of the user's, applied to examples: outside it is one rule, of all of them."""
        flags = [self.varies(tensor) for tensor in inputs]
        results = apply_call(_BatchedCall(call, self.size, flags), [tensor._native.inner for tensor in inputs])
        return [wrap(self.kind(tensor)(self, tensor, True)) for tensor in results]


class _BatchedCall:
    """A rule's application for many examples. Satisfies ``_custom.Applied``."""

    def __init__(self, call: Applied, size: int, flags: list[bool]) -> None:
        self.name = call.name
        self._call, self._size, self._flags = call, size, flags

    @property
    def carries(self) -> list[bool]:
        return self._call.carries

    @property
    def slots(self) -> list[tuple[bool, int]]:
        return self._call.slots

    def saved(self, inputs: Sequence[Tensor], results: Sequence[Tensor]) -> list[Tensor]:
        return self._call.saved(inputs, results)

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        level = Batch(self._size, "error")
        with entered(level):
            return [level.take(result) for result in self._call.forward(self._put(level, inputs, self._flags))]

    def backward(
        self, saved: Sequence[Tensor], cotangents: list[Tensor | None], wanted: Sequence[bool]
    ) -> list[Tensor | None]:
        level = Batch(self._size, "error")
        varying = [among or self._flags[place] for among, place in self.slots]
        with entered(level):
            found = self._call.backward(
                self._put(level, saved, varying), self._put(level, cotangents, [True] * len(cotangents)), wanted
            )
            taken = [None if gradient is None else level.take(gradient) for gradient in found]
        return [
            gradient if gradient is None or varies else gradient.sum(0)
            for gradient, varies in zip(taken, self._flags, strict=True)
        ]

    def jvp(self, saved: Sequence[Tensor], tangents: Sequence[Tensor | None]) -> list[Tensor | None]:
        level = Batch(self._size, "error")
        varying = [among or self._flags[place] for among, place in self.slots]
        with entered(level):
            found = self._call.jvp(self._put(level, saved, varying), self._put(level, tangents, self._flags))
            return [None if tangent is None else level.take(tangent) for tangent in found]

    @staticmethod
    def _put(level: Batch, tensors: Sequence[Any], varying: Sequence[bool]) -> list[Any]:
        return [
            level.put(tensor, 0) if varies and tensor is not None else tensor
            for tensor, varies in zip(tensors, varying, strict=True)
        ]


@contextmanager
def entered(level: Any) -> Iterator[Any]:
    """``with`` that level at work."""
    with level:
        active().append(level)
        try:
            yield level
        finally:
            active().pop()


class Forward(Level):
    """The level of one ``jvp``. Satisfies ``protocol.DualLevel``."""

    name = "jvp"
    value = Dual

    def constant(self, tensor: Tensor) -> Dual:
        made: Dual = self.kind(tensor)(self, tensor, None)
        return made

    def put(self, tensor: Tensor, tangent: Tensor) -> Tensor:
        """Inside: ``tensor`` moving along ``tangent``."""
        return wrap(self.kind(tensor)(self, tensor, tangent))

    def take(self, tensor: Tensor) -> tuple[Tensor, Tensor | None]:
        """Outside: the value and its tangent, None where it is zero."""
        if depth(tensor) != self.depth:
            return tensor, None
        dual = _open(tensor._native)
        return dual.inner, dual.tangent

    def interpret(self, op: Op, args: list[Any], natives: Sequence[Any]) -> Any:
        found = [(place, value.tangent) for place, value in _values(natives) if value.tangent is not None]
        if not found:
            return _each(_apply(op, args), self.constant)
        mask: Mask = tuple(place for place, _ in found)
        results = _apply(op.pushforward(mask), [*args, [tangent for _, tangent in found]])
        half = len(results) // 2
        duals = [
            None if primal is None else self.kind(primal)(self, primal, tangent)
            for primal, tangent in zip(results[:half], results[half:], strict=True)
        ]
        return duals[0] if op.returns is None else duals

    def custom(self, call: Applied, inputs: list[Tensor]) -> list[Tensor]:
        """A rule of the user's, with the tangents that its own ``jvp`` gives."""
        inner = [tensor._native.inner for tensor in inputs]
        results = apply_call(call, inner)
        tangents: list[Tensor | None] = [None] * len(results)
        given = [tensor._native.tangent for tensor in inputs]
        if any(tangent is not None for tangent in given):
            found = call.jvp(call.saved(inner, results), given)
            tangents[: len(found)] = found
        return [wrap(self.kind(r)(self, r, tangent)) for r, tangent in zip(results, tangents, strict=True)]


def _values(natives: Sequence[Any]) -> Iterator[tuple[tuple[int, int], Any]]:
    """The level's values among an op's operands, each with its place."""
    for position, native in enumerate(natives):
        if isinstance(native, list):
            for index, member in enumerate(native):
                if isinstance(member, Value):
                    yield (position, index), member
        elif isinstance(native, Value):
            yield (position, -1), native


def _open(value: Any) -> Any:
    """``value``, unless its level is over."""
    if not value.level.alive:
        name = value.level.name
        raise FunctionTransformError(
            f"a Tensor made inside un.func.{name} is used after that {name} has returned, where it has no value; "
            "return it from the function instead of keeping it in a variable outside"
        )
    return value


def _apply(op: Op, args: Sequence[Any]) -> Any:
    """``apply``; its errors as the framework or the op's check gave them, to be explained with the outer operands."""
    try:
        return apply(op, args)
    except UnifiedError as error:
        cause = error.__cause__
        if not isinstance(cause, Exception):
            raise
        raise cause from None


def _each(result: Any, function: Callable[[Tensor], Any]) -> Any:
    if isinstance(result, (tuple, list)):
        return [None if tensor is None else function(tensor) for tensor in result]
    return function(result)


class _LevelCompiler:
    """What ``protocol.Compiler`` says of single values: those of a level have no elements to read."""

    def is_traced(self, native: Native) -> bool:
        return True

    def barrier(self, natives: list[Native]) -> list[Native]:
        return natives

    def stop_gradient(self, native: Native) -> Native:
        return _open(native).constant()

    def signature(self, native: Native) -> tuple[Any, ...]:
        backend = backends_by_type[type(native)]
        return (backend.shape(native), backend.dtype(native))


class LevelBackend:
    """The values of one level over one backend, as far as ``protocol.Backend`` asks about single values."""

    engine = None

    def __init__(self, base: Backend) -> None:
        self.base = base
        self.name = base.name
        self.framework = base.framework
        self.natives = base.natives
        self.compiler = _LevelCompiler()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.base, name)

    def implement(self, op: Op, kind: type) -> Callable[..., Any]:
        def interpreted(*natives: Any) -> Any:
            values = [_open(value) for _, value in _values(natives)]
            args = [
                [wrap_inner(m) for m in native] if isinstance(native, list) else wrap_inner(native)
                for native in natives
            ]
            return values[0].level.interpret(op, args, natives)

        def wrap_inner(native: Any) -> Any:
            return native.inner if isinstance(native, Value) else native

        return interpreted

    def shape(self, native: Any) -> tuple[int, ...]:
        shape = tuple(native.inner.shape)
        return shape[1:] if isinstance(native, Batched) and native.varies else shape

    def dtype(self, native: Any) -> DType:
        found: DType = native.inner.dtype
        return found

    def device(self, native: Any) -> Place:
        found: Place = native.inner.device
        return found

    def to_numpy(self, native: Any) -> np.ndarray[Any, Any]:
        value = _open(native)
        if isinstance(value, Batched) and value.varies:
            raise FunctionTransformError(VALUE_ASKED)
        tensor: Tensor = value.inner
        array: np.ndarray[Any, Any] = backends_by_type[type(tensor._native)].to_numpy(tensor._native)
        return array

    def to_dlpack(self, native: Any) -> Any:
        raise UnsupportedOpError(
            f"a Tensor inside un.func.{native.level.name} cannot move to another framework; do that outside"
        )


_kinds: dict[tuple[type, str, int], type[Any]] = {}


def _kind(value: type[Value], backend: Any, level: int) -> type[Any]:
    base: Backend = backend.base if isinstance(backend, LevelBackend) else backend
    found = _kinds.get((value, base.name, level))
    if found is None:
        found = type(f"{value.__name__}{level}", (value,), {"__slots__": ()})
        _kinds[value, base.name, level] = found
        level_depths[found] = level
        backends_by_type[found] = LevelBackend(base)  # type: ignore[assignment]
    return found
