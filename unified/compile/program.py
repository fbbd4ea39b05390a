"""From a function to a program: discover the state it touches, trace it with that state bound, run it."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from unified import _structure as structure
from unified._default import default_dtype, held
from unified._dispatch import wrap
from unified._dtype import DType
from unified._engine import engine_of
from unified._length import Length
from unified._recording import casting, recording
from unified._tape import grad_mode
from unified._tensor import Tensor
from unified.autograd.grad_mode import no_grad
from unified.backends.protocol import Backend, Native, Pure
from unified.compile import rules, rules_shape
from unified.compile.buckets import Cut, Padded
from unified.compile.effects import Effects
from unified.compile.entry import Entry, differentiable, lock, plain
from unified.compile.padding import Padding
from unified.compile.places import kept, reached
from unified.compile.plan import Plan
from unified.compile.signature import Call, unflatten
from unified.compile.state import MADE_INSIDE, Again, StateTracer, Touched, leak, still_held
from unified.errors import CompileError, DynamicLengthError, LeakedTensorError


@dataclass(frozen=True)
class Request:
    """What is to be traced: a function and a call of it."""

    function: Callable[..., Any]
    backend: Backend
    call: Call
    leaves: list[Native]
    requires: list[bool]
    """Which leaves require grad."""
    numbers: tuple[int, ...] = ()
    """Which leaves stand for Python floats."""
    padded: Padded | None = None
    """Which of their dimensions are longer than they truly are; then the true lengths are the last leaves."""
    same: tuple[int, ...] = ()
    """Where a Tensor is given more than once: of each leaf, the first one that is the same."""
    bound: dict[int, Tensor] = field(default_factory=dict)
    """Which leaves are Tensors that the function also reaches by itself. Discovery finds them."""
    inner: list[weakref.ref[Tensor]] = field(default_factory=list)
    """Tensors that were made while discovering."""

    @contextlib.contextmanager
    def telling_of_leaks(self) -> Iterator[None]:
        """Where the second trace fails on what the first one has left somewhere, raises LeakedTensorError."""
        try:
            yield
        except LeakedTensorError:
            raise
        except Exception as error:
            leaked = still_held(self.inner)
            if leaked:
                raise leak(MADE_INSIDE, leaked) from error
            raise

    def arguments(self, tensors: list[Tensor]) -> tuple[list[Any], dict[str, Any]]:
        """The function's arguments, with ``tensors`` as leaves."""
        for position in self.numbers:
            tensors[position]._native = self.backend.compiler.as_number(tensors[position]._native)
        used = [tensors[position] for position in self.same] if self.same else list(tensors)
        for position, tensor in self.bound.items():
            used[position] = tensor
        return unflatten(self.call, used)

    def tracer(self, tensors: list[Tensor], given: Sequence[Any] = ()) -> StateTracer:
        """A tracer of the function, for these as its leaves; what it is called with is ``given``."""

        def bind(tensor: Tensor) -> Callable[[], None]:
            places = {place: tensor for place, other in enumerate(given) if other is tensor}
            return lambda: self.bound.update(places)

        bound = self.bound.values()
        waiting = {id(t): bind(t) for t in given if isinstance(t, Tensor) and not any(t is b for b in bound)}
        tracer = StateTracer(self.backend, tensors, self.numbers, waiting)
        if self.padded is not None:
            tracer.padding = Padding(
                tracer, tensors, self.padded.layouts(tensors), rules.rule_of, rules_shape.subscript
            )
        return tracer


Finish = Callable[[list[Any]], list[Any]]
"""What is done with a program's results before the state it runs on is put back."""


