"""State by touch: which Tensors a function reads that it did not make, and which it leaves changed."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from types import CellType, FrameType
from typing import Any

from unified._dispatch import backends_by_type, set_tracer, wrap
from unified._engine import engine_of
from unified._location import user_line
from unified._tape import grad_mode
from unified._tensor import Tensor
from unified.backends.protocol import Backend, Native
from unified.errors import BackendMismatchError, CompileError, LeakedTensorError, TracedValueError

Act = Callable[[list[Any]], None]
"""What is done with values, as numpy arrays, once a program has computed them."""


class Again(BaseException):
    """A trace that is given up until ``act`` has been called; no error, so no ``except Exception`` may hold it."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act


class Touched:
    """One Tensor from outside, as it was before the trace."""

    __slots__ = (
        "grad", "grad_native", "grad_read", "grad_stand_in", "grad_written", "leaf", "native", "node", "output",
        "required", "shared", "stand_in", "tensor",
    )  # fmt: skip

    def __init__(self, tensor: Tensor) -> None:
        engine = engine_of(tensor)
        self.tensor = tensor
        self.required = engine.requires_grad(tensor)
        self.leaf = self.required and engine.is_leaf(tensor)
        if grad_mode.enabled and engine.requires_grad(tensor) and not self.leaf:
            raise CompileError(
                f"a Tensor of shape {tuple(tensor.shape)} that was computed outside of the compiled function, with "
                "gradients recorded, is used inside; compute it inside, pass it as an argument, or detach() it"
            )
        self.grad: Tensor | None = engine.read_grad(tensor) if self.leaf else getattr(tensor, "_grad", None)
        self.grad_native: Native = None if self.grad is None else self.grad._native
        self.grad_read = False
        self.grad_written = False
        self.native: Native = tensor._native
        self.node = tensor._node
        self.output = getattr(tensor, "_output", 0)
        self.shared = getattr(tensor, "_shared", False)
        self.stand_in: Native = None
        self.grad_stand_in: Native = None

    def bind(self, given: Tensor, given_grad: Tensor | None) -> None:
        """Puts traced values in the place of the real ones; ``stand_in`` is what a later change is told by."""
        tensor = self.tensor
        tensor._native = given._native
        if given._node is not None:  # the program is being differentiated by this Tensor
            tensor._node, tensor._output = given._node, given._output
        if self.leaf and not engine_of(tensor).requires_grad(tensor):  # an engine that keeps this in the native
            engine_of(tensor).require_grad(tensor, True)
        self.stand_in = tensor._native
        if self.grad is not None:
            if given_grad is not None:
                self.grad._native = given_grad._native
            self.grad_stand_in = self.grad._native

    def restore(self) -> None:
        tensor = self.tensor
        tensor._native = self.native
        tensor._node = self.node
        tensor._output = self.output
        tensor._grad = self.grad
        tensor._shared = self.shared
        if self.grad is not None:
            self.grad._native = self.grad_native

    def rebound(self) -> bool:
        return self.tensor._native is not self.stand_in

    def holds_final_grad(self) -> bool:
        """Whether the trace left a gradient here that the caller must get back."""
        final = self.tensor._grad if hasattr(self.tensor, "_grad") else None
        if final is None:
            return False
        return final is not self.grad or final._native is not self.grad_stand_in


_NUMBERS = (
    " Python floats among the arguments are Tensors inside, so that they may change without a retrace; one named in "
    "un.compile(..., static_argnames=) stays a float, and each of its values is a program of its own."
)


def _is_traced(native: Native) -> bool:
    """Whether it is a value inside this trace, or inside a transform of ``unified.func`` within it."""
    return backends_by_type[type(native)].compiler.is_traced(native)


MADE_INSIDE = "Tensor(s) made inside the compiled function are still held outside of it"


