"""Limited-memory BFGS, which asks for the loss as often as it needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from unified._dispatch import backends_by_type, tracing, wrap
from unified._dtype import from_numpy_dtype
from unified._tensor import Tensor
from unified.autograd.grad_mode import enable_grad
from unified.errors import ArgumentError, OperandError
from unified.ops.complex import view_as_complex, view_as_real
from unified.ops.joining import cat
from unified.optim import _checkpoint
from unified.optim._options import require
from unified.optim.line_search import Point, strong_wolfe
from unified.optim.optimizer import Optimizer, Params


class LBFGS(Optimizer):
    """L-BFGS (Liu and Nocedal, 1989; Nocedal and Wright, 2006, algorithm 7.4), step for step as PyTorch's.

    ``step(closure)`` evaluates the loss several times and looks at its values; it runs eagerly only, and raises
    TracedValueError within ``un.compile``. The closure itself may be compiled.

    Args:
        params: Tensors; only one parameter group.
        lr: length of a step, or where the line search starts.
        max_iter: iterations within one ``step``.
        max_eval: evaluations within one ``step``; None for ``max_iter * 5 / 4``.
        tolerance_grad: stops where no element of the gradient is larger.
        tolerance_change: stops where neither the loss nor any parameter changes by more.
        history_size: pairs of differences that approximate the inverse Hessian.
        line_search_fn: None for fixed steps, or ``"strong_wolfe"``.

    Example: ``LBFGS(model.parameters(), line_search_fn="strong_wolfe").step(closure)``.

    Raises:
        ArgumentError: there is more than one group, or an option has a value that makes no sense.
    """

    not_negative = ("lr",)

    def __init__(
        self, params: Params, lr: float | Tensor = 1.0, max_iter: int = 20, max_eval: int | None = None,
        tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9, history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:  # fmt: skip
        defaults = {
            "lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change, "history_size": history_size,
            "line_search_fn": line_search_fn,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _validate(self, options: Mapping[str, Any]) -> None:
        search = options["line_search_fn"]
        require(search in (None, "strong_wolfe"), self, "line_search_fn must be None or 'strong_wolfe'", repr(search))

    def _scalars(self, options: Mapping[str, Any]) -> dict[str, float]:
        return {}

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Adds the one group.

        Raises:
            ArgumentError: there is one already.
        """
        if self.param_groups:
            raise ArgumentError("LBFGS takes one parameter group only, without options of some parameters' own")
        super().add_param_group(param_group)

    # ---- parameters as one vector ----------------------------------------------------------------------------

    def _gathered_grad(self) -> Tensor:
        parts = []
        for param in self.param_groups[0]["params"]:
            grad = param.grad
            grad = param.detach().zeros_like() if grad is None else grad.detach()
            parts.append((view_as_real(grad) if grad.is_complex() else grad).reshape(-1))
        return cat(parts)

    def _move(self, step: Any, direction: Tensor) -> None:
        params = self.param_groups[0]["params"]
        moved, offset = [], 0
        for param in params:
            real = view_as_real(param.detach()) if param.is_complex() else param.detach()
            count = real.numel()
            real = real + direction[offset : offset + count].reshape(real.shape) * step
            moved.append(view_as_complex(real) if param.is_complex() else real)
            offset += count
        self._store(params, moved)

    # ---- the step --------------------------------------------------------------------------------------------

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        tracer = tracing()
        if tracer is not None:
            raise tracer.refuse_value("LBFGS.step(), which decides by the loss and its gradient,")
        if closure is None:
            raise OperandError("LBFGS: step takes a closure that computes the loss and its gradients again")
        group = self.param_groups[0]
        params = group["params"]
        state = self.state[params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        rate, max_iter, max_eval = group.number("lr"), group["max_iter"], group["max_eval"]
        tolerance = group["tolerance_change"]

        def evaluated() -> tuple[Any, Tensor]:
            with enable_grad():
                found = closure()
            return found, self._gathered_grad()

        first_loss, grad = evaluated()
        loss = float(first_loss)
        evaluations = 1
        state["func_evals"] += 1
        if grad.abs().max() <= group["tolerance_grad"]:
            return first_loss
        iteration = 0
        while iteration < max_iter:
            iteration += 1
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                state.update(d=-grad, old_dirs=[], old_stps=[], ro=[], H_diag=1)
                step = min(1.0, 1.0 / grad.abs().sum()) * rate
            else:
                self._remember(state, grad, group["history_size"])
                state["d"] = _direction(state, grad)
                step = rate
            state["prev_flat_grad"], state["prev_loss"] = grad, loss
            direction = state["d"]
            slope = grad.dot(direction)
            state["t"] = step
            if slope > -tolerance:
                break
            before = loss
            spent = 0
            if group["line_search_fn"] is not None:
                origin = [param.detach() for param in params]

                def at(distance: Any, direction: Tensor = direction, origin: list[Tensor] = origin) -> Point:
                    self._move(distance, direction)
                    found, gradient = evaluated()
                    self._store(params, origin)
                    return Point(distance, float(found), gradient, gradient.dot(direction))

                start = Point(0, loss, grad, slope)
                best, spent = strong_wolfe(at, start, step, direction.abs().max(), tolerance, max_eval - evaluations)
                step, loss, grad = best.step, best.loss, best.grad
                state["t"] = step
                self._move(step, direction)
            else:
                self._move(step, direction)
                if iteration != max_iter:  # nobody would look at a last gradient
                    found, grad = evaluated()
                    loss = float(found)
                    spent = 1
            evaluations += spent
            state["func_evals"] += spent
            if (
                iteration == max_iter
                or evaluations >= max_eval
                or grad.abs().max() <= group["tolerance_grad"]
                or (direction * step).abs().max() <= tolerance
                or abs(loss - before) < tolerance
            ):
                break
        return first_loss

    def _remember(self, state: dict[str, Any], grad: Tensor, history_size: int) -> None:
        """Adds the last step and what it did to the gradient, where the curvature along it was positive."""
        change = grad - state["prev_flat_grad"]
        moved = state["d"] * state["t"]
        curvature = change.dot(moved)
        if not curvature > 1e-10:
            return
        kept = slice(-history_size + 1, None) if history_size > 1 else slice(0, 0)
        full = len(state["old_dirs"]) == history_size
        for name, value in (("old_dirs", change), ("old_stps", moved), ("ro", 1.0 / curvature)):
            held = state[name]
            state[name] = [*(held[kept] if full else held), value]
        state["H_diag"] = curvature / change.dot(change)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """See :meth:`Optimizer.load_state_dict`."""
        for hook in list(self._hooks.get("load_state_dict_pre", {}).values()):
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        (options,) = _checkpoint.check_groups(self, state_dict)
        group = self.param_groups[0]
        like = group["params"][0]
        saved = state_dict["state"].get(options["params"][0], {})
        self.state[like] = {name: _here(value, like) for name, value in saved.items()}
        group.update({key: value for key, value in options.items() if key != "params"})
        for hook in list(self._hooks.get("load_state_dict_post", {}).values()):
            hook(self)


def _direction(state: dict[str, Any], grad: Tensor) -> Tensor:
    """Minus the approximate inverse Hessian times ``grad``, by the two loops of algorithm 7.4."""
    pairs = list(zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True))
    direction: Tensor = -grad
    weights: list[Tensor] = []
    for change, moved, inverse in reversed(pairs):
        weight = moved.dot(direction) * inverse
        weights.append(weight)
        direction = direction - change * weight
    direction = direction * state["H_diag"]
    for change, moved, inverse in pairs:
        direction = direction + moved * (weights.pop() - change.dot(direction) * inverse)
    return direction


def _here(value: Any, like: Tensor) -> Any:
    """A saved value, ours or another framework's, on the backend and device of ``like``."""
    if isinstance(value, list):
        return [_here(member, like) for member in value]
    if isinstance(value, Tensor):
        return value.detach().to(backend=like.backend, device=like.device)
    if hasattr(value, "__array__"):
        array = np.asarray(value)
        return wrap(
            backends_by_type[type(like._native)].from_numpy(array, from_numpy_dtype(array.dtype), like.device)
        )
    return value
