"""A branch or a loop's body as a function of all Tensors that it uses, however it reaches them.

``un.compile`` finds the state of a whole function by touch. A region does the same for a part of it: it runs the
function once without computing anything, and learns which Tensors from outside it reads and which it rebinds.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from unified import _structure as structure
from unified._custom import placed
from unified._dispatch import backends_by_type, set_tracer, tracing, wrap
from unified._engine import engine_of
from unified._levels import Value, active
from unified._location import user_line
from unified._recording import casting
from unified._tape import grad_mode
from unified._tensor import Tensor
from unified.backends.protocol import Backend, Native
from unified.control_flow._nests import Nest
from unified.errors import ControlFlowError, LeakedTensorError, TracedValueError


def compiles() -> bool:
    """Whether a construct is the compiler's here; else it is Python."""
    return tracing() is not None and all(level.constructs for level in active())


class RegionTracer:
    """What ``_dispatch`` tells of within a region; hands on what the tracer around it must know.

    Args:
        around: the tracer at work outside, or None.
        search: told of each Tensor that is used; None where all that come from outside are known.
    """

    sealed = True
    runs_again = True
    padding = None
    """A construct over Tensors of dynamic length is refused as a whole, so nothing within it has one."""

    def __init__(self, around: Any, search: Callable[[Tensor], None] | None) -> None:
        self._around = around
        self._search = search
        self._thread = threading.get_ident()
        self.made_here: dict[int, weakref.ref[Tensor]] = {}
        """By id; the value may be that of a Tensor from outside, of which it is a copy."""
        self.constants: dict[int, Tensor] = {}
        self.releases: list[Callable[[], None]] = []

    def applies(self) -> bool:
        return threading.get_ident() == self._thread

    def touch(self, tensor: Tensor) -> None:
        if self._search is not None and id(tensor) not in self.constants:
            self._search(tensor)

    def made(self, tensor: Tensor) -> None:
        native = tensor._native
        if backends_by_type[type(native)].compiler.is_traced(native):
            self.made_here[id(tensor)] = weakref.ref(tensor)
        else:
            self.constants[id(tensor)] = tensor

    def read_grad(self, tensor: Tensor) -> None:
        if self._around is not None:
            self._around.read_grad(tensor)

    def write_grad(self, tensor: Tensor) -> None:
        pass  # refused when the region is over, unless the Tensor was made in it

    def read_flag(self, owner: Any, value: Any) -> None:
        if self._around is not None:
            self._around.read_flag(owner, value)

    def is_number(self, tensor: Tensor) -> bool:
        return self._around is not None and self._around.is_number(tensor)

    def differentiate(self) -> None:
        pass  # what backward fills within a region is a Tensor made there

    def at_end(self, release: Callable[[], None]) -> None:
        if self._search is None and self._around is not None:
            self._around.at_end(release)
        else:
            self.releases.append(release)

    def defer(self, tensors: Sequence[Tensor], act: Callable[[list[Any]], None]) -> None:
        raise ControlFlowError(
            "un.debug was called in a branch or a loop's body inside un.compile, whose values do not leave it; call "
            "it outside of the construct, or run the function under un.disable_compile()"
        )

    def before(self, act: Callable[[], None]) -> None:
        if self._around is not None:  # else nothing is computed that could need it
            self._around.before(act)

    def refuse_value(self, what: str) -> Exception:
        if self._around is None:
            return TracedValueError(
                f"{what} needs a value, but the body of a loop without trips is only looked through, to learn what "
                f"it would return\n  at {user_line()}"
            )
        refusal: Exception = self._around.refuse_value(what)
        return refusal


@contextmanager
def installed(tracer: RegionTracer) -> Iterator[None]:
    """``tracer`` is what is told in the block."""
    previous = set_tracer(tracer)
    try:
        yield
    finally:
        set_tracer(previous)


