"""Gradients of several small batches in the place of one large batch's."""

from __future__ import annotations

from typing import Any

from unified._dispatch import tracing
from unified._tensor import Tensor
from unified.errors import ArgumentError, CompileError
from unified.optim.optimizer import Optimizer


class GradientAccumulator:
    """Steps an optimizer once for every ``steps`` batches, by the mean of their gradients.

    Example::

        accumulator = optim.GradientAccumulator(optimizer, steps=4)
        for x, y in batches:
            accumulator.backward(loss(model(x), y))  # may be within a compiled function
            accumulator.step()                       # must not: it counts batches in Python
        accumulator.flush()                          # batches that are left over

    Args:
        optimizer: what to step.
        steps: batches a step.

    Raises:
        ArgumentError: ``steps`` is no integer above 0.
    """

    def __init__(self, optimizer: Optimizer, steps: int) -> None:
        if not isinstance(steps, int) or steps < 1:
            raise ArgumentError(f"GradientAccumulator: steps must be an integer above 0, but it is {steps}")
        self.optimizer, self.steps = optimizer, steps
        self.pending = 0

    def backward(self, loss: Tensor) -> None:
        """Adds this batch's share of the gradient: that of ``loss / steps``."""
        (loss / self.steps).backward()

    def step(self) -> bool:
        """Counts a batch; after every ``steps`` steps the optimizer and drops the gradients.

        Returns:
            Whether the optimizer stepped, which is when a schedule should.

        Raises:
            CompileError: within ``un.compile``, which would count once only.
        """
        self._refuse_tracing("step")
        self.pending += 1
        if self.pending < self.steps:
            return False
        self._apply()
        return True

    def flush(self) -> bool:
        """Steps by the mean over the batches that are left over; False where there are none.

        Raises:
            CompileError: within ``un.compile``.
        """
        self._refuse_tracing("flush")
        if not self.pending:
            return False
        scale = self.steps / self.pending
        for group in self.optimizer.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    param.grad = param.grad.detach() * scale
        self._apply()
        return True

    def _apply(self) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.pending = 0

    def _refuse_tracing(self, what: str) -> None:
        if tracing() is not None:
            raise CompileError(
                f"GradientAccumulator.{what}() counts batches in Python, which a compiled function does while it is "
                "traced only; compile what comes before it, and call it outside"
            )

    def state_dict(self) -> dict[str, Any]:
        """How many batches are pending; their gradients are the parameters'."""
        return {"steps": self.steps, "pending": self.pending}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from ``state_dict``."""
        self.steps, self.pending = state_dict["steps"], state_dict["pending"]
