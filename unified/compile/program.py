"""From a function to a program: discover the state it touches, trace it with that state bound, run it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from unified import _structure as structure
from unified._caller import Parameter, ParameterKind
from unified._dispatch import Op, apply, backends_by_type, module_hooks, state_epoch, wrap
from unified._engine import engine_of
from unified._recording import recording
from unified._tape import grad_mode
from unified._tensor import Tensor
from unified.backends.protocol import Backend, Executable, Native, Pure
from unified.compile.state import Act, StateTracer, Touched
from unified.errors import CompileError

_tracing_lock = threading.RLock()


class Slot:
    """One piece of state: the value of a Tensor, or its accumulated gradient."""

    __slots__ = ("is_grad", "tensor")

    def __init__(self, tensor: Tensor, is_grad: bool) -> None:
        self.tensor = tensor
        self.is_grad = is_grad

    def holder(self) -> Tensor:
        """The Tensor object whose native is this state right now."""
        if not self.is_grad:
            return self.tensor
        grad: Tensor = self.tensor._grad  # type: ignore[assignment]
        return grad


class Plan:
    """What discovery found, and what the trace made of it."""

    def __init__(self) -> None:
        self.donated: list[Slot] = []
        self.kept: list[Slot] = []
        self.flags: dict[int, tuple[Any, bool]] = {}
        self.grad_guards: list[tuple[Tensor, bool]] = []
        self.requires: list[tuple[Tensor, bool, Any, tuple[int, ...]]] = []
        self.differentiable = False
        self.output: Any = None
        self.outputs = 0
        self.new_grads: list[Tensor] = []
        self.cleared: list[Tensor] = []
        self.written_arguments: list[int] = []
        self.argument_grads: list[int] = []
        self.effects: list[tuple[int, Act]] = []


Finish = Callable[[list[Any]], list[Any]]
"""What is done with a program's results before the state it runs on is put back."""


class Program:
    """A function of lists of natives, for a framework to compile; its derivative is what the engine records in it.

    So hooks, ``autograd.Function``, ``detach`` and ``no_grad`` inside mean what they mean outside.

    Args:
        body: (groups of Tensors, finish) to what ``finish`` makes of the results.
    """

    def __init__(self, body: Callable[[Sequence[list[Any]], Finish], list[Any]]) -> None:
        self._body = body

    def __call__(self, *groups: Sequence[Native]) -> list[Native]:
        tensors = [[None if native is None else wrap(native) for native in group] for group in groups]
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

        return Program(body)


class Entry:
    """One compiled signature."""

    def __init__(
        self, backend: Backend, plan: Plan, run: Callable[..., Any], executable: Executable | None = None
    ) -> None:
        self._backend = backend
        self._executable = executable
        self._plan = plan
        self._run = run
        self._epoch = state_epoch.value
        self._module_hooks = module_hooks.value
        self.seconds = 0.0
        self.order = 0
        """How many programs of the function there were before it."""

    def valid(self) -> bool:
        """Whether what the trace read from Python still holds; one comparison unless something changed."""
        if self._epoch != state_epoch.value:
            if self._stale() is not None:
                return False
            self._epoch = state_epoch.value
        for tensor, absent in self._plan.grad_guards:
            if (engine_of(tensor).read_grad(tensor) is None) is not absent:
                return False
        return True

    def _stale(self) -> str | None:
        for owner, value in self._plan.flags.values():
            if owner.training is not value:
                return f"{type(owner).__name__}.training changed from {value} to {not value}"
        signature = self._backend.compiler.signature
        if self._module_hooks != module_hooks.value:
            return "hooks of Modules were registered or removed"
        for tensor, required, was, hooks in self._plan.requires:
            if engine_of(tensor).requires_grad(tensor) is not required:
                return f"requires_grad of a captured Tensor changed from {required} to {not required}"
            if engine_of(tensor).hook_ids(tensor) != hooks:
                return "hooks of a captured Tensor were registered or removed"
            if type(tensor._native) is not type(None) and signature(tensor._native) != was:
                return "a captured Tensor changed shape, dtype or backend"
        return None

    def why_invalid(self) -> str:
        return self._stale() or "a captured Tensor's grad changed between None and a Tensor"

    def describe(self) -> dict[str, Any]:
        """The facts of a report."""
        plan, known = self._plan, self._executable
        return {
            "backend": self._backend.name,
            "compiler": self._backend.compiler.description,
            "seconds": self.seconds,
            "captured": len(plan.donated) + len(plan.kept),
            "changed": len(plan.donated),
            "effects": len(plan.effects),
            "differentiable": plan.differentiable,
            **({} if known is None else known.cost()),
        }

    def call(self, leaves: list[Tensor]) -> Any:
        plan = self._plan
        results = self._run(leaves)
        if plan.effects:
            _act(plan.effects, results)  # before anything is written back: one that raises changes nothing
        cursor = plan.outputs
        for slot in plan.donated:
            holder = slot.holder()
            engine_of(holder).replace(holder, results[cursor]._native)
            holder._shared = False
            cursor += 1
        for tensor in plan.new_grads:
            engine_of(tensor).write_grad(tensor, results[cursor])
            cursor += 1
        for tensor in plan.cleared:
            engine_of(tensor).write_grad(tensor, None)
        for position in plan.written_arguments:
            leaves[position]._assign(results[cursor])
            cursor += 1
        for position in plan.argument_grads:
            leaf = leaves[position]
            held = engine_of(leaf).read_grad(leaf)
            engine_of(leaf).write_grad(leaf, results[cursor] if held is None else held + results[cursor])
            cursor += 1
        return structure.unflatten(plan.output, results[: plan.outputs])