class Program:
    """A function of lists of natives, for a framework to compile; its derivative is what the engine records in it.

    So hooks, ``autograd.Function``, ``detach`` and ``no_grad`` inside mean what they mean outside.

    Args:
        body: (groups of Tensors, finish) to what ``finish`` makes of the results.
        dtype: the default one while it is traced; by default that of now.
    """

    def __init__(self, body: Callable[[Sequence[list[Any]], Finish], list[Any]], dtype: DType | None = None) -> None:
        self._body = body
        self._dtype = dtype or default_dtype()

    def __call__(self, *groups: Sequence[Native]) -> list[Native]:
        tensors = [[None if native is None else wrap(native) for native in group] for group in groups]
        with lock, held(self._dtype):
            return self._body(tensors, lambda results: [engine_of(result).detach(result) for result in results])

    def derive(self, mask: tuple[tuple[int, int], ...]) -> Program:
        """The program (*groups, cotangents) to the cotangents of the operands that ``mask`` names."""

        def body(groups: Sequence[list[Any]], finish: Finish) -> list[Any]:
            *operands, cotangents = groups
            watched = [operands[position][index] for position, index in mask]
            for tensor in watched:
                if not engine_of(tensor).requires_grad(tensor):
                    engine_of(tensor).require_grad(tensor, True)

            def gradients(outputs: list[Any]) -> list[Any]:
                pairs = zip(outputs, cotangents, strict=True)
                roots = [
                    (out, given) for out, given in pairs if given is not None and engine_of(out).requires_grad(out)
                ]
                found: Sequence[Any] = [None] * len(watched)
                if roots:
                    found = engine_of(roots[0][0]).gradients(
                        [root for root, _ in roots], [given for _, given in roots], watched, True, True
                    )
                return finish(
                    [
                        tensor.detach().zeros_like() if gradient is None else gradient
                        for tensor, gradient in zip(watched, found, strict=True)
                    ]
                )

            return self._body(operands, gradients)

        return Program(body, self._dtype)


def trace(request: Request, given: Sequence[Tensor]) -> Entry:
    """Compiles a function for one signature. Leaves every Tensor as it was, also when it fails.

    ``given`` are the leaves of the call.
    """
    with lock:
        try:
            effects = Effects(request.function)
            plan = _discover(request, given)
            effects.warn(getattr(request.function, "__qualname__", type(request.function).__name__))
            program = Program(_body(request, plan))
            if plan.differentiable:
                return Entry(request.backend, plan, differentiable(plan, program))
            read_grad = engine_of(given[0]).read_grad if plan.given_grads else None
            grads: list[Any] = [read_grad(given[place]) for place in plan.given_grads] if read_grad else []
            natives = [*request.leaves, *[grad._native for grad in grads]]
            executable = request.backend.compiler.build(*groups(plan, program, natives))
            return Entry(request.backend, plan, plain(request.backend, plan, executable), executable)
        except RecursionError as error:
            raise CompileError(
                "the recursion in the compiled function is too deep: while tracing, each call of a compiled function "
                "is part of the program around it, so recursion is unrolled, and must end by a Python value, not "
                "by a Tensor's; write it as un.while_loop or un.scan"
            ) from error


def planned(request: Request, given: Sequence[Any]) -> tuple[Plan, Program]:
    """What a function touches in a call, and itself as a program of that call's leaves."""
    with lock:
        plan = _discover(request, given)
        return plan, Program(_body(request, plan))


def groups(
    plan: Plan, program: Program, natives: list[Native]
) -> tuple[Pure, list[Native], list[Native], list[Native]]:
    """The program and its operands as a compiler takes them.

    One with effects, of which any may raise, is given all state to read, so that it is there unchanged until they
    are done.
    """
    changed, kept = [[tensor._native for tensor in group] for group in plan.holders()]
    if not plan.effects:
        return program, natives, changed, kept
    count = len(changed)
    return lambda leaves, _, kept: program(leaves, kept[:count], kept[count:]), natives, [], [*changed, *kept]


def _requires(tensor: Tensor) -> bool:
    return grad_mode.enabled and engine_of(tensor).requires_grad(tensor)


def _prepare(arguments: list[Tensor], requires: list[bool]) -> None:
    for argument, required in zip(arguments, requires, strict=True):
        argument._grad = None
        if required and not engine_of(argument).requires_grad(argument):
            engine_of(argument).require_grad(argument, True)


def _discover(request: Request, given: Sequence[Any]) -> Plan:
    """What a function touches; where something has to be done first, it is traced again afterwards."""
    while True:
        places = reached(request.function, request.call)
        try:
            plan = _touched(request, given)
            plan.places = kept(places, {id(tensor) for tensor in (*plan.changed, *plan.kept)})
            return plan
        except Again as first:
            with no_grad():
                first.act()


