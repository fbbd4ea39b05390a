"""From a function to a program: discover the state it touches, trace it with that state bound, run it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from unified import _structure as structure
from unified._caller import Parameter, ParameterKind
from unified._dispatch import Op, apply, state_epoch, wrap
from unified._engine import engine_of
from unified._tape import grad_mode
from unified._tensor import Tensor
from unified.backends.protocol import Backend, Native
from unified.compile.state import StateTracer, Touched
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
        self.requires: list[tuple[Tensor, bool, Any]] = []
        self.differentiable = False
        self.output: Any = None
        self.outputs = 0
        self.new_grads: list[Tensor] = []
        self.cleared: list[Tensor] = []
        self.written_arguments: list[int] = []
        self.argument_grads: list[int] = []


class Entry:
    """One compiled signature."""

    def __init__(self, backend: Backend, plan: Plan, run: Callable[..., Any]) -> None:
        self._backend = backend
        self._plan = plan
        self._run = run
        self._epoch = state_epoch.value
        self.seconds = 0.0

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
        for tensor, required, was in self._plan.requires:
            if engine_of(tensor).requires_grad(tensor) is not required:
                return f"requires_grad of a captured Tensor changed from {required} to {not required}"
            if type(tensor._native) is not type(None) and signature(tensor._native) != was:
                return "a captured Tensor changed shape, dtype or backend"
        return None

    def why_invalid(self) -> str:
        return self._stale() or "a captured Tensor's grad changed between None and a Tensor"

    def describe(self) -> str:
        plan = self._plan
        return (
            f"{self._backend.name}, {self._backend.compiler.description}: {self.seconds:.2f} s to compile, "
            f"{len(plan.donated) + len(plan.kept)} Tensors captured, {len(plan.donated)} of them changed"
        )

    def call(self, leaves: list[Tensor]) -> Any:
        plan = self._plan
        results = self._run(leaves)
        outputs = iter(results[: plan.outputs])
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
        return structure.unflatten(plan.output, lambda: next(outputs))


def trace(function: Callable[..., Any], backend: Backend, call: Any, leaves: list[Tensor]) -> Entry:
    """Compiles ``function`` for one signature. Leaves every Tensor as it was, also when it fails."""
    with _tracing_lock:
        plan = _discover(function, backend, call, leaves)
        pure = _pure(function, backend, call, plan, [_requires(leaf) for leaf in leaves])
        run = _differentiable(backend, plan, pure) if plan.differentiable else _plain(backend, plan, pure, leaves)
        return Entry(backend, plan, run)


def _requires(tensor: Tensor) -> bool:
    return grad_mode.enabled and engine_of(tensor).requires_grad(tensor)


def _arguments(natives: list[Native], requires: list[bool]) -> list[Tensor]:
    arguments = [wrap(native) for native in natives]
    for argument, required in zip(arguments, requires, strict=True):
        argument._grad = None
        if required and not engine_of(argument).requires_grad(argument):
            engine_of(argument).require_grad(argument, True)
    return arguments


def _discover(function: Callable[..., Any], backend: Backend, call: Any, leaves: list[Tensor]) -> Plan:
    plan = Plan()
    requires = [_requires(leaf) for leaf in leaves]

    def run(natives: list[Native]) -> list[Native]:
        arguments = _arguments(natives, requires)
        iterator = iter(arguments)
        args, kwargs = structure.unflatten(call, lambda: next(iterator))
        tracer = StateTracer(backend, arguments)
        results: list[Tensor] = []
        try:
            with tracer:
                structure.flatten(function(*args, **kwargs), results)
                tracer.collect_grads()
                plan.differentiable = not tracer.differentiated and any(_requires(r) for r in results)
                _read_plan(plan, tracer, backend)
                return [engine_of(r).detach(r) for r in results]
        finally:
            for found in tracer.touched.values():
                found.restore()

    backend.compiler.discover(run, [leaf._native for leaf in leaves])
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
        plan.requires.append((found.tensor, required, signature(found.native)))
    plan.flags = {id(owner): (owner, value) for owner, value in tracer.flags}


def _pure(
    function: Callable[..., Any], backend: Backend, call: Any, plan: Plan, requires: list[bool]
) -> Callable[[list[Native], list[Native], list[Native]], list[Native]]:
    """The function of native lists that the framework compiles: arguments, changed state, read state."""

    def pure(natives: list[Native], donated: list[Native], kept: list[Native]) -> list[Native]:
        arguments = _arguments(natives, requires)
        bound = [argument._native for argument in arguments]
        tracer = StateTracer(backend, arguments, plan.differentiable)
        results: list[Tensor] = []
        iterator = iter(arguments)
        args, kwargs = structure.unflatten(call, lambda: next(iterator))
        slots = zip([*plan.donated, *plan.kept], [*donated, *kept], strict=True)
        values = {(id(slot.tensor), slot.is_grad): (slot.tensor, native) for slot, native in slots}
        try:
            with tracer:
                for (key, is_grad), (tensor, native) in values.items():
                    if not is_grad:
                        tracer.adopt(Touched(tensor), native, values.get((key, True), (None, None))[1])
                output = structure.flatten(function(*args, **kwargs), results)
                tracer.collect_grads()
                tracer.check_leaks(results)
                return _results(plan, tracer, output, results, arguments, bound)
        finally:
            for found in tracer.touched.values():
                found.restore()

    return pure


def _results(
    plan: Plan, tracer: StateTracer, output: Any, results: list[Tensor], arguments: list[Tensor], bound: list[Native]
) -> list[Native]:
    known = {id(slot.tensor) for slot in (*plan.donated, *plan.kept)}
    changed = {id(slot.tensor) for slot in plan.donated if not slot.is_grad}
    for found in tracer.touched.values():
        if id(found.tensor) not in known or (found.rebound() and id(found.tensor) not in changed):
            raise CompileError(
                f"the function touched other Tensors when it was traced a second time (one of shape "
                f"{tuple(found.tensor.shape)}); it must not depend on Python state that it changes itself"
            )
    plan.output, plan.outputs = output, len(results)
    flat = [r._native if plan.differentiable else engine_of(r).detach(r) for r in results]
    accumulated = {id(slot.tensor) for slot in plan.donated if slot.is_grad}
    flat += [engine_of(slot.holder()).detach(slot.holder()) for slot in plan.donated]
    final = [f for f in tracer.touched.values() if f.holds_final_grad() and id(f.tensor) not in accumulated]
    plan.new_grads = [found.tensor for found in final]
    plan.cleared = [
        f.tensor for f in tracer.touched.values() if f.grad_written and getattr(f.tensor, "_grad", None) is None
    ]
    for tensor in plan.new_grads:
        grad = tensor._grad
        assert grad is not None
        flat.append(engine_of(grad).detach(grad))
    plan.written_arguments = [i for i, a in enumerate(arguments) if a._native is not bound[i]]
    flat += [engine_of(arguments[i]).detach(arguments[i]) for i in plan.written_arguments]
    grads = [engine_of(argument).read_grad(argument) for argument in arguments]
    plan.argument_grads = [i for i, grad in enumerate(grads) if grad is not None]
    flat += [engine_of(grads[i]).detach(grads[i]) for i in plan.argument_grads]
    return flat


def _plain(backend: Backend, plan: Plan, pure: Callable[..., Any], leaves: list[Tensor]) -> Callable[..., Any]:
    """Results carry no gradient: a training step, or inference."""
    compiler = backend.compiler
    program = compiler.build(
        pure,
        [leaf._native for leaf in leaves],
        [slot.holder()._native for slot in plan.donated],
        [slot.holder()._native for slot in plan.kept],
    )
    exclusive, copy = compiler.exclusive, compiler.copy

    def run(arguments: list[Tensor]) -> list[Tensor]:
        donated = []
        for slot in plan.donated:
            holder = slot.holder()
            if getattr(holder, "_shared", False) or not exclusive(holder._native):
                donated.append(copy(holder._native))
            else:
                donated.append(holder._native)
        natives = program(
            [argument._native for argument in arguments],
            donated,
            [slot.holder()._native for slot in plan.kept],
        )
        return [wrap(native) for native in natives]

    return run


def _differentiable(backend: Backend, plan: Plan, pure: Callable[..., Any]) -> Callable[..., Any]:
    """Results carry gradients out: the program is an op like any other, with a compiled pullback."""
    names = ("leaves", "donated", "kept")
    parameters = tuple(Parameter(name, ParameterKind.SEQUENCE, required=True, keyword=False) for name in names)
    op = Op("compiled", parameters, tuple)
    op.composite = pure
    op.whole_program = True

    def run(arguments: list[Tensor]) -> list[Tensor]:
        donated = [slot.holder() for slot in plan.donated]
        results: list[Tensor] = list(apply(op, (arguments, donated, [slot.holder() for slot in plan.kept])))
        states = [result.detach() for result in results[plan.outputs :]]
        return results[: plan.outputs] + states

    return run
