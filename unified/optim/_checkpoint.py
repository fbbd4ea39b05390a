"""An optimiser's state dict in PyTorch's layout, out and in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from unified._dispatch import backends_by_type, wrap
from unified._tensor import Tensor
from unified.errors import StateDictError
from unified.optim.param_group import ParamGroup, scalar

if TYPE_CHECKING:
    from unified.optim.optimizer import Optimizer


def save(optimizer: Optimizer) -> dict[str, Any]:
    """``state`` by the parameter's index, and ``param_groups`` with indices for parameters."""
    groups = optimizer.param_groups
    indices = {id(p): i for i, p in enumerate([param for group in groups for param in group["params"]])}
    return {
        "state": {
            indices[id(param)]: {name: _snapshot(value) for name, value in optimizer.state[param].items()}
            for group in groups
            for param in group["params"]
            if optimizer.state[param]
        },
        "param_groups": [
            {
                **{key: group.number(key) for key in group.options()},
                "params": [indices[id(param)] for param in group["params"]],
            }
            for group in groups
        ],
    }


def _snapshot(value: Any) -> Any:
    if isinstance(value, list):
        return [_snapshot(member) for member in value]
    return value.detach() if isinstance(value, Tensor) else value


def check_groups(optimizer: Optimizer, state_dict: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The saved groups without parameters of their own.

    Raises:
        StateDictError: they are not as many, or not as large, as the optimizer's.
        ArgumentError: they hold an option with a value that makes no sense.
    """
    saved = list(state_dict["param_groups"])
    if len(saved) != len(optimizer.param_groups):
        raise StateDictError(
            f"the state dict has {len(saved)} parameter groups, the optimizer {len(optimizer.param_groups)}"
        )
    for number, (group, options) in enumerate(zip(optimizer.param_groups, saved, strict=True)):
        if len(group["params"]) != len(options["params"]):
            raise StateDictError(
                f"group {number} has {len(options['params'])} parameters in the state dict and "
                f"{len(group['params'])} in the optimizer"
            )
    plain = [{key: _plain(value) for key, value in options.items()} for options in saved]
    for group, options in zip(optimizer.param_groups, plain, strict=True):
        optimizer._check({**group, **options})
    return plain


def _plain(option: Any) -> Any:
    """An option that is a Tensor of another framework as a number."""
    if isinstance(option, Tensor) or not hasattr(option, "__array__") or not hasattr(option, "shape"):
        return option
    return np.asarray(option).item()


def load(optimizer: Optimizer, state_dict: Mapping[str, Any]) -> None:
    """See :meth:`Optimizer.load_state_dict`."""
    plain = check_groups(optimizer, state_dict)
    writes: list[tuple[Tensor, Tensor]] = []
    counts: dict[int, dict[str, float]] = {}
    for group, options in zip(optimizer.param_groups, plain, strict=True):
        merged = {**group, **{key: value for key, value in options.items() if key != "params"}}
        scalars = optimizer._scalars(merged)
        for param, index in zip(group["params"], options["params"], strict=True):
            held, saved = optimizer.state[param], state_dict["state"].get(index, {})
            for name in optimizer._moments(merged, optimizer._kind(param)):
                if name not in held:
                    held[name] = optimizer._initial(name, param, merged)
                value = saved.get(name)
                fresh = optimizer._initial(name, param, merged) if value is None else beside(held[name], value)
                if fresh.shape != held[name].shape:
                    raise StateDictError(
                        f"{name} of parameter {index} has shape {tuple(fresh.shape)} in the state dict and "
                        f"{tuple(held[name].shape)} in the optimizer"
                    )
                writes.append((held[name], fresh))
            # an optimizer of torch's without counts says by its momentum that it has started
            started = float(any(saved.get(name) is not None for name in held if name not in scalars))
            counts[id(param)] = {
                name: float(saved[name]) if saved.get(name) is not None else (started if name == "step" else first)
                for name, first in scalars.items()
            }
    for target, value in writes:
        target._assign(value)
    for group, options in zip(optimizer.param_groups, plain, strict=True):
        group.update({key: value for key, value in options.items() if key != "params"})
        _share(optimizer, group, counts)


def _share(optimizer: Optimizer, group: ParamGroup, counts: Mapping[int, dict[str, float]]) -> None:
    """Parameters with the same numbers share them; Tensors that a compiled step knows stay in use."""
    names = group.rule.scalars
    shared: dict[tuple[Any, ...], dict[str, Tensor]] = {}
    before = [optimizer.state[param].get(name) for param in group["params"] for name in names]
    for param in group["params"] if names else ():
        state, numbers = optimizer.state[param], counts[id(param)]
        key = (optimizer._kind(param), *[numbers[name] for name in names])
        if key not in shared:
            taken = any(state.get(names[0]) is found[names[0]] for found in shared.values())
            shared[key] = {
                name: scalar(numbers[name], param)
                if taken or name not in state
                else state[name]._assign(scalar(numbers[name], param))
                for name in names
            }
        state.update(shared[key])
    after = [optimizer.state[param].get(name) for param in group["params"] for name in names]
    if any(was is not now for was, now in zip(before, after, strict=True)):
        group.shared_anew()


def beside(target: Tensor, value: Any) -> Tensor:
    """``value``, ours or another framework's, with the backend, device and dtype of ``target``."""
    if isinstance(value, Tensor):
        output: Tensor = value.detach().to(backend=target.backend, device=target.device, dtype=target.dtype).clone()
        return output
    backend = backends_by_type[type(target._native)]
    return wrap(backend.from_numpy(np.asarray(value), target.dtype, target.device))