class _Held:
    """What a Tensor from outside was before the region put something in its place."""

    __slots__ = ("grad", "native", "node", "output", "stand_in", "tensor")

    def __init__(self, tensor: Tensor, given: Tensor) -> None:
        self.tensor = tensor
        self.native, self.node, self.output = tensor._native, tensor._node, getattr(tensor, "_output", 0)
        self.grad = engine_of(tensor).read_grad(tensor) if engine_of(tensor).is_leaf(tensor) else None
        tensor._native = self.stand_in = given._native
        tensor._node, tensor._output = given._node, getattr(given, "_output", 0)

    @property
    def rebound(self) -> bool:
        return self.tensor._native is not self.stand_in

    @property
    def recorded(self) -> bool:
        """Whether another value was put there that depends on something that requires grad."""
        return self.rebound and engine_of(self.tensor).requires_grad(self.tensor) and not is_leaf(self.tensor)

    @property
    def grown(self) -> bool:
        """Whether backward has delivered here."""
        tensor = self.tensor
        return engine_of(tensor).is_leaf(tensor) and engine_of(tensor).read_grad(tensor) is not self.grad

    def restore(self) -> None:
        tensor = self.tensor
        tensor._native, tensor._node, tensor._output = self.native, self.node, self.output
        if hasattr(tensor, "_grad"):
            tensor._grad = self.grad


