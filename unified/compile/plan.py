"""What a trace found out about a function: the state that it touches, and what its program gives back."""

from __future__ import annotations

from typing import Any

from unified._attributes import Reads
from unified._tensor import Tensor
from unified.compile.buckets import Cut
from unified.compile.places import Places
from unified.compile.state import Act


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
        self.flags: dict[int, tuple[Any, Any]] = {}
        self.places = Places()
        """Where captured Tensors are found."""
        self.reads = Reads()
        """Attributes of Modules."""
        self.grad_guards: list[tuple[Tensor, bool]] = []
        self.requires: list[tuple[Tensor, bool, Any, tuple[int, ...]]] = []
        self.required: list[tuple[Tensor, bool]] = []
        """Which Tensors are left with another ``requires_grad``, and which one."""
        self.carries: list[bool] = []
        """Which results carry gradients out."""
        self.output: Any = None
        self.outputs = 0
        self.cuts: list[Cut] = []
        self.new_grads: list[Tensor] = []
        self.cleared: list[Tensor] = []
        self.written_arguments: list[int] = []
        self.argument_grads: list[tuple[int, bool]] = []
        """Of which argument, and whether the Tensor that it was stays and gets another value."""
        self.cleared_arguments: list[int] = []
        self.given_grads: list[int] = []
        """Arguments whose gradients are inputs too."""
        self.argument_guards: list[tuple[int, bool]] = []
        """Arguments whose gradients were read, and whether there was none."""
        self.bound: dict[int, Tensor] = {}
        """Arguments that are Tensors which the function also reaches by itself: one Tensor, and part of the state."""
        self.effects: list[tuple[int, Act]] = []

    @property
    def differentiable(self) -> bool:
        """Whether a result carries gradients out."""
        return any(self.carries)

    @property
    def pure(self) -> bool:
        """Whether a call writes nothing."""
        return not (
            self.changed or self.changed_grads or self.new_grads or self.cleared or self.required
            or self.written_arguments or self.argument_grads or self.cleared_arguments or self.effects
        )  # fmt: skip

    def holders(self) -> tuple[list[Tensor], list[Tensor]]:
        """The Tensors whose natives are the state right now: what changes, what is only read."""
        changed, kept = self.changed, self.kept
        if self.changed_grads:
            changed = [*changed, *[tensor._grad for tensor in self.changed_grads]]  # type: ignore[list-item]
        if self.kept_grads:
            kept = [*kept, *[tensor._grad for tensor in self.kept_grads]]  # type: ignore[list-item]
        return changed, kept
