"""From a function to a program: discover the state it touches, trace it with that state bound, run it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from unified import _structure as structure
from unified._caller import Parameter, ParameterKind
from unified._dispatch import Op, apply, backends_by_type, module_hooks, replaced_since, state_epoch, wrap
from unified._engine import TAPE, engine_of
from unified._length import Length
from unified._recording import recording
from unified._tape import grad_mode
from unified._tensor import Tensor
from unified.autograd.grad_mode import no_grad
from unified.backends.protocol import Backend, Executable, Native, Pure
from unified.compile import rules, rules_shape
from unified.compile.buckets import Cut, Padded, cut
from unified.compile.effects import Effects
from unified.compile.padding import Padding
from unified.compile.signature import Call, unflatten
from unified.compile.state import Act, Again, StateTracer, Touched
from unified.errors import CompileError, DynamicLengthError, InPlaceLeafError

lock = threading.RLock()
"""Held while state is bound to traced values, and while a program that changes state reads it, runs and writes it."""


class Plan:
    """What discovery found, and what the trace made of it.

    The state of a program is values of Tensors, then gradients: ``changed`` and ``changed_grads`` it returns anew,
    ``kept`` and ``kept_grads`` it only reads.
    """

    def __init__(self) -> None:
        self.changed: list[Tensor] = []
        self.changed_grads: list[Tensor] = []
        self.kept: list[Tensor] = []
        self.kept_grads: list[Tensor] = []
        self.flags: dict[int, tuple[Any, bool]] = {}
        self.grad_guards: list[tuple[Tensor, bool]] = []
        self.requires: list[tuple[Tensor, bool, Any, tuple[int, ...]]] = []
        self.differentiable = False
        self.output: Any = None
        self.outputs = 0
        self.cuts: list[Cut] = []
        self.new_grads: list[Tensor] = []
        self.cleared: list[Tensor] = []
        self.written_arguments: list[int] = []
        self.argument_grads: list[int] = []
        self.effects: list[tuple[int, Act]] = []

    @property
    def pure(self) -> bool:
        """Whether a call writes nothing."""
        return not (
            self.changed or self.changed_grads or self.new_grads or self.cleared
            or self.written_arguments or self.argument_grads or self.effects
        )  # fmt: skip

    def holders(self) -> tuple[list[Tensor], list[Tensor]]:
        """The Tensors whose natives are the state right now: what changes, what is only read."""
        changed, kept = self.changed, self.kept
        if self.changed_grads:
            changed = [*changed, *[tensor._grad for tensor in self.changed_grads]]  # type: ignore[list-item]
        if self.kept_grads:
            kept = [*kept, *[tensor._grad for tensor in self.kept_grads]]  # type: ignore[list-item]
        return changed, kept


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

    def arguments(self, tensors: list[Tensor]) -> tuple[list[Any], dict[str, Any]]:
        """The function's arguments, with ``tensors`` as leaves."""
        for position in self.numbers:
            tensors[position]._native = self.backend.compiler.as_number(tensors[position]._native)
        return unflatten(self.call, tensors)

    def tracer(self, tensors: list[Tensor]) -> StateTracer:
        """A tracer of the function, for these as its leaves."""
        tracer = StateTracer(self.backend, tensors, bool(self.numbers))
        if self.padded is not None:
            tracer.padding = Padding(
                tracer, tensors, self.padded.layouts(tensors), rules.rule_of, rules_shape.subscript
            )
        return tracer


