"""A compiled function without a call of it: its program as text, ahead of time, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unified._engine import engine_of
from unified._tape import grad_mode
from unified.backends.protocol import Backend, Lowering
from unified.compile.entry import Entry, differentiable, plain
from unified.compile.plan import Plan
from unified.compile.program import Program, Request, groups, planned
from unified.compile.signature import Signature, same_tensors, wrap_numbers
from unified.compile.spec import TensorSpec
from unified.errors import ArgumentError, CompileError

STAGES = ("graph", "lowered", "optimized")


class Lowered:
    """One signature's program before it is compiled. Nothing has run, and no state has changed.

    Made by ``fn.lower(...)``.
    """

    def __init__(
        self, request: Request, plan: Plan, program: Program, lowering: Lowering, signature: Signature
    ) -> None:
        self._request, self._plan, self._program, self._lowering = request, plan, program, lowering
        self._signature = signature

    def as_text(self, stage: str = "lowered") -> str:
        """The program in its framework's own language.

        ==============  ==============================  =====================  =========================
        stage           jax                             tensorflow             torch
        ==============  ==============================  =====================  =========================
        ``graph``       jaxpr                           the GraphDef           the ATen graph
        ``lowered``     StableHLO                       HLO                    the graph in inductor's ops
        ``optimized``   HLO after XLA's passes          HLO after its passes   inductor's source code
        ==============  ==============================  =====================  =========================

        Raises:
            ArgumentError: there is no such stage.
            CompileError: XLA lacks an op of it, on TensorFlow; or its compiler is not here.
        """
        if stage not in STAGES:
            raise ArgumentError(f"as_text: stage must be one of {', '.join(map(repr, STAGES))}, not {stage!r}")
        return self._lowering.text(stage)

    def compile(self) -> Compiled:
        """The executable program.

        Raises:
            CompileError: it was lowered for hardware whose compiler is not here.
        """
        return Compiled(self._request, self._plan, self._program, self._lowering, self._signature)


class Compiled:
    """One signature's program, compiled: call it as the function, with such arguments.

    Made by ``fn.lower(...).compile()``.
    """

    def __init__(
        self, request: Request, plan: Plan, program: Program, lowering: Lowering, signature: Signature
    ) -> None:
        self._request, self._signature = request, signature
        self._kinds = [_kind(native) for native in request.leaves]
        self._executable = lowering.compile()
        carries = plan.differentiable
        run = differentiable(plan, program) if carries else plain(request.backend, plan, self._executable)
        self._entry = Entry(request.backend, plan, run, self._executable)

    def cost_analysis(self) -> dict[str, float | None]:
        """``flops`` and ``bytes accessed`` of one call; None where the framework cannot tell.

        JAX: XLA's own analysis. TensorFlow: counted in XLA's program. PyTorch: products, convolutions and attention
        by ``torch.utils.flop_counter``, and bytes as if nothing were fused. Where results carry gradients out, it is
        the forward program.
        """
        return dict(self._executable.cost())

    def memory_analysis(self) -> dict[str, int]:
        """Bytes of the ``arguments`` (state included), ``outputs``, ``temporary`` values and the ``peak`` of all.

        JAX: XLA's buffer assignment. TensorFlow and PyTorch: what is alive at once in the optimised program (PyTorch:
        in the graph before inductor fuses it), an estimate that no allocator is behind.
        """
        return dict(self._executable.memory())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As the function, for arguments of the shapes and dtypes that it was lowered for.

        Raises:
            CompileError: they have others, or what the program read from Python has changed since.
        """
        leaves: list[Any] = []
        call = self._signature.flatten(args, kwargs, leaves)
        numbers = tuple(i for i, leaf in enumerate(leaves) if leaf.__class__ is float)
        if numbers == self._request.numbers:
            wrap_numbers(leaves, numbers, self._request.backend)
            found = [_kind(leaf._native) for leaf in leaves]
        else:
            found = []
        if call != self._request.call or found != self._kinds:
            reason = f"arguments {found} for a program of {self._kinds}"
            if call != self._request.call:
                reason = self._signature.difference(self._request.call, call)
            raise CompileError(f"this program was compiled for other arguments: {reason}; lower the function again")
        if same_tensors(leaves) != self._request.same:
            raise CompileError(
                "this program was compiled for other arguments: which of them are one Tensor changed; lower it again"
            )
        if not self._entry.valid(leaves):
            reason = self._entry.why_invalid(leaves)
            raise CompileError(f"this program does not hold any more: {reason}; lower it again")
        return self._entry.call(leaves)


class Inspected:
    """What can be asked of a compiled function without calling it; the part of it that looks and does not run."""

    _function: Callable[..., Any]
    _signature: Signature
    _backend: Callable[[list[Any]], Backend]

    def lower(self, *args: Any, platform: str | None = None, **kwargs: Any) -> Lowered:
        """The program of one signature, traced and not run; no Tensor changes.

        Args:
            args: as a call's, with :class:`TensorSpec` where a Tensor is not at hand. Dimensions named in
                ``dynamic`` have the length that is given.
            platform: lower for ``"tpu"`` or ``"cuda"`` on a machine without one. JAX alone can; with libtpu installed
                it also compiles for a TPU, which is not needed to be here.

        Example:
            >>> un.compile(model).lower(un.TensorSpec((8, 784))).compile().cost_analysis()["flops"]
            1605632.0

        Raises:
            CompileError: as a call, or the backend lowers for no other platform.
        """
        arguments: list[Any] = []
        call = self._signature.flatten(args, kwargs, arguments)
        backend = self._backend([leaf for leaf in arguments if not isinstance(leaf, TensorSpec)])
        numbers = tuple(i for i, leaf in enumerate(arguments) if leaf.__class__ is float)
        wrap_numbers(arguments, numbers, backend)
        natives, requires = [], []
        for leaf in arguments:
            if isinstance(leaf, TensorSpec):
                natives.append(backend.compiler.placeholder(leaf.shape, leaf.dtype, leaf.device))
                requires.append(grad_mode.enabled and leaf.requires_grad)
            else:
                natives.append(leaf._native)
                requires.append(grad_mode.enabled and engine_of(leaf).requires_grad(leaf))
        request = Request(self._function, backend, call, natives, requires, numbers, None, same_tensors(arguments))
        with request.telling_of_leaks():
            plan, program = planned(request, arguments)
            if plan.given_grads:
                natives = [*natives, *[arguments[place].grad._native for place in plan.given_grads]]
            lowering = backend.compiler.lower(*groups(plan, program, natives), platform)
        return Lowered(request, plan, program, lowering, self._signature)

    def ir(self, *args: Any, stage: str = "lowered", **kwargs: Any) -> str:
        """The program of one signature as text, without running it: ``lower(...).as_text(stage)``."""
        if stage not in STAGES:
            raise ArgumentError(f"ir: stage must be one of {', '.join(map(repr, STAGES))}, not {stage!r}")
        return self.lower(*args, **kwargs).as_text(stage)


def _kind(native: Any) -> tuple[Any, ...]:
    """Shape and dtype; a placeholder is not told from a tensor."""
    return (tuple(native.shape), native.dtype)
