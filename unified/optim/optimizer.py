"""What every optimiser is: parameter groups, state that exists from construction, one op per update."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from unified._dispatch import backends_by_type, tracing, wrap
from unified._engine import engine_of
from unified._tensor import Tensor
from unified.autograd.grad_mode import enable_grad, no_grad
from unified.errors import ArgumentError, OperandError, StateDictError
from unified.optim.param_group import ParamGroup, scalar

Params = Iterable[Tensor] | Iterable[Mapping[str, Any]]


class Optimizer:
    """Base of all optimisers, with PyTorch's interface.

    Moments and step counts exist from construction, so that ``un.compile`` captures them; a parameter without a
    gradient is skipped, and neither its state nor its step count advances (parameters of one group share one
    count inside a compiled step).

    Args:
        params: Tensors that require grad, or dicts with ``params`` and options of their own.
        defaults: the options of groups that do not set them.

    Raises:
        OperandError: ``params`` is a Tensor or a set, or holds what is no Tensor.
        ArgumentError: there is no parameter, one occurs twice, or one is no leaf.
    """

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise OperandError("params must be an iterable of Tensors or dicts, not one Tensor; pass [tensor]")
        self.defaults = defaults
        self.state: dict[Tensor, dict[str, Any]] = {}
        self.param_groups: list[ParamGroup] = []
        groups: list[Any] = list(params)
        if not groups:
            raise ArgumentError("the optimizer got an empty parameter list")
        if not isinstance(groups[0], Mapping):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for index, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {index}")
            lines += [f"    {key}: {group.number(key)}" for key in sorted(group.options())]
        return "\n".join([*lines, ")"])

    # ---- what a subclass brings ------------------------------------------------------------------------------

    def _validate(self, options: Mapping[str, Any]) -> None:
        """Raises ArgumentError where an option has a value that this optimiser does not take."""

    def _buffers(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the state that each parameter of a group has, all zeros of its shape."""
        raise NotImplementedError

    def _counts(self, options: Mapping[str, Any]) -> bool:
        """Whether the update depends on how many came before it."""
        raise NotImplementedError

    def _update(self, group: ParamGroup, params: list[Tensor], grads: list[Tensor], step: Tensor | None) -> None:
        """One op over all ``params``, whose results go back through :meth:`_store`."""
        raise NotImplementedError

    # ---- groups ------------------------------------------------------------------------------------------------

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Adds a group: a dict with ``params`` and the options in which it differs from ``defaults``.

        Raises:
            OperandError, ArgumentError: as the constructor; nothing is added then.
        """
        if not isinstance(param_group, Mapping) or "params" not in param_group:
            raise OperandError("a parameter group must be a dict with 'params'")
        given = param_group["params"]
        if isinstance(given, (set, frozenset)):
            raise OperandError("parameters must come in a fixed order; a set has none, use a list")
        params = [given] if isinstance(given, Tensor) else list(given)
        self._check_params(params)
        options = {**self.defaults, **param_group, "params": params}
        self._validate(options)
        group = ParamGroup(options)
        for param in params:
            self.state[param] = {name: param.detach().zeros_like() for name in self._buffers(options)}
        if self._counts(options):
            step = scalar(0.0, params[0])
            for param in params:
                self.state[param]["step"] = step
        self.param_groups.append(group)

    def _check_params(self, params: list[Any]) -> None:
        if not params:
            raise ArgumentError("a parameter group has no parameters")
        for param in params:
            if not isinstance(param, Tensor):
                raise OperandError(f"an optimizer can only optimize Tensors, not {type(param).__name__}")
            if not param.is_leaf:
                raise ArgumentError("a Tensor that was computed cannot be optimized; only leaves can")
        seen = {id(param) for group in self.param_groups for param in group["params"]}
        if len({id(param) for param in params} - seen) != len(params):
            raise ArgumentError("a parameter appears twice, in one group or in two")

    # ---- the step ------------------------------------------------------------------------------------------------

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops all gradients, or fills them with zeros, which costs memory and makes no parameter skipped."""
        for group in self.param_groups:
            for param in group["params"]:
                grad = param.grad
                if grad is not None:
                    param.grad = None if set_to_none else grad.detach().zeros_like()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates every parameter that has a gradient.

        Args:
            closure: recomputes the loss and its gradients; called once, before the update.

        Returns:
            What ``closure`` returned, or None.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                for params, grads, step in self._active(group):
                    self._update(group, params, grads, step)
        return loss

    def _active(self, group: ParamGroup) -> Iterable[tuple[list[Tensor], list[Tensor], Tensor | None]]:
        """The parameters with gradients, and these, by the step count that they share."""
        batches: dict[int, tuple[list[Tensor], list[Tensor], Tensor | None]] = {}
        idle = []
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                idle.append(param)
                continue
            step = self.state[param].get("step")
            params, grads, _ = batches.setdefault(id(step), ([], [], step))
            params.append(param)
            grads.append(grad)
        if idle and tracing() is None:
            self._part(idle, batches)
        return batches.values()

    def _part(self, idle: list[Tensor], advancing: Mapping[int, Any]) -> None:
        """Gives parameters that are skipped a step count of their own, where theirs is about to advance."""
        clones: dict[int, Tensor] = {}
        for param in idle:
            step = self.state[param].get("step")
            if step is not None and id(step) in advancing:
                if id(step) not in clones:
                    clones[id(step)] = step.clone()
                self.state[param]["step"] = clones[id(step)]

    def _store(self, targets: Sequence[Tensor], results: Sequence[Tensor]) -> None:
        """Rebinds each target to its result, whether or not it requires grad."""
        engine, tracer = engine_of(targets[0]), tracing()
        for target, result in zip(targets, results, strict=True):
            if tracer is not None:
                tracer.touch(target)
            engine.replace(target, result._native)

    # ---- checkpoints ----------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """State and options in PyTorch's layout: ``state`` by the parameter's index, ``param_groups`` with indices.

        The Tensors in it are snapshots: later steps do not change them.
        """
        indices = self._indices()
        return {
            "state": {
                indices[id(param)]: {name: value.detach() for name, value in self.state[param].items()}
                for group in self.param_groups
                for param in group["params"]
                if self.state[param]
            },
            "param_groups": [
                {
                    **{key: group.number(key) for key in group.options()},
                    "params": [indices[id(param)] for param in group["params"]],
                }
                for group in self.param_groups
            ],
        }

    def _indices(self) -> dict[int, int]:
        params = [param for group in self.param_groups for param in group["params"]]
        return {id(param): index for index, param in enumerate(params)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Goes on from ``state_dict``, which may come from another backend or from ``torch.optim``.

        Raises:
            StateDictError: groups, their sizes or the shapes of the state differ; nothing is changed then.
        """
        saved = list(state_dict["param_groups"])
        if len(saved) != len(self.param_groups):
            raise StateDictError(
                f"the state dict has {len(saved)} parameter groups, the optimizer {len(self.param_groups)}"
            )
        writes: list[tuple[Tensor, Tensor]] = []
        steps: list[tuple[Tensor, float]] = []
        for number, (group, options) in enumerate(zip(self.param_groups, saved, strict=True)):
            if len(group["params"]) != len(options["params"]):
                raise StateDictError(
                    f"group {number} has {len(options['params'])} parameters in the state dict and "
                    f"{len(group['params'])} in the optimizer"
                )
            self._validate({**group, **options})
            for param, index in zip(group["params"], options["params"], strict=True):
                self._read(param, state_dict["state"].get(index, {}), index, writes, steps)
        for target, value in writes:
            target._assign(value)
        for group, options in zip(self.param_groups, saved, strict=True):
            group.update({key: value for key, value in options.items() if key != "params"})
            self._share_steps(group, {id(param): count for param, count in steps})

    def _read(
        self, param: Tensor, saved: Mapping[str, Any], index: int,
        writes: list[tuple[Tensor, Tensor]], steps: list[tuple[Tensor, float]],
    ) -> None:  # fmt: skip
        held = self.state[param]
        started = any(saved.get(name) is not None for name in held if name != "step")
        for name, target in held.items():
            value = saved.get(name)
            if name == "step":
                steps.append((param, float(started) if value is None else float(value)))
                continue
            fresh = target.zeros_like() if value is None else _beside(target, value)
            if fresh.shape != target.shape:
                raise StateDictError(
                    f"{name} of parameter {index} has shape {tuple(fresh.shape)} in the state dict and "
                    f"{tuple(target.shape)} in the optimizer"
                )
            writes.append((target, fresh))

    def _share_steps(self, group: ParamGroup, counts: Mapping[int, float]) -> None:
        shared: dict[float, Tensor] = {}
        for param in group["params"]:
            held = self.state[param].get("step")
            if held is None:
                continue
            count = counts[id(param)]
            if count not in shared:
                taken = any(held is step for step in shared.values())
                shared[count] = scalar(count, param) if taken else held._assign(scalar(count, param))
            self.state[param]["step"] = shared[count]


def _beside(target: Tensor, value: Any) -> Tensor:
    """``value``, ours or another framework's, with the backend, device and dtype of ``target``."""
    if isinstance(value, Tensor):
        output: Tensor = value.detach().to(backend=target.backend, device=target.device, dtype=target.dtype).clone()
        return output
    backend = backends_by_type[type(target._native)]
    return wrap(backend.from_numpy(np.asarray(value), target.dtype, target.device))