def _touched(request: Request, given: Sequence[Any]) -> Plan:
    plan = Plan()
    requires, backend = request.requires, request.backend
    references: list[weakref.ref[Tensor]] = []
    described: list[Any] = []  # what is returned may hold arguments without being a container

    def run(natives: list[Native]) -> list[Native]:
        arguments = [wrap(native) for native in natives]
        references.extend(map(weakref.ref, arguments))
        _prepare(arguments, requires)
        held = {place: wrap(backend.compiler.abstract(grad._native)) for place, grad in _grads(given)}
        for place, grad in held.items():
            arguments[place]._grad = grad
        args, kwargs = request.arguments(arguments)
        tracer = request.tracer(arguments, given)
        tracer.know(held.values())
        results: list[Tensor] = []
        try:
            with tracer, plan.reads.observing():
                described.append(structure.flatten(request.function(*args, **kwargs), results, _admit_result))
                tracer.collect_grads()
                tracer.touch_all(results)
                plan.argument_guards = [(place, place not in held) for place in tracer.grads_read]
                plan.given_grads = [place for place in tracer.grads_read if place in held]
                plan.carries = [not tracer.differentiated and _requires(r) for r in results]
                plan.effects = [(len(tensors), act) for tensors, act in tracer.effects]
                _read_plan(plan, tracer, backend)
                request.inner[:] = tracer.inner
                return [engine_of(r).detach(r) for r in results]
        finally:
            for found in tracer.touched.values():
                found.restore()
            for used in (args, kwargs, arguments, results):
                used.clear()  # so that whoever keeps this frame keeps no argument

    backend.compiler.discover(run, request.leaves)
    plan.reads.settle()
    held = still_held(references)
    if held:
        raise leak("argument(s) of the compiled function are still held when it has returned", held)
    plan.bound = dict(request.bound)
    return plan


def _grads(given: Sequence[Any]) -> list[tuple[int, Tensor]]:
    """The gradients that leaves among ``given`` have, with their places."""
    tensors = [(place, tensor) for place, tensor in enumerate(given) if isinstance(tensor, Tensor)]
    found = [(p, engine_of(t).read_grad(t)) for p, t in tensors if engine_of(t).is_leaf(t)]
    return [(place, grad) for place, grad in found if grad is not None]


def _read_plan(plan: Plan, tracer: StateTracer, backend: Backend) -> None:
    signature = backend.compiler.signature
    for found in tracer.touched.values():
        (plan.changed if found.rebound() else plan.kept).append(found.tensor)
        if found.grad_read and found.grad is not None:
            accumulated = found.grad._native is not found.grad_stand_in
            (plan.changed_grads if accumulated else plan.kept_grads).append(found.tensor)
        if found.grad_read:
            plan.grad_guards.append((found.tensor, found.grad is None))
        engine = engine_of(found.tensor)
        required = engine.requires_grad(found.tensor)
        if required is not found.required and engine.is_leaf(found.tensor):
            plan.required.append((found.tensor, required))
            required = found.required
        hooks = engine_of(found.tensor).hook_ids(found.tensor)
        plan.requires.append((found.tensor, required, signature(found.native), hooks))
    plan.flags = {id(owner): (owner, value) for owner, value in tracer.flags}


def _body(request: Request, plan: Plan) -> Callable[[Sequence[list[Any]], Finish], list[Any]]:
    """What a :class:`Program` runs: groups are the arguments, the state that changes, the state that is read."""
    recorded, casts, requires = grad_mode.enabled, grad_mode.autocast, request.requires

    def body(groups: Sequence[list[Any]], finish: Finish) -> list[Any]:
        operands, changed, kept = groups
        arguments = operands[: len(requires)]
        _prepare(arguments, requires)
        held = dict(zip(plan.given_grads, operands[len(requires) :], strict=True))
        for place, grad in held.items():
            arguments[place]._grad = grad
        started = {place: (grad, grad._native) for place, grad in held.items()}
        args, kwargs = request.arguments(arguments)
        bound = [argument._native for argument in arguments]
        tracer = request.tracer(arguments)
        results: list[Tensor] = []
        values = dict(
            zip(
                map(id, [*plan.changed, *plan.kept]),
                [*changed[: len(plan.changed)], *kept[: len(plan.kept)]],
                strict=True,
            )
        )
        grads = [*changed[len(plan.changed) :], *kept[len(plan.kept) :]]
        grad_of = dict(zip(map(id, [*plan.changed_grads, *plan.kept_grads]), grads, strict=True))
        try:
            # a pullback is traced within a backward pass, which does not record, most likely outside of autocast, and
            # much may have changed since
            with tracer, recording(recorded), casting(casts), plan.reads.put_back():
                for tensor in (*plan.changed, *plan.kept):
                    tracer.adopt(Touched(tensor), values[id(tensor)], grad_of.get(id(tensor)))
                output = structure.flatten(request.function(*args, **kwargs), results, _admit_result)
                tracer.collect_grads()
                if request.padded is not None:
                    plan.cuts = _cuts(request.padded, tracer, results, arguments, bound)
                    tracer.padding = None  # and with it the masks; a pullback goes back over padded values plainly
                finished = finish(_results(plan, tracer, output, results, arguments, bound, started))
                results.clear()  # and with them the graph, which may hold Tensors for a backward pass
                tracer.check_leaks()
                return finished
        finally:
            for found in tracer.touched.values():
                found.restore()

    return body


