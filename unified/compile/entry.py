"""One compiled program: whether it still holds, and what a call of it reads and writes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from unified import _structure as structure
from unified._caller import Parameter, ParameterKind
from unified._dispatch import Op, apply, backends_by_type, wrap
from unified._engine import TAPE, engine_of
from unified._epoch import module_hooks, state_epoch
from unified._tensor import Tensor
from unified.autograd.grad_mode import no_grad
from unified.backends.protocol import Backend, Executable, Native
from unified.compile.buckets import cut
from unified.compile.plan import Plan
from unified.compile.state import Act

if TYPE_CHECKING:
    from unified.compile.program import Program

lock = threading.RLock()
"""Held while state is bound to traced values, and while a program that changes state reads it, runs and writes it."""


Run = Callable[[list[Tensor]], Callable[[], tuple[list[Tensor], list[Native]]]]
"""Reads the state, and gives what runs the program on it: to the results, and the new state."""


class Entry:
    """One compiled signature."""

    def __init__(self, backend: Backend, plan: Plan, run: Run, executable: Executable | None = None) -> None:
        self._backend = backend
        self._executable = executable
        self._engine = backend.engine or TAPE
        self._plan = plan
        self._run = run
        self._pure = False
        self._epoch = state_epoch.value
        self._module_hooks = module_hooks.value
        self._captured = frozenset([id(tensor) for tensor, *_ in plan.requires])
        self.seconds = 0.0
        self.reason = ""
        self.number = 0
        """How many programs its function had before."""

    def valid(self, leaves: list[Tensor]) -> bool:
        """Whether what the trace read from Python still holds; one comparison unless something changed.

        And whether among the arguments are those captured Tensors that were among them then, and no others.
        """
        if self._epoch != state_epoch.value:
            if self._stale() is not None:
                return False
            self._epoch = state_epoch.value
        if self._plan.grad_guards:
            read_grad = self._engine.read_grad
            for tensor, absent in self._plan.grad_guards:
                if (read_grad(tensor) is None) is not absent:
                    return False
        if self._plan.places.moved():
            return False
        for position, absent in self._plan.argument_guards:
            if (self._engine.read_grad(leaves[position]) is None) is not absent:
                return False
        return self._as_bound(leaves)

    def _as_bound(self, leaves: list[Tensor]) -> bool:
        bound = self._plan.bound
        if not bound and self._captured.isdisjoint(map(id, leaves)):
            return True
        return bound.keys() == {i for i, leaf in enumerate(leaves) if id(leaf) in self._captured} and all(
            leaves[position] is tensor for position, tensor in bound.items()
        )

    def _stale(self) -> str | None:
        for owner, value in self._plan.flags.values():
            if owner.training != value:
                said: str = owner.changed
                return said
        signature = self._backend.compiler.signature
        if self._module_hooks != module_hooks.value:
            return "hooks of Modules were registered or removed"
        changed = self._plan.reads.changed()
        if changed is not None:
            return changed
        for tensor, required, was, hooks in self._plan.requires:
            if backends_by_type[type(tensor._native)] is not self._backend:
                return f"a captured Tensor moved from {self._backend.name} to {tensor.backend}"
            if self._engine.requires_grad(tensor) is not required:
                return f"requires_grad of a captured Tensor changed from {required} to {not required}"
            if self._engine.hook_ids(tensor) != hooks:
                return "hooks of a captured Tensor were registered or removed"
            if signature(tensor._native) != was:
                return "a captured Tensor changed shape, dtype or device"
        return None

    def why_invalid(self, leaves: list[Tensor]) -> str:
        """Why :meth:`valid` said no."""
        if not self._as_bound(leaves):
            return "an argument is now, or is no longer, a Tensor that the function also reaches by itself"
        place = self._plan.places.first_moved()
        if place is not None:
            return f"{place.name} was replaced by another Tensor; write into it, {place.name}.copy_(value)"
        return self._stale() or "the grad of a captured Tensor or of an argument changed between None and a Tensor"

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
                call = self._run(self._operands(leaves))
            outputs, _ = call()
        else:
            with lock:  # from the reading of state to its writing
                outputs, state = self._run(self._operands(leaves))()
                if plan.effects:
                    _act(plan.effects, state)  # before anything is written back: one that raises changes nothing
                self._write(leaves, state)
            self._pure = plan.pure  # known now: some compilers trace at the first call
        if plan.cuts:
            outputs = [cut(output, by, lengths) for output, by in zip(outputs, plan.cuts, strict=True)]
        if plan.output is structure.LEAF:
            return outputs[0]
        return structure.unflatten(plan.output, outputs)

    def _operands(self, leaves: list[Tensor]) -> list[Tensor]:
        given = self._plan.given_grads
        if not given:
            return leaves
        grads: list[Any] = [self._engine.read_grad(leaves[position]) for position in given]
        return [*leaves, *grads]

    def _write(self, leaves: list[Tensor], state: list[Native]) -> None:
        plan, engine = self._plan, self._engine
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
        if plan.written_arguments:
            with no_grad():  # what may be written while gradients are recorded was seen to in the trace
                for position in plan.written_arguments:
                    leaves[position]._assign(wrap(state[cursor]), reshapes=True)
                    cursor += 1
        for position, stays in plan.argument_grads:
            leaf = leaves[position]
            if stays:
                held: Any = engine.read_grad(leaf)
                engine.replace(held, state[cursor])
            else:
                engine.write_grad(leaf, wrap(state[cursor]))
            cursor += 1
        for position in plan.cleared_arguments:
            engine.write_grad(leaves[position], None)
        for tensor, required in plan.required:
            tensor.requires_grad_(required)


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
            for place, carries in enumerate(plan.carries):
                if not carries:  # it was computed under no_grad, or detached
                    results[place] = wrap(engine_of(results[place]).detach(results[place]))
            return results[:count], [engine_of(result).detach(result) for result in results[count:]]

        return call

    return run