class StateTracer:
    """What ``_dispatch`` tells of while a function is traced. Satisfies ``_dispatch.Tracer``."""

    runs_again = False

    def __init__(
        self,
        backend: Backend,
        arguments: list[Tensor],
        numbers: tuple[int, ...] = (),
        given: Mapping[int, Callable[[], None]] | None = None,
    ) -> None:
        self.backend = backend
        self.compiler = backend.compiler
        self.arguments = arguments
        self._numbers = frozenset(id(arguments[place]) for place in numbers)
        self._given = given or {}
        self._places = {id(argument): place for place, argument in enumerate(arguments)}
        self.grads_read: dict[int, None] = {}
        """Arguments whose gradients were read before they were written."""
        self.grads_written: set[int] = set()
        self.padding: Any = None
        """What interprets ops where lengths are dynamic; see ``padding.py``."""
        self.touched: dict[int, Touched] = {}
        self.flags: list[tuple[Any, Any]] = []
        self.differentiated = False
        self.effects: list[tuple[list[Tensor], Act]] = []
        self.sealed = False
        self._thread = threading.get_ident()
        self._known: set[int] = set()
        self._constants: dict[int, Tensor] = {}
        self.inner: list[weakref.ref[Tensor]] = []
        """Tensors that were made in the trace."""
        self._releases: list[Callable[[], None]] = []
        self._previous: Any = None

    def __enter__(self) -> StateTracer:
        self._previous = set_tracer(self)
        return self

    def __exit__(self, *_: object) -> None:
        set_tracer(self._previous)

    def applies(self) -> bool:
        return threading.get_ident() == self._thread

    def touch(self, tensor: Tensor) -> None:
        key = id(tensor)
        if key in self.touched or key in self._known or key in self._constants:
            return
        if _is_traced(tensor._native):
            return
        self.capture(tensor)

    def touch_all(self, results: Iterable[Tensor]) -> None:
        """Takes in what no op has looked at: Tensors from outside that are returned, or made somebody's gradient."""
        for result in results:
            self.touch(result)
        for found in list(self.touched.values()):
            grad = getattr(found.tensor, "_grad", None)
            if grad is not None:
                self.touch(grad)

    def capture(self, tensor: Tensor) -> Touched:
        """Takes a Tensor from outside into the trace, with an abstract value for now."""
        if id(tensor) in self._given:
            raise Again(self._given[id(tensor)])
        if tensor.backend != self.backend.name:
            raise BackendMismatchError(
                f"a Tensor of shape {tuple(tensor.shape)} that the compiled function captures lives on "
                f"{tensor.backend}, its arguments on {self.backend.name}; "
                f"move one with x.to(backend={self.backend.name!r})"
            )
        found = self.touched[id(tensor)] = Touched(tensor)
        abstract = self.compiler.abstract
        grad_native = found.grad_native
        if found.grad is not None:
            self._known.add(id(found.grad))
        with engine_of(tensor).transforms.suspended():  # it comes from outside of any level of func
            found.bind(wrap(abstract(found.native)), None if grad_native is None else wrap(abstract(grad_native)))
        return found

    def adopt(self, found: Touched, given: Tensor, given_grad: Tensor | None) -> None:
        """Takes a Tensor known from an earlier pass into this trace, bound to traced values."""
        self.touched[id(found.tensor)] = found
        if found.grad is not None:
            self._known.add(id(found.grad))
        found.bind(given, given_grad)

    def know(self, tensors: Iterable[Tensor]) -> None:
        """Takes Tensors for inputs of the trace, although they may not look traced while it discovers."""
        self._known.update(map(id, tensors))

    def made(self, tensor: Tensor) -> None:
        if _is_traced(tensor._native):
            self.inner.append(weakref.ref(tensor))
        else:
            self._constants[id(tensor)] = tensor

    def read_grad(self, tensor: Tensor) -> None:
        found = self.touched.get(id(tensor))
        if found is not None and not found.grad_written:
            found.grad_read = True
        place = self._places.get(id(tensor))
        if place is not None and place not in self.grads_written:
            self.grads_read[place] = None

    def write_grad(self, tensor: Tensor) -> None:
        found = self.touched.get(id(tensor))
        if found is not None:
            found.grad_written = True
        if id(tensor) in self._places:
            self.grads_written.add(self._places[id(tensor)])

    def read_flag(self, owner: Any, value: Any) -> None:
        self.flags.append((owner, value))

    def is_number(self, tensor: Tensor) -> bool:
        return id(tensor) in self._numbers

    def differentiate(self) -> None:
        self.differentiated = True

    def at_end(self, release: Callable[[], None]) -> None:
        """Calls ``release`` when the trace is complete, for what holds Tensors as long as some graph holds it."""
        self._releases.append(release)

    def refuse_value(self, what: str) -> TracedValueError:
        return TracedValueError(
            f"{what} needs a value, but inside un.compile a Tensor has none yet: the function is traced once, before "
            f"it runs.\n  at {user_line()}\n  Use un.where(condition, a, b) to choose between values, "
            "un.cond / un.while_loop / un.scan / un.switch for control flow that depends on one, or move this line "
            "out of the compiled function." + (_NUMBERS if self._numbers else "")
        )

    def defer(self, tensors: Sequence[Tensor], act: Act) -> None:
        """Has ``act`` called, once the program has run, with the values that ``tensors`` have here."""
        if self.sealed:
            raise CompileError(
                "un.debug was called in the backward pass of a compiled function whose results carry gradients out "
                f"(in a hook, or in a Function's backward).\n  at {user_line()}\n  That pass is a program of its "
                "own, which shows nothing: call backward() inside the compiled function, or run it under "
                "un.disable_compile()"
            )
        for tensor in tensors:
            self.touch(tensor)
        if self.padding is not None:
            tensors, act = self.padding.unpadded(tensors, act)
        with engine_of(tensors[0]).transforms.suspended() if tensors else nullcontext():
            self.effects.append(([wrap(engine_of(tensor).detach(tensor)) for tensor in tensors], act))

    def before(self, act: Callable[[], None]) -> None:
        raise Again(act)

    def seal(self) -> list[tuple[list[Tensor], Act]]:
        """What was deferred; nothing more can be."""
        self.sealed = True
        return self.effects

    def collect_grads(self) -> None:
        """Lets engines that deliver gradients late deliver them now, if backward ran."""
        if not self.differentiated:
            return
        for found in list(self.touched.values()):
            engine = engine_of(found.tensor)
            if found.leaf or (engine.requires_grad(found.tensor) and engine.is_leaf(found.tensor)):
                self.read_grad(found.tensor)
                engine.read_grad(found.tensor)
        for argument in self.arguments:
            if engine_of(argument).requires_grad(argument):
                self.read_grad(argument)

    def check_leaks(self) -> None:
        """Raises LeakedTensorError where a Tensor made in the trace outlives it."""
        for release in self._releases:
            release()
        allowed: set[int] = set()
        for found in self.touched.values():
            allowed |= {id(found.tensor), id(getattr(found.tensor, "_grad", None))}
        for argument in self.arguments:
            allowed |= {id(argument), id(getattr(argument, "_grad", None))}

        def alive() -> list[Tensor]:
            held = [reference() for reference in self.inner]
            return [t for t in held if t is not None and id(t) not in allowed]

        if alive():
            gc.collect()
        held = alive()
        leaked = [tensor for tensor in held if _is_kept(tensor, {id(held)}, 4)]
        if leaked:
            raise leak(MADE_INSIDE, leaked)


