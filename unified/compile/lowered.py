"""A compiled function without a call of it: its program as text, ahead of time, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unified import _structure as structure
from unified._device import device as Device
from unified._dtype import DType, float32
from unified._engine import engine_of
from unified._tape import grad_mode
from unified._tensor import Tensor
from unified.backends.protocol import Backend, Lowering
from unified.compile.program import Entry, Plan, Program, differentiable, groups, plain, planned
from unified.errors import ArgumentError, CompileError, OperandError

STAGES = ("graph", "lowered", "optimized")


class TensorSpec:
    """A Tensor's shape, dtype and device without its elements, for :meth:`CompiledFunction.lower`.

    Args:
        shape: lengths of all dimensions.
        requires_grad: whether the Tensor that it stands for does.

    Example: ``step.lower(un.TensorSpec((32, 784)), un.TensorSpec((32,), un.int32))``
    """

    __slots__ = ("device", "dtype", "requires_grad", "shape")

    def __init__(
        self,
        shape: Sequence[int],
        dtype: DType = float32,
        device: Device | str | None = None,
        requires_grad: bool = False,
    ) -> None:
        if not isinstance(dtype, DType):
            raise OperandError(f"TensorSpec: dtype must be a un dtype, not {dtype!r}")
        if any(not isinstance(length, int) or isinstance(length, bool) or length < 0 for length in shape):
            raise ArgumentError(f"TensorSpec: a shape is a sequence of lengths, not {tuple(shape)}")
        self.shape = tuple(shape)
        self.dtype = dtype
        self.device = None if device is None else Device(device)
        self.requires_grad = requires_grad

    def __repr__(self) -> str:
        return f"TensorSpec({self.shape}, {self.dtype.name})"


class Lowered:
    """One signature's program before it is compiled. Nothing has run, and no state has changed.

    Made by ``fn.lower(...)``.
    """

    def __init__(
        self, backend: Backend, plan: Plan, program: Program, lowering: Lowering, call: Any, signature: list[Any]
    ) -> None:
        self._backend, self._plan, self._program, self._lowering = backend, plan, program, lowering
        self._call, self._signature = call, signature

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
        return Compiled(self._backend, self._plan, self._program, self._lowering, self._call, self._signature)


class Compiled:
    """One signature's program, compiled: call it as the function, with such arguments.

    Made by ``fn.lower(...).compile()``.
    """

    def __init__(
        self, backend: Backend, plan: Plan, program: Program, lowering: Lowering, call: Any, signature: list[Any]
    ) -> None:
        self._backend, self._call, self._signature = backend, call, signature
        self._executable = lowering.compile()
        carries = plan.differentiable
        run = differentiable(plan, program) if carries else plain(backend, plan, self._executable)
        self._entry = Entry(backend, plan, run, self._executable)

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
        leaves: list[Tensor] = []
        call = structure.flatten((args, kwargs), leaves)
        found = [_signature(leaf._native) for leaf in leaves]
        if call != self._call or found != self._signature:
            reason = f"arguments {found} for a program of {self._signature}"
            if call != self._call:
                reason = structure.difference(self._call, call)
            raise CompileError(f"this program was compiled for other arguments: {reason}; lower the function again")
        if not self._entry.valid():
            raise CompileError(f"this program does not hold any more: {self._entry.why_invalid()}; lower it again")
        return self._entry.call(leaves)


class Inspected:
    """What can be asked of a compiled function without calling it; the part of it that looks and does not run."""

    _function: Callable[..., Any]

    def lower(self, *args: Any, platform: str | None = None, **kwargs: Any) -> Lowered:
        """The program of one signature, traced and not run; no Tensor changes.

        Args:
            args: as a call's, with :class:`TensorSpec` where a Tensor is not at hand.
            platform: lower for ``"tpu"`` or ``"cuda"`` on a machine without one. JAX alone can; with libtpu installed
                it also compiles for a TPU, which is not needed to be here.

        Example:
            >>> un.compile(model).lower(un.TensorSpec((8, 784))).compile().cost_analysis()["flops"]
            1605632.0

        Raises:
            CompileError: as a call, or the backend lowers for no other platform.
        """
        arguments: list[Any] = []
        call = structure.flatten((args, kwargs), arguments, (Tensor, TensorSpec))
        backend: Backend = self._backend([leaf for leaf in arguments if isinstance(leaf, Tensor)])  # type: ignore[attr-defined]
        natives, requires = [], []
        for leaf in arguments:
            if isinstance(leaf, TensorSpec):
                natives.append(backend.compiler.placeholder(leaf.shape, leaf.dtype, leaf.device))
                requires.append(grad_mode.enabled and leaf.requires_grad)
            else:
                natives.append(leaf._native)
                requires.append(grad_mode.enabled and engine_of(leaf).requires_grad(leaf))
        signature = [_signature(native) for native in natives]
        plan, program = planned(self._function, backend, call, natives, requires)
        lowering = backend.compiler.lower(*groups(plan, program, natives), platform)
        return Lowered(backend, plan, program, lowering, call, signature)

    def ir(self, *args: Any, stage: str = "lowered", **kwargs: Any) -> str:
        """The program of one signature as text, without running it: ``lower(...).as_text(stage)``."""
        if stage not in STAGES:
            raise ArgumentError(f"ir: stage must be one of {', '.join(map(repr, STAGES))}, not {stage!r}")
        return self.lower(*args, **kwargs).as_text(stage)


def _signature(native: Any) -> tuple[Any, ...]:
    """Shape and dtype; a placeholder is not told from a tensor."""
    return (tuple(native.shape), native.dtype)