Run = Callable[[list[Tensor]], Callable[[], tuple[list[Tensor], list[Native]]]]
"""Reads the state, and gives what runs the program on it: to the results, and the new state."""

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

    def __init__(self, backend: Backend, plan: Plan, run: Run, executable: Executable | None = None) -> None:
        self._backend = backend
        self._executable = executable
        self._engine = backend.engine or TAPE
        self._plan = plan
        self._run = run
        self._pure = False
        self._traced = self._epoch = state_epoch.value
        self._module_hooks = module_hooks.value
        self.seconds = 0.0
        self.reason = ""
        self.number = 0
        """How many programs its function had before."""

    def valid(self) -> bool:
        """Whether what the trace read from Python still holds; one comparison unless something changed."""
        if self._epoch != state_epoch.value:
            if self._stale() is not None:
                return False
            self._epoch = state_epoch.value
        if self._plan.grad_guards:
            read_grad = self._engine.read_grad
            for tensor, absent in self._plan.grad_guards:
                if (read_grad(tensor) is None) is not absent:
                    return False
        return True

    def _stale(self) -> str | None:
        for owner, value in self._plan.flags.values():
            if owner.training is not value:
                said: str | None = getattr(owner, "changed", None)
                return said or f"{type(owner).__name__}.training changed from {value} to {not value}"
        signature = self._backend.compiler.signature
        if self._module_hooks != module_hooks.value:
            return "hooks of Modules were registered or removed"
        for tensor, required, was, hooks in self._plan.requires:
            if replaced_since(tensor, self._traced):
                return f"a captured Tensor of shape {tuple(tensor.shape)} was replaced in its Module by another one"
            if backends_by_type[type(tensor._native)] is not self._backend:
                return f"a captured Tensor moved from {self._backend.name} to {tensor.backend}"
            if self._engine.requires_grad(tensor) is not required:
                return f"requires_grad of a captured Tensor changed from {required} to {not required}"
            if self._engine.hook_ids(tensor) != hooks:
                return "hooks of a captured Tensor were registered or removed"
            if signature(tensor._native) != was:
                return "a captured Tensor changed shape, dtype or device"
        return None

    def why_invalid(self) -> str:
        """Why :meth:`valid` said no."""
        return self._stale() or "a captured Tensor's grad changed between None and a Tensor"

    def describe(self) -> dict[str, Any]:
        """The facts of a report."""
        plan, known = self._plan, self._executable
        changed = len(plan.changed) + len(plan.changed_grads)
        return {
            "backend": self._backend.name,
            "compiler": self._backend.compiler.description,
            "seconds": self.seconds,
            "captured": changed + len(plan.kept) + len(plan.kept_grads),
            "changed": changed,
            "effects": len(plan.effects),
            "differentiable": plan.differentiable,
            **({} if known is None else known.cost()),
        }

    def call(self, leaves: list[Tensor], lengths: Sequence[int] = ()) -> Any:
        """Runs the program and writes the state back. Where the program raises, no Tensor changes.

        ``lengths`` are the true ones, where some are dynamic.
        """
        plan = self._plan
        if self._pure:
            with lock:
                call = self._run(leaves)
            outputs, _ = call()
        else:
            with lock:  # from the reading of state to its writing
                outputs, state = self._run(leaves)()
                if plan.effects:
                    _act(plan.effects, state)  # before anything is written back: one that raises changes nothing
                self._write(leaves, state)
            self._pure = plan.pure  # known now: some compilers trace at the first call
        if plan.cuts:
            outputs = [cut(output, by, lengths) for output, by in zip(outputs, plan.cuts, strict=True)]
        if plan.output is structure.LEAF:
            return outputs[0]
        return structure.unflatten(plan.output, outputs)

    def _write(self, leaves: list[Tensor], state: list[Native]) -> None:
        plan, engine = self._plan, self._engine
        written = [leaves[position] for position in plan.written_arguments]
        for leaf in written:
            if grad_mode.enabled and engine.requires_grad(leaf) and engine.is_leaf(leaf):
                raise InPlaceLeafError(
                    "the compiled function writes in place to an argument that is a leaf and requires grad, while "
                    "gradients are recorded; wrap the call in un.no_grad()"
                )
        engine.replace_all(plan.changed, state)
        cursor = len(plan.changed)
        if self._backend.compiler.donates:
            for tensor in plan.changed:
                tensor._shared = False
        for tensor in plan.changed_grads:
            grad: Any = tensor._grad
            engine.replace(grad, state[cursor])
            grad._shared = False
            cursor += 1
        for tensor in plan.new_grads:
            engine.write_grad(tensor, wrap(state[cursor]))
            cursor += 1
        for tensor in plan.cleared:
            engine.write_grad(tensor, None)
        for leaf in written:
            leaf._assign(wrap(state[cursor]))
            cursor += 1
        for position in plan.argument_grads:
            leaf, found = leaves[position], wrap(state[cursor])
            held = engine.read_grad(leaf)
            engine.write_grad(leaf, found if held is None else held + found)
            cursor += 1