def still_held(references: list[weakref.ref[Tensor]]) -> list[Tensor]:
    """Which Tensors of a trace that is over are still held."""

    def alive() -> list[Tensor]:
        held = [reference() for reference in references]
        return [tensor for tensor in held if tensor is not None]

    if alive():
        gc.collect()
    found = alive()
    return [tensor for tensor in found if _is_kept(tensor, {id(found)}, 4)]


def _is_kept(value: Any, known: set[int], depth: int) -> bool:
    """Whether something else than frames of calls holds a value, directly or in containers.

    A frame lives on in the traceback of an exception, whoever keeps that: a log, a debugger.
    """
    referrers = gc.get_referrers(value)
    known = known | {id(referrers)}
    for other in referrers:
        if isinstance(other, FrameType) or id(other) in known:
            continue
        plain = type(other) in (tuple, list, dict, set, CellType)
        if not plain or not depth or _is_kept(other, known, depth - 1):
            return True
    return False


def leak(what: str, tensors: list[Tensor]) -> LeakedTensorError:
    """The error about ``tensors`` that have outlived a trace."""
    return LeakedTensorError(
        f"{len(tensors)} {what}, the first of shape {tuple(tensors[0].shape)}; they have no value there. Return them "
        "instead, or let the attribute hold a Tensor from the start and write into it (state.copy_(value)); a cache "
        "is filled before the first compiled call."
    )