def trace(function: Callable[..., Any], backend: Backend, call: Any, leaves: list[Tensor]) -> Entry:
    """Compiles ``function`` for one signature. Leaves every Tensor as it was, also when it fails."""
    natives = [leaf._native for leaf in leaves]
    with _tracing_lock:
        plan, program = planned(function, backend, call, natives, [_requires(leaf) for leaf in leaves])
        if plan.differentiable:
            return Entry(backend, plan, differentiable(plan, program))
        executable = backend.compiler.build(*groups(plan, program, natives))
        return Entry(backend, plan, plain(backend, plan, executable), executable)


def planned(
    function: Callable[..., Any], backend: Backend, call: Any, natives: list[Native], requires: list[bool]
) -> tuple[Plan, Program]:
    """What ``function`` touches when it is called with these natives, and itself as a program of them."""
    with _tracing_lock:
        plan = _discover(function, backend, call, natives, requires)
        return plan, Program(_body(function, backend, call, plan, requires))


def groups(
    plan: Plan, program: Program, natives: list[Native]
) -> tuple[Pure, list[Native], list[Native], list[Native]]:
    """The program and its operands as a compiler takes them.

    One with effects, of which any may raise, is given all state to read, so that it is there unchanged until they
    are done.
    """
    donated = [slot.holder()._native for slot in plan.donated]
    kept = [slot.holder()._native for slot in plan.kept]
    if not plan.effects:
        return program, natives, donated, kept
    count = len(donated)
    return lambda leaves, _, kept: program(leaves, kept[:count], kept[count:]), natives, [], [*donated, *kept]


def _requires(tensor: Tensor) -> bool:
    return grad_mode.enabled and engine_of(tensor).requires_grad(tensor)


def _prepare(arguments: list[Tensor], requires: list[bool]) -> None:
    for argument, required in zip(arguments, requires, strict=True):
        argument._grad = None
        if required and not engine_of(argument).requires_grad(argument):
            engine_of(argument).require_grad(argument, True)


def _discover(
    function: Callable[..., Any], backend: Backend, call: Any, leaves: list[Native], requires: list[bool]
) -> Plan:
    plan = Plan()

    def run(natives: list[Native]) -> list[Native]:
        arguments = [wrap(native) for native in natives]
        _prepare(arguments, requires)
        args, kwargs = structure.unflatten(call, arguments)
        tracer = StateTracer(backend, arguments)
        results: list[Tensor] = []
        try:
            with tracer:
                structure.flatten(function(*args, **kwargs), results)
                tracer.collect_grads()
                plan.differentiable = not tracer.differentiated and any(_requires(r) for r in results)
                plan.effects = [(len(tensors), act) for tensors, act in tracer.effects]
                _read_plan(plan, tracer, backend)
                return [engine_of(r).detach(r) for r in results]
        finally:
            for found in tracer.touched.values():
                found.restore()

    backend.compiler.discover(run, leaves)
    return plan


def _read_plan(plan: Plan, tracer: StateTracer, backend: Backend) -> None:
    signature = backend.compiler.signature
    for found in tracer.touched.values():
        changed = found.rebound()
        (plan.donated if changed else plan.kept).append(Slot(found.tensor, is_grad=False))
        if found.grad_read and found.grad is not None:
            accumulated = found.grad._native is not found.grad_stand_in
            (plan.donated if accumulated else plan.kept).append(Slot(found.tensor, is_grad=True))
        if found.grad_read:
            plan.grad_guards.append((found.tensor, found.grad is None))
        required = engine_of(found.tensor).requires_grad(found.tensor)
        hooks = engine_of(found.tensor).hook_ids(found.tensor)
        plan.requires.append((found.tensor, required, signature(found.native), hooks))
    plan.flags = {id(owner): (owner, value) for owner, value in tracer.flags}