def _admit_result(value: Any, _: list[Any]) -> Any:
    if isinstance(value, Length):
        raise DynamicLengthError(
            f"the compiled function returns the dynamic length {value!r}, which it does not know"
        )
    if isinstance(value, (Iterator, Awaitable)):
        raise CompileError(
            f"the compiled function returns a {type(value).__name__}, whose code would run when the program is over; "
            "return a list of what it gives"
        )
    if isinstance(value, dict):
        raise CompileError(
            f"the compiled function returns the dict class {type(value).__name__}, which cannot be made anew; return "
            "dict(result)"
        )
    return structure.Static(value)


def _cuts(
    padded: Padded, tracer: StateTracer, results: list[Tensor], arguments: list[Tensor], bound: list[Native]
) -> list[Cut]:
    """How the results are cut to their true shapes; raises where something else would have to be."""
    padding = tracer.padding
    for result in results:
        if padding.is_dynamic(result) and _requires(result):
            raise DynamicLengthError(
                f"a result of shape {tuple(result.shape)}, of dynamic length, still requires grad; reduce it to what "
                "backward starts from inside of the compiled function, or detach() it"
            )
    changed = [found.tensor for found in tracer.touched.values() if found.rebound()]
    changed += [argument for argument, native in zip(arguments, bound, strict=True) if argument._native is not native]
    for tensor in changed:
        if padding.is_dynamic(tensor):
            raise DynamicLengthError(
                f"a value of dynamic shape {tuple(tensor.shape)} is written to a Tensor from outside; return it"
            )
    return [padded.cut(padding.layout(result)) for result in results]


def _results(
    plan: Plan, tracer: StateTracer, output: Any, results: list[Tensor], arguments: list[Tensor], bound: list[Native],
    started: dict[int, tuple[Tensor, Native]],
) -> list[Tensor]:  # fmt: skip
    known = {id(tensor) for tensor in (*plan.changed, *plan.kept)}
    changed = {id(tensor) for tensor in plan.changed}
    for found in tracer.touched.values():
        if id(found.tensor) not in known or (found.rebound() and id(found.tensor) not in changed):
            raise CompileError(
                f"the function touched other Tensors when it was traced a second time (one of shape "
                f"{tuple(found.tensor.shape)}); it must not depend on Python state that it changes itself"
            )
    plan.output, plan.outputs = output, len(results)
    accumulated = {id(tensor) for tensor in plan.changed_grads}
    final = [
        f for f in tracer.touched.values()
        if f.holds_final_grad() and not (id(f.tensor) in accumulated and f.tensor._grad is f.grad)
    ]  # fmt: skip
    plan.new_grads = [found.tensor for found in final]
    plan.cleared = [
        f.tensor for f in tracer.touched.values() if f.grad_written and getattr(f.tensor, "_grad", None) is None
    ]
    plan.written_arguments = [i for i, a in enumerate(arguments) if a._native is not bound[i]]
    grads: list[Any] = [engine_of(argument).read_grad(argument) for argument in arguments]
    plan.argument_grads = []
    for place, grad in enumerate(grads):
        before, native = started.get(place, (None, None))
        stays = before is not None and grad is before and before._native is native
        if grad is not None and not stays:
            plan.argument_grads.append((place, grad is before))
    plan.cleared_arguments = [place for place in sorted(tracer.grads_written) if grads[place] is None]
    state: list[Any] = [*plan.changed, *[tracer.touched[id(tensor)].grad for tensor in plan.changed_grads]]
    state += [engine_of(tensor).read_grad(tensor) for tensor in plan.new_grads]
    state += [arguments[i] for i in plan.written_arguments]
    state += [grads[i] for i, _ in plan.argument_grads]
    effects = tracer.seal()
    plan.effects = [(len(tensors), act) for tensors, act in effects]
    shown = [tensor for tensors, _ in effects for tensor in tensors]
    return [*results, *(wrap(engine_of(tensor).detach(tensor)) for tensor in state), *shown]