def trace(request: Request) -> Entry:
    """Compiles a function for one signature. Leaves every Tensor as it was, also when it fails."""
    with lock:
        try:
            effects = Effects(request.function)
            plan = _discover(request)
            effects.warn(getattr(request.function, "__qualname__", type(request.function).__name__))
            program = Program(_body(request, plan))
            if plan.differentiable:
                return Entry(request.backend, plan, differentiable(plan, program))
            executable = request.backend.compiler.build(*groups(plan, program, request.leaves))
            return Entry(request.backend, plan, plain(request.backend, plan, executable), executable)
        except RecursionError as error:
            raise CompileError(
                "the recursion in the compiled function is too deep: while tracing, each call of a compiled function "
                "is part of the program around it, so recursion is unrolled, and must end by a Python value, not "
                "by a Tensor's; write it as un.while_loop or un.scan"
            ) from error


def planned(request: Request) -> tuple[Plan, Program]:
    """What a function touches in a call, and itself as a program of that call's leaves."""
    with lock:
        plan = _discover(request)
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


def _discover(request: Request) -> Plan:
    """What a function touches; where something has to be done first, it is traced again afterwards."""
    while True:
        try:
            return _touched(request)
        except Again as first:
            with no_grad():
                first.act()


def _touched(request: Request) -> Plan:
    plan = Plan()
    requires, backend = request.requires, request.backend

    def run(natives: list[Native]) -> list[Native]:
        arguments = [wrap(native) for native in natives]
        _prepare(arguments, requires)
        args, kwargs = request.arguments(arguments)
        tracer = request.tracer(arguments)
        results: list[Tensor] = []
        try:
            with tracer:
                structure.flatten(request.function(*args, **kwargs), results, _admit_result)
                tracer.collect_grads()
                plan.differentiable = not tracer.differentiated and any(_requires(r) for r in results)
                plan.effects = [(len(tensors), act) for tensors, act in tracer.effects]
                _read_plan(plan, tracer, backend)
                return [engine_of(r).detach(r) for r in results]
        finally:
            for found in tracer.touched.values():
                found.restore()

    backend.compiler.discover(run, request.leaves)
    return plan


def _read_plan(plan: Plan, tracer: StateTracer, backend: Backend) -> None:
    signature = backend.compiler.signature
    for found in tracer.touched.values():
        (plan.changed if found.rebound() else plan.kept).append(found.tensor)
        if found.grad_read and found.grad is not None:
            accumulated = found.grad._native is not found.grad_stand_in
            (plan.changed_grads if accumulated else plan.kept_grads).append(found.tensor)
        if found.grad_read:
            plan.grad_guards.append((found.tensor, found.grad is None))
        required = engine_of(found.tensor).requires_grad(found.tensor)
        hooks = engine_of(found.tensor).hook_ids(found.tensor)
        plan.requires.append((found.tensor, required, signature(found.native), hooks))
    plan.flags = {id(owner): (owner, value) for owner, value in tracer.flags}


