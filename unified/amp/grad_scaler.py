"""``GradScaler``: a loss is multiplied before backward, so that gradients of 16 bits do not vanish."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from unified import _structure as structure
from unified._dispatch import composite
from unified._dtype import float16, int32
from unified._recorded import rebind_all
from unified._tensor import Tensor
from unified.autograd import no_grad
from unified.control_flow import cond
from unified.errors import ArgumentError, OperandError
from unified.ops.creation import full, zeros
from unified.ops.elementwise import Operand, where
from unified.ops.joining import stack

Outputs = TypeVar("Outputs")


@composite
def unscaled(grads: Sequence[Tensor], scale: Tensor) -> tuple[Tensor, ...]:
    """Each gradient divided by ``scale``, and last whether an element of any is infinite or NaN."""
    finite = stack([grad.isfinite().all() for grad in grads]).all()
    inverse = 1.0 / scale
    return (*[grad * inverse.to(grad.dtype) for grad in grads], ~finite)


@composite
def next_scale(
    scale: Tensor, tracker: Tensor, overflowed: Tensor, growth: Operand, backoff: Operand, interval: Operand
) -> tuple[Tensor, ...]:
    """The scale after a step, and how many steps in a row have been good; PyTorch's ``_amp_update_scale_``."""
    count = where(overflowed, 0, tracker + 1)
    full_row = count >= interval
    grown = scale * growth
    good = where(full_row & grown.isfinite(), grown, scale)
    return where(overflowed, scale * backoff, good), where(full_row, 0, count)