def _body(
    function: Callable[..., Any], backend: Backend, call: Any, plan: Plan, requires: list[bool]
) -> Callable[[Sequence[list[Any]], Finish], list[Any]]:
    """What a :class:`Program` runs: groups are the arguments, the state that changes, the state that is read."""

    recorded = grad_mode.enabled

    def body(groups: Sequence[list[Any]], finish: Finish) -> list[Any]:
        arguments, donated, kept = groups
        _prepare(arguments, requires)
        bound = [argument._native for argument in arguments]
        tracer = StateTracer(backend, arguments)
        results: list[Tensor] = []
        args, kwargs = structure.unflatten(call, arguments)
        slots = zip([*plan.donated, *plan.kept], [*donated, *kept], strict=True)
        values = {(id(slot.tensor), slot.is_grad): (slot.tensor, given) for slot, given in slots}
        try:
            with tracer, recording(recorded):  # a pullback is traced within a backward pass, which does not record
                for (key, is_grad), (tensor, given) in values.items():
                    if not is_grad:
                        tracer.adopt(Touched(tensor), given, values.get((key, True), (None, None))[1])
                output = structure.flatten(function(*args, **kwargs), results)
                tracer.collect_grads()
                finished = finish(_results(plan, tracer, output, results, arguments, bound))
                results.clear()  # and with them the graph, which may hold Tensors for a backward pass
                tracer.check_leaks()
                return finished
        finally:
            for found in tracer.touched.values():
                found.restore()

    return body


def _results(
    plan: Plan, tracer: StateTracer, output: Any, results: list[Tensor], arguments: list[Tensor], bound: list[Native]
) -> list[Tensor]:
    known = {id(slot.tensor) for slot in (*plan.donated, *plan.kept)}
    changed = {id(slot.tensor) for slot in plan.donated if not slot.is_grad}
    for found in tracer.touched.values():
        if id(found.tensor) not in known or (found.rebound() and id(found.tensor) not in changed):
            raise CompileError(
                f"the function touched other Tensors when it was traced a second time (one of shape "
                f"{tuple(found.tensor.shape)}); it must not depend on Python state that it changes itself"
            )
    plan.output, plan.outputs = output, len(results)
    accumulated = {id(slot.tensor) for slot in plan.donated if slot.is_grad}
    final = [f for f in tracer.touched.values() if f.holds_final_grad() and id(f.tensor) not in accumulated]
    plan.new_grads = [found.tensor for found in final]
    plan.cleared = [
        f.tensor for f in tracer.touched.values() if f.grad_written and getattr(f.tensor, "_grad", None) is None
    ]
    plan.written_arguments = [i for i, a in enumerate(arguments) if a._native is not bound[i]]
    grads = [engine_of(argument).read_grad(argument) for argument in arguments]
    plan.argument_grads = [i for i, grad in enumerate(grads) if grad is not None]
    state = [slot.holder() for slot in plan.donated]
    state += [engine_of(tensor).read_grad(tensor) for tensor in plan.new_grads]
    state += [arguments[i] for i in plan.written_arguments]
    state += [grads[i] for i in plan.argument_grads]
    effects = tracer.seal()
    plan.effects = [(len(tensors), act) for tensors, act in effects]
    shown = [tensor for tensors, _ in effects for tensor in tensors]
    return [*results, *(wrap(engine_of(tensor).detach(tensor)) for tensor in state), *shown]


def _act(effects: list[tuple[int, Act]], results: list[Tensor]) -> None:
    """What was deferred, in the order of the program, with the values at the end of ``results``."""
    cursor = len(results) - sum(count for count, _ in effects)
    for count, act in effects:
        tensors = results[cursor : cursor + count]
        cursor += count
        act([backends_by_type[type(tensor._native)].to_numpy(tensor._native) for tensor in tensors])


def plain(backend: Backend, plan: Plan, program: Executable) -> Callable[..., Any]:
    """Results carry no gradient: a training step, or inference."""
    exclusive, copy = backend.compiler.exclusive, backend.compiler.copy

    def run(arguments: list[Tensor]) -> list[Tensor]:
        natives = [argument._native for argument in arguments]
        kept = [slot.holder()._native for slot in plan.kept]
        donated = []
        if plan.effects:
            kept = [*(slot.holder()._native for slot in plan.donated), *kept]
        else:
            for slot in plan.donated:
                holder = slot.holder()
                if getattr(holder, "_shared", False) or not exclusive(holder._native):
                    donated.append(copy(holder._native))
                else:
                    donated.append(holder._native)
        return [wrap(native) for native in program(natives, donated, kept)]

    return run


def differentiable(plan: Plan, program: Program) -> Callable[..., Any]:
    """Results carry gradients out: the program is an op like any other, with a compiled pullback."""
    names = ("leaves", "donated", "kept")
    parameters = tuple(Parameter(name, ParameterKind.SEQUENCE, required=True, keyword=False) for name in names)
    op = Op("compiled", parameters, tuple)
    op.composite = program
    op.whole_program = True

    def run(arguments: list[Tensor]) -> list[Tensor]:
        donated = [slot.holder() for slot in plan.donated]
        results: list[Tensor] = list(apply(op, (arguments, donated, [slot.holder() for slot in plan.kept])))
        states = [result.detach() for result in results[plan.outputs :]]
        return results[: plan.outputs] + states

    return run