def _body(request: Request, plan: Plan) -> Callable[[Sequence[list[Any]], Finish], list[Any]]:
    """What a :class:`Program` runs: groups are the arguments, the state that changes, the state that is read."""
    recorded, requires = grad_mode.enabled, request.requires

    def body(groups: Sequence[list[Any]], finish: Finish) -> list[Any]:
        arguments, changed, kept = groups
        _prepare(arguments, requires)
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
            with tracer, recording(recorded):  # a pullback is traced within a backward pass, which does not record
                for tensor in (*plan.changed, *plan.kept):
                    tracer.adopt(Touched(tensor), values[id(tensor)], grad_of.get(id(tensor)))
                output = structure.flatten(request.function(*args, **kwargs), results, _admit_result)
                tracer.collect_grads()
                if request.padded is not None:
                    plan.cuts = _cuts(request.padded, tracer, results, arguments, bound)
                    tracer.padding = None  # and with it the masks; a pullback goes back over padded values plainly
                finished = finish(_results(plan, tracer, output, results, arguments, bound))
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
    plan: Plan, tracer: StateTracer, output: Any, results: list[Tensor], arguments: list[Tensor], bound: list[Native]
) -> list[Tensor]:
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
    final = [f for f in tracer.touched.values() if f.holds_final_grad() and id(f.tensor) not in accumulated]
    plan.new_grads = [found.tensor for found in final]
    plan.cleared = [
        f.tensor for f in tracer.touched.values() if f.grad_written and getattr(f.tensor, "_grad", None) is None
    ]
    plan.written_arguments = [i for i, a in enumerate(arguments) if a._native is not bound[i]]
    grads = [engine_of(argument).read_grad(argument) for argument in arguments]
    plan.argument_grads = [i for i, grad in enumerate(grads) if grad is not None]
    state = plan.holders()[0].copy()
    state += [engine_of(tensor).read_grad(tensor) for tensor in plan.new_grads]
    state += [arguments[i] for i in plan.written_arguments]
    state += [grads[i] for i in plan.argument_grads]
    effects = tracer.seal()
    plan.effects = [(len(tensors), act) for tensors, act in effects]
    shown = [tensor for tensors, _ in effects for tensor in tensors]
    return [*results, *(wrap(engine_of(tensor).detach(tensor)) for tensor in state), *shown]


def _act(effects: list[tuple[int, Act]], state: list[Native]) -> None:
    """What was deferred, in the order of the program, with the values at the end of ``state``."""
    cursor = len(state) - sum(count for count, _ in effects)
    for count, act in effects:
        natives = state[cursor : cursor + count]
        cursor += count
        act([backends_by_type[type(native)].to_numpy(native) for native in natives])


def plain(backend: Backend, plan: Plan, program: Executable) -> Run:
    """Results carry no gradient: a training step, or inference."""
    donates, claim = backend.compiler.donates and not plan.effects, backend.compiler.claim

    def run(arguments: list[Tensor]) -> Callable[[], tuple[list[Tensor], list[Native]]]:
        changed, kept = plan.holders()
        natives = [argument._native for argument in arguments]
        donated = [tensor._native for tensor in changed]
        read = [tensor._native for tensor in kept]
        if donates:
            claim(donated, [getattr(tensor, "_shared", False) for tensor in changed])
        elif plan.effects:
            donated, read = [], [*donated, *read]

        def call() -> tuple[list[Tensor], list[Native]]:
            results = program(natives, donated, read)
            count = plan.outputs
            return [wrap(native) for native in results[:count]], results[count:]

        return call

    return run


def differentiable(plan: Plan, program: Program) -> Run:
    """Results carry gradients out: the program is an op like any other, with a compiled pullback."""
    names = ("leaves", "donated", "kept")
    parameters = tuple(Parameter(name, ParameterKind.SEQUENCE, required=True, keyword=False) for name in names)
    op = Op("compiled", parameters, tuple)
    op.composite = program
    op.whole_program = True

    def run(arguments: list[Tensor]) -> Callable[[], tuple[list[Tensor], list[Native]]]:
        changed, kept = plan.holders()

        def call() -> tuple[list[Tensor], list[Native]]:
            results: list[Tensor] = list(apply(op, (arguments, changed, kept)))
            count = plan.outputs
            return results[:count], [engine_of(result).detach(result) for result in results[count:]]

        return call

    return run