class GradScaler:
    """PyTorch's ``torch.amp.GradScaler``, on every backend and in compiled steps.

    Gradients of a loss that is computed in float16 may be too small for it. So the loss is multiplied by a scale, the
    gradients are divided by it again before the optimiser steps, a step whose gradients have overflowed is left out,
    and the scale then falls; it rises after ``growth_interval`` good steps in a row. bfloat16 has float32's range and
    needs none of this. The scale is a Tensor, made at once on the current backend: a compiled step changes it without
    a retrace, and the step that is left out is a branch of the program.

    Args:
        device: PyTorch's; the scale follows the loss, wherever that is.
        init_scale: the first scale.
        growth_factor, backoff_factor: what the scale is multiplied by when it rises and falls.
        growth_interval: good steps in a row until it rises.
        enabled: False makes every method pass on what it gets.

    Raises:
        ArgumentError: a factor or the interval is out of range.

    Example:
        >>> with un.autocast("cuda"):
        ...     loss = F.cross_entropy(model(x), y)
        >>> scaler.scale(loss).backward()
        >>> scaler.step(optimizer)
        >>> scaler.update()

    Source: Micikevicius et al., "Mixed precision training", 2018.
    """

    def __init__(
        self,
        device: str | None = None,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._enabled = enabled
        self._scale: Any = None
        self._tracker: Any = None
        self._overflows: dict[int, Tensor] = {}
        """By the id of an optimiser whether its gradients have overflowed, from ``unscale_`` to ``update``."""
        self._stepped: set[int] = set()
        self.set_growth_factor(growth_factor)
        self.set_backoff_factor(backoff_factor)
        self.set_growth_interval(growth_interval)
        if not (math.isfinite(init_scale) and init_scale > 0):
            raise ArgumentError(f"GradScaler: init_scale must be positive and finite, not {init_scale}")
        if enabled:
            self._scale = full((), float(init_scale), device=device)
            self._tracker = zeros((), dtype=int32, device=device)

    def scale(self, outputs: Outputs) -> Outputs:
        """``outputs``, a Tensor or any nesting of Tensors, times the scale.

        Raises:
            OperandError: there is no Tensor in it.
        """
        if not self._enabled:
            return outputs
        leaves: list[Tensor] = []
        form = structure.flatten(outputs, leaves)
        if not leaves:
            raise OperandError(f"GradScaler.scale: takes Tensors, not {type(outputs).__name__}")
        self._follow(leaves[0])
        scaled: Outputs = structure.unflatten(form, [leaf * self._scale for leaf in leaves])
        return scaled

    def unscale_(self, optimizer: Any) -> None:
        """Divides the gradients of the optimiser's parameters by the scale, for looking at them or clipping them.

        Without it :meth:`step` does so. Once between two updates.

        Raises:
            ArgumentError: it was called already since the last update, or a gradient is itself float16, whose
                quotients would vanish: keep parameters in float32, which autocast casts.
        """
        if not self._enabled:
            return
        if id(optimizer) in self._overflows:
            raise ArgumentError("GradScaler.unscale_: has been called on this optimizer since the last update()")
        with no_grad():
            params = [param for group in optimizer.param_groups for param in group["params"]]
            grads = [grad for grad in (param.grad for param in params) if grad is not None]
            if any(grad.dtype is float16 for grad in grads):
                raise ArgumentError(
                    "GradScaler.unscale_: gradients are float16; keep parameters in float32, autocast casts them"
                )
            if not grads:
                raise ArgumentError("GradScaler.unscale_: no parameter of the optimizer has a gradient")
            self._follow(grads[0])
            *divided, overflowed = unscaled(grads, self._scale)
            rebind_all(grads, divided)
        self._overflows[id(optimizer)] = overflowed

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        """``optimizer.step(*args, **kwargs)``, unless a gradient is infinite or NaN; unscales first if nobody did.

        Raises:
            ArgumentError: it has stepped already since the last update, or a closure is given.
        """
        if not self._enabled:
            optimizer.step(*args, **kwargs)
            return
        if any(callable(given) for given in (*args, *kwargs.values())):
            raise ArgumentError("GradScaler.step: takes no closure, which would compute unscaled gradients")
        if id(optimizer) in self._stepped:
            raise ArgumentError("GradScaler.step: has been called on this optimizer since the last update()")
        if id(optimizer) not in self._overflows:
            self.unscale_(optimizer)

        def take() -> None:
            optimizer.step(*args, **kwargs)

        with no_grad():
            cond(self._overflows[id(optimizer)], _skip, take)
        self._stepped.add(id(optimizer))

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Ends a step: lowers the scale if a gradient had overflowed, raises it after enough good steps.

        Args:
            new_scale: becomes the scale, whatever has happened.

        Raises:
            ArgumentError: no optimiser's gradients were unscaled since the last update.
        """
        if not self._enabled:
            return
        with no_grad():
            if new_scale is not None:
                self._scale.copy_(full((), new_scale) if isinstance(new_scale, (int, float)) else new_scale.detach())
            elif not self._overflows:
                raise ArgumentError("GradScaler.update: no gradients were unscaled; call step(optimizer) before")
            else:
                overflowed = stack(list(self._overflows.values())).any()
                scale, tracker = next_scale(
                    self._scale, self._tracker, overflowed, self._growth, self._backoff, self._interval
                )
                rebind_all([self._scale, self._tracker], [scale, tracker])
        self._overflows.clear()
        self._stepped.clear()

    def get_scale(self) -> float:
        """The scale, 1.0 where disabled; waits for it."""
        return float(self._scale.item()) if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """What the scale is multiplied by when it rises."""
        return self._growth

    def set_growth_factor(self, new_factor: float) -> None:
        """Sets it; raises ArgumentError unless it is over 1."""
        if not new_factor > 1.0:
            raise ArgumentError(f"GradScaler: growth_factor must be over 1, not {new_factor}")
        self._growth = float(new_factor)

    def get_backoff_factor(self) -> float:
        """What the scale is multiplied by when it falls."""
        return self._backoff

    def set_backoff_factor(self, new_factor: float) -> None:
        """Sets it; raises ArgumentError unless it is between 0 and 1."""
        if not 0.0 < new_factor < 1.0:
            raise ArgumentError(f"GradScaler: backoff_factor must be between 0 and 1, not {new_factor}")
        self._backoff = float(new_factor)

    def get_growth_interval(self) -> int:
        """Good steps in a row until the scale rises."""
        return self._interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Sets it; raises ArgumentError unless it is a positive integer."""
        if not isinstance(new_interval, int) or new_interval < 1:
            raise ArgumentError(f"GradScaler: growth_interval must be a positive integer, not {new_interval!r}")
        self._interval = new_interval

    def is_enabled(self) -> bool:
        """Whether it scales at all."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """Numbers under PyTorch's names; empty where disabled. Take it after :meth:`update`."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth,
            "backoff_factor": self._backoff,
            "growth_interval": self._interval,
            "_growth_tracker": int(self._tracker.item()),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over what :meth:`state_dict` gave, PyTorch's scaler's too; does nothing where disabled.

        Raises:
            ArgumentError: it comes from a disabled scaler, or an entry is missing; nothing changes.
        """
        if not self._enabled:
            return
        names = ("scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker")
        missing = [name for name in names if name not in state_dict]
        if missing:
            why = "comes from a disabled scaler, it is empty" if not state_dict else f"has no {missing[0]!r}"
            raise ArgumentError(f"GradScaler.load_state_dict: the state {why}")
        scale, growth, backoff, interval, tracker = (state_dict[name] for name in names)
        GradScaler(None, scale, growth, backoff, interval, enabled=False)  # refuses what is out of range
        self._growth, self._backoff, self._interval = float(growth), float(backoff), interval
        with no_grad():
            self._scale.fill_(scale)
            self._tracker.fill_(tracker)

    def _follow(self, tensor: Tensor) -> None:
        """Moves the scale to where ``tensor`` is."""
        if (self._scale.backend, self._scale.device) != (tensor.backend, tensor.device):
            held = [state.to(backend=tensor.backend).to(tensor.device) for state in (self._scale, self._tracker)]
            self._scale, self._tracker = held


def _skip() -> None:
    """The step that is left out."""