class Region:
    """One function, looked through.

    Args:
        what: what errors call it.
        form: the structure of its arguments, with those for Tensors in ``arguments``.
        arguments: Tensors of the shapes and dtypes that it will get.
        like: a Tensor of the backend that it runs on.
        recorded: of each argument, whether it requires grad; by default as it does.
        later: ids of Tensors from outside that require grad in a later trip, if not in the first.
        repeats: whether it is run again on what it has left.

    Attributes:
        captured: Tensors from outside that it uses.
        rebound: of each of these, whether it leaves another value there.
        records: of each of these, whether that value depends on something that requires grad.
        result: what it returns.
        requires: of each Tensor in that, whether it depends on something that requires grad.

    Raises:
        LeakedTensorError: a Tensor made within is kept outside.
        ControlFlowError: a Tensor from outside is left with another shape or dtype, or with a gradient.
    """

    def __init__(
        self, what: str, function: Callable[..., Any], form: Any, arguments: Sequence[Tensor], like: Tensor,
        recorded: Sequence[bool] | None = None, later: Container[int] = (), repeats: bool = False,
    ) -> None:  # fmt: skip
        self._what = what
        self._later, self._repeats = later, repeats
        self._function = function
        self._form = form
        self.captured: list[Tensor] = []
        self.rebound: list[bool] = []
        self.records: list[bool] = []
        self.result: Nest
        self.requires: list[bool] = []
        self._loose: set[int] = set()
        self._casts = grad_mode.autocast
        requires = [engine_of(tensor).requires_grad(tensor) for tensor in arguments] if recorded is None else recorded
        wanted = [grad_mode.enabled and required for required in requires]
        with engine_of(like).transforms.suspended():
            self._discover(arguments, wanted, _plain_backend(like))

    def _discover(self, arguments: Sequence[Tensor], requires: Sequence[bool], backend: Backend) -> None:
        compiler = backend.compiler
        around, outside = tracing(), compiler.scope()
        natives, rebuild = _peeled(arguments)

        def look(natives: list[Native]) -> list[Native]:
            scope = compiler.scope()
            held: dict[int, _Held] = {}
            known: dict[int, Tensor] = {}  # what lies within captured values of levels

            def inside(tensor: Tensor) -> bool:
                native = tensor._native
                made = tracer.made_here.get(id(tensor))
                if made is not None and made() is tensor:
                    return True
                if id(tensor) in held or id(tensor) in known or id(tensor) in tracer.constants:
                    return True
                if isinstance(native, Value):
                    return all(inside(part) for part in native.tensors())
                return compiler.made_in(native, scope)

            def search(tensor: Tensor) -> None:
                if inside(tensor):
                    return
                if around is not None:
                    with compiler.within(outside):
                        around.touch(tensor)
                native = tensor._native
                engine = engine_of(tensor)
                required = grad_mode.enabled and (engine.requires_grad(tensor) or id(tensor) in self._later)
                if isinstance(native, Value):
                    given = wrap(native)
                    known.update({id(part): part for part in _within(native)})
                else:
                    with engine.transforms.suspended():
                        given = wrap(compiler.abstract(native))
                if tensor._node is not None:
                    given._node, given._output = tensor._node, tensor._output
                elif required:
                    given = _requiring(given, is_leaf(tensor))
                held[id(tensor)] = _Held(tensor, given)

            tracer = RegionTracer(around, search)
            try:
                with installed(tracer):
                    self._read(rebuild(natives), arguments, requires, tracer)
                self._note(list(held.values()))
            finally:
                for one in held.values():
                    one.restore()
                held.clear()
                known.clear()
            self._refuse_leaks(tracer)
            return []

        compiler.discover(look, natives)

    def _read(
        self, inputs: list[Tensor], arguments: Sequence[Tensor], requires: Sequence[bool], tracer: RegionTracer
    ) -> None:
        leaves = [is_leaf(tensor) for tensor in arguments]
        inputs = [
            _requiring(tensor, leaf) if required else tensor
            for tensor, required, leaf in zip(inputs, requires, leaves, strict=True)
        ]
        self.result, results = Nest.of(self._function(*structure.unflatten(self._form, inputs)))
        for result in results:
            tracer.touch(result)
        self.requires = [engine_of(result).requires_grad(result) for result in results]

    def _note(self, held: Sequence[_Held]) -> None:
        recorded = any(self.requires) or (self._repeats and any(one.recorded for one in held))
        for one in held:
            tensor = one.tensor
            if one.grown:
                raise ControlFlowError(
                    f"{self._what}: backward() within it has filled the .grad of a Tensor from outside, of shape "
                    f"{tuple(tensor.shape)}; compute gradients with un.autograd.grad or un.func.grad there, and "
                    "return them or use them"
                )
            backend = backends_by_type[type(one.stand_in)]
            shape, dtype = tuple(backend.shape(one.stand_in)), backend.dtype(one.stand_in)
            if tuple(tensor.shape) != shape or tensor.dtype is not dtype:
                raise ControlFlowError(
                    f"{self._what}: a Tensor from outside, {dtype.name} {shape}, was left as {tensor.dtype.name} "
                    f"{tuple(tensor.shape)}; it must keep its shape and dtype"
                )
            if one.rebound and grad_mode.enabled and is_leaf(tensor) and recorded:
                raise ControlFlowError(
                    f"{self._what}: a leaf from outside that requires grad, of shape {tuple(tensor.shape)}, is "
                    "changed within, and what is returned or left in a Tensor depends on something that requires "
                    "grad: no gradient could reach all the values that the leaf has had. Return detached results "
                    "(loss.detach()), or carry the leaf's values through the construct as a Tensor of their own"
                )
            self.captured.append(tensor)
            self.rebound.append(one.rebound)
            self.records.append(one.recorded)
            if one.rebound and not is_leaf(tensor):
                self._loose.add(id(tensor))

    def _refuse_leaks(self, tracer: RegionTracer) -> None:
        for release in tracer.releases:
            release()

        def alive() -> list[Tensor]:
            found = [reference() for reference in tracer.made_here.values()]
            return [tensor for tensor in found if tensor is not None]

        if alive():
            gc.collect()
        leaked = alive()
        if leaked:
            raise LeakedTensorError(
                f"{self._what}: {len(leaked)} Tensor(s) made within it are still held outside of it, the first of "
                f"shape {tuple(leaked[0].shape)}; they have no value there. Return them instead, or write into a "
                "Tensor that exists before (state.copy_(value))."
            )

    def run(
        self, arguments: Sequence[Tensor], captured: Sequence[Tensor], given: Sequence[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """What the function returns for ``arguments``, and what it leaves in ``captured``, which hold ``given``."""
        held = [
            _Held(tensor, loose(value) if id(tensor) in self._loose else value)
            for tensor, value in zip(captured, given, strict=True)
        ]
        try:
            with casting(self._casts):  # a derivative runs it outside of autocast most likely
                value = self._function(*structure.unflatten(self._form, [loose(tensor) for tensor in arguments]))
            found, results = Nest.of(value)
            self.result.require(found, self._what, "its result", "its result in another trace")
            return [alias(result) for result in results], [alias(one.tensor) for one in held]
        finally:
            for one in held:
                one.restore()


def settled(
    what: str,
    function: Callable[..., Any],
    form: Any,
    carry: Sequence[Tensor],
    others: Sequence[Tensor],
    like: Tensor,
) -> Region:
    """A loop's body, looked through until no trip records more than the one before.

    A carry, or a Tensor from outside, may come to depend on something that requires grad in the first trip, and
    what is computed from it in the second. The first results are the next carry.
    """
    arguments = [*carry, *others]
    requires = [engine_of(tensor).requires_grad(tensor) for tensor in arguments]
    later: set[int] = set()
    while True:
        region = Region(what, function, form, arguments, like, requires, later, repeats=True)
        grown = [place for place, now in enumerate(region.requires[: len(carry)]) if now and not requires[place]]
        changed = [t for t, records in zip(region.captured, region.records, strict=True) if records]
        found = {id(tensor) for tensor in changed if not engine_of(tensor).requires_grad(tensor)} - later
        if not grown and not found:
            return region
        later |= found
        for place in grown:
            requires[place] = True


def is_leaf(tensor: Tensor) -> bool:
    """Whether it is one that gradients are kept for, which may not be written in place while recording."""
    engine = engine_of(tensor)
    return engine.requires_grad(tensor) and engine.is_leaf(tensor)


def loose(tensor: Tensor) -> Tensor:
    """An alias that may be written in place: where ``tensor`` is a leaf, a copy within the graph."""
    return tensor.clone() if is_leaf(tensor) else alias(tensor)


def _requiring(tensor: Tensor, leaf: bool) -> Tensor:
    """``tensor`` or what stands for it in the graph, as a leaf or not."""
    engine_of(tensor).require_grad(tensor, True)
    return tensor if leaf else tensor.clone()


def _within(value: Value) -> Iterator[Tensor]:
    """The Tensors within a level's value, in all depths."""
    for part in value.tensors():
        yield part
        if isinstance(part._native, Value):
            yield from _within(part._native)


def alias(tensor: Tensor) -> Tensor:
    """Another Tensor object of the same value, at the same place in the graph."""
    return placed(tensor._native, tensor._node, getattr(tensor, "_output", 0))


def _plain_backend(tensor: Tensor) -> Backend:
    backend: Any = backends_by_type[type(tensor._native)]
    found: Backend = getattr(backend, "base", backend)
    return found


def _peeled(tensors: Sequence[Tensor]) -> tuple[list[Native], Callable[[list[Native]], list[Tensor]]]:
    """The natives in the depths of Tensors that are values of levels, and a function that puts others there."""
    natives: list[Native] = []

    def peel(tensor: Tensor) -> Tensor:
        if isinstance(tensor._native, Value):
            tensor._native.map(peel)
        else:
            natives.append(tensor._native)
        return tensor

    for tensor in tensors:
        peel(tensor)

    def rebuild(others: list[Native]) -> list[Tensor]:
        iterator = iter(others)

        def put(tensor: Tensor) -> Tensor:
            if isinstance(tensor._native, Value):
                return wrap(tensor._native.map(put))
            return wrap(next(iterator))

        return [put(tensor) for tensor in tensors]

    return natives, rebuild
