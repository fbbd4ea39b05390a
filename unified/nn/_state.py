"""State dicts: out of a Module and into one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from unified._tensor import Tensor
from unified.errors import OperandError, StateDictError
from unified.nn.parameter import Parameter
from unified.ops.creation import from_native, tensor

if TYPE_CHECKING:
    from unified.nn.module import Module


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict(strict=False)`` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def _entries(module: Module, prefix: str) -> Iterator[tuple[str, Module, str, Tensor]]:
    """(dotted name, owner, local name, value) of all state, in PyTorch's order; shared values under every name."""
    for path, owner in module.named_modules(remove_duplicate=False):
        start = f"{prefix}{path}." if path else prefix
        for name, param in owner._parameters.items():
            if param is not None:
                yield start + name, owner, name, param
        for name, buffer in owner._buffers.items():
            if buffer is not None and name not in owner._transient:
                yield start + name, owner, name, buffer


def collect(module: Module, prefix: str, keep_vars: bool) -> dict[str, Tensor]:
    """The state of ``module`` by dotted name."""
    state: dict[str, Tensor] = {}
    for name, _, _, value in _entries(module, prefix):
        if keep_vars:
            state[name] = value
            continue
        detached = value.detach()
        detached._shared = value._shared = True
        state[name] = detached
    return state


def _tensor(name: str, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, (np.ndarray, np.generic, bool, int, float)):
        return tensor(np.asarray(value), dtype=None)
    try:
        return from_native(value).detach()
    except (TypeError, ValueError) as error:
        raise StateDictError(f"{name} is a {type(value).__name__}, which is no Tensor or array") from error


def load(module: Module, state_dict: Mapping[str, Any], strict: bool, assign: bool) -> IncompatibleKeys:
    """Checks everything, converts everything, then writes: a failure on the way leaves the module as it was."""
    if not isinstance(state_dict, Mapping):
        raise OperandError(f"Expected state_dict to be dict-like, got {type(state_dict).__name__}.")
    own = list(_entries(module, ""))
    names = {name for name, *_ in own}
    missing = [name for name, *_ in own if name not in state_dict]
    unexpected = [name for name in state_dict if name not in names]
    problems = []
    if strict and unexpected:
        problems.append(f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. ")
    if strict and missing:
        problems.append(f"Missing key(s) in state_dict: {_quoted(missing)}. ")
    found = {}
    for name, _, _, held in own:
        if name not in state_dict:
            continue
        value = _tensor(name, state_dict[name])
        if value.shape != held.shape:
            problems.append(
                f"size mismatch for {name}: copying a param with shape {tuple(value.shape)} from checkpoint, "
                f"the shape in current model is {tuple(held.shape)}."
            )
        found[name] = value
    if problems:
        listed = "\n\t".join(problems)
        raise StateDictError(f"Error(s) in loading state_dict for {type(module).__name__}:\n\t{listed}")
    if not assign:
        found = {name: _like(found[name], held) for name, _, _, held in own if name in found}
    for name, owner, local, held in own:
        if name not in found:
            continue
        if not assign:
            held.data = found[name]
        elif isinstance(held, Parameter):
            setattr(owner, local, Parameter(found[name], held.requires_grad))
        else:
            setattr(owner, local, found[name])
    return IncompatibleKeys(missing, unexpected)


def _like(value: Tensor, held: Tensor) -> Tensor:
    """A copy of ``value`` with the dtype, backend and device of ``held``."""
    copied: Tensor = value.to(held.dtype).clone().to(backend=held.backend).to(held.device)
    return copied


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
