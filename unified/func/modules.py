"""Modules as functions: ``functional_call`` and ``stack_module_state``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from unified._dispatch import table
from unified._tensor import Tensor
from unified.errors import ArgumentError, OperandError, StateDictError

State = Mapping[str, Tensor]


def functional_call(
    module: Any, parameter_and_buffer_dicts: State | Sequence[State], args: Any = None,
    kwargs: Mapping[str, Any] | None = None, *, tie_weights: bool = True, strict: bool = False,
) -> Any:  # fmt: skip
    """``module(*args, **kwargs)`` with other Tensors in the place of its parameters and buffers, for this call.

    Args:
        module: an ``un.nn.Module``; what the dicts do not name stays its own.
        parameter_and_buffer_dicts: Tensors by dotted name, or several such dicts without a name in common.
        args: the arguments; what is no tuple is the only one.
        kwargs: keyword arguments.
        tie_weights: whether one name of a shared parameter stands for all of its names.
        strict: refuse missing and unexpected names.

    Example: ``grad(lambda p: loss(functional_call(model, p, (x,))))(dict(model.named_parameters()))``.

    Raises:
        StateDictError: a name does not exist in ``module`` (or is missing, if ``strict``).
        ArgumentError: dicts share a name, or two names of one parameter have different Tensors.
        OperandError: something else than Tensors by name was given.
    """
    state = _merged(parameter_and_buffer_dicts)
    arguments = () if args is None else args if isinstance(args, tuple) else (args,)
    with _swapped(module, state, tie_weights, strict):
        return module(*arguments, **(kwargs or {}))


def _merged(dicts: Any) -> dict[str, Tensor]:
    given = [dicts] if isinstance(dicts, Mapping) else dicts
    if not isinstance(given, (tuple, list)) or not all(isinstance(d, Mapping) for d in given):
        raise OperandError(
            f"functional_call: expected a dict of Tensors or a tuple of such dicts, not {type(dicts).__name__}"
        )
    merged: dict[str, Tensor] = {}
    for each in given:
        twice = sorted(merged.keys() & each.keys())
        if twice:
            raise ArgumentError(f"functional_call: {twice} appear in several dicts; each name may appear once")
        merged.update(each)
    for name, value in merged.items():
        if not isinstance(value, Tensor):
            raise OperandError(f"functional_call: {name} must be a Tensor, not {type(value).__name__}")
    return merged


@contextmanager
def _swapped(module: Any, state: dict[str, Tensor], tie_weights: bool, strict: bool) -> Iterator[None]:
    places: dict[str, tuple[dict[str, Any], str, Any]] = {}
    for path, owner in module.named_modules(remove_duplicate=False):
        for registry in (owner._parameters, owner._buffers):
            for local, held in registry.items():
                if held is not None:
                    places[f"{path}.{local}" if path else local] = (registry, local, held)
    unexpected = [name for name in state if name not in places]
    held_under: dict[int, list[str]] = {}
    for name, (_, _, held) in places.items():
        held_under.setdefault(id(held), []).append(name)
    chosen = dict(state)
    if tie_weights:
        for names in held_under.values():
            values = {id(state[name]): state[name] for name in names if name in state}
            if len(values) > 1:
                raise ArgumentError(f"functional_call: {names} are one Tensor of the module, but got several values")
            chosen.update({name: value for name in names for value in values.values()})
    missing = [name for name in places if name not in chosen] if strict else []
    if unexpected or missing:
        raise StateDictError(
            f"functional_call: {type(module).__name__} has no parameters or buffers named {unexpected}"
            if unexpected
            else f"functional_call: strict=True, and {missing} of {type(module).__name__} are missing"
        )
    try:
        for name, value in chosen.items():
            registry, local, _ = places[name]
            registry[local] = value
        yield
    finally:
        for name in chosen:
            registry, local, held = places[name]
            registry[local] = held


def stack_module_state(models: Sequence[Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Parameters and buffers of several Modules of one kind, stacked: what :func:`vmap` runs an ensemble on.

    Returns:
        ``(params, buffers)``: dicts by dotted name with a leading dimension for the Modules. Parameters are new
        leaves that require grad where those of the Modules do.

    Example::

        params, buffers = stack_module_state(models)
        vmap(lambda p, b, x: functional_call(models[0], (p, b), (x,)), in_dims=(0, 0, None))(params, buffers, x)

    Raises:
        ArgumentError: no Modules, several classes, or some in training and some in evaluation mode.
        ShapeError: parameters of one name differ in shape.
    """
    if not models:
        raise ArgumentError("stack_module_state: at least one Module is needed")
    if len({model.training for model in models}) > 1:
        raise ArgumentError("stack_module_state: all Modules must be in training mode, or all in evaluation mode")
    if len({type(model) for model in models}) > 1:
        raise ArgumentError("stack_module_state: all Modules must be of one class")
    params = {name: _stacked(name, [dict(m.named_parameters())[name] for m in models])
              for name, _ in models[0].named_parameters()}  # fmt: skip
    buffers = {name: _stacked(name, [dict(m.named_buffers())[name] for m in models])
               for name, _ in models[0].named_buffers()}  # fmt: skip
    return params, buffers


def _stacked(name: str, members: list[Tensor]) -> Tensor:
    required = {member.requires_grad for member in members}
    if len(required) > 1:
        raise ArgumentError(f"stack_module_state: {name} must require grad in all Modules or in none")
    stacked: Tensor = table["stack"].caller([member.detach() for member in members], 0)  # type: ignore[misc]
    return stacked.requires_grad_(required.pop())
