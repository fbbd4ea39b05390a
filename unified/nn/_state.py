"""State dicts: out of a Module and into one, with the hooks around both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

import numpy as np

from unified._hooks import Hook, RemovableHandle, register
from unified._tensor import Tensor
from unified.errors import OperandError, StateDictError
from unified.nn.parameter import Parameter, UninitializedTensorMixin, is_lazy
from unified.ops.creation import from_native, tensor

if TYPE_CHECKING:
    from unified.nn.module import Module

_EXTRA = "_extra_state"


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict(strict=False)`` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class StateHooks:
    """The four kinds of hooks by the id of their handle, for a Module that has any."""

    __slots__ = ("load_post", "load_pre", "post", "pre")

    def __init__(self) -> None:
        self.pre: dict[int, Hook] = {}
        self.post: dict[int, Hook] = {}
        self.load_pre: dict[int, Hook] = {}
        self.load_post: dict[int, Hook] = {}


class Stateful:
    """The part of a Module that is its state dict."""

    _state_hooks: StateHooks | None
    _version: ClassVar[int] = 1
    """What hooks find as ``metadata["version"]``."""

    def state_dict(
        self, *, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Parameters and persistent buffers by dotted name, PyTorch's names.

        Args:
            destination: a dict to add them to, which is returned.
            prefix: before each name.
            keep_vars: give out the Tensors themselves; by default they are detached, and keep their present values.
        """
        return _collect(cast("Module", self), {} if destination is None else destination, prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copies values by name into the parameters and buffers; a failure changes nothing.

        Args:
            state_dict: Tensors of any backend, numpy arrays or frameworks' own tensors, by dotted name.
            strict: refuse missing and unexpected names.
            assign: put the given values in place of the present ones, dtype and backend included.

        Returns:
            ``missing_keys`` and ``unexpected_keys``.

        Raises:
            StateDictError: names (if strict) or shapes do not fit; lists all that do not.
        """
        return _load(cast("Module", self), state_dict, strict, assign)

    def get_extra_state(self) -> Any:
        """What else belongs into the state dict, where a class has more than Tensors; goes with set_extra_state."""
        raise NotImplementedError("override get_extra_state() and set_extra_state() together")

    def set_extra_state(self, state: Any) -> None:
        """Takes what :meth:`get_extra_state` returned, from a state dict that is loaded."""
        raise NotImplementedError("override get_extra_state() and set_extra_state() together")

    def _complete(self, state: dict[str, Any], prefix: str, metadata: dict[str, Any]) -> None:
        """Adds to a state dict what an earlier version of the class did not write."""

    def _own_state_hooks(self) -> StateHooks:
        if self._state_hooks is None:
            self.__dict__["_state_hooks"] = StateHooks()
        return cast(StateHooks, self.__dict__["_state_hooks"])

    def register_state_dict_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Calls ``hook(module, prefix, keep_vars)`` before the state of this Module is collected."""
        return register(self._own_state_hooks().pre, hook, prepend=False)

    def register_state_dict_post_hook(self, hook: Hook) -> RemovableHandle:
        """Calls ``hook(module, state_dict, prefix, metadata)`` after it is; it may change the dict."""
        return register(self._own_state_hooks().post, hook, prepend=False)

    def register_load_state_dict_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Calls a hook before ``load_state_dict`` looks at names and shapes.

        It gets ``(module, state_dict, prefix, metadata, strict, missing_keys, unexpected_keys, error_msgs)``: a copy
        of the whole dict, which it may change, and three lists that it may add to.
        """
        return register(self._own_state_hooks().load_pre, hook, prepend=False)

    def register_load_state_dict_post_hook(self, hook: Hook) -> RemovableHandle:
        """Calls ``hook(module, incompatible_keys)`` after the values are in place, before ``strict`` refuses names.

        It may take names off the lists ``missing_keys`` and ``unexpected_keys``. If it raises, nothing is loaded.
        """
        return register(self._own_state_hooks().load_post, hook, prepend=False)


def _hooks_of(owner: Module, kind: str) -> list[Hook]:
    hooks = owner._state_hooks
    return [] if hooks is None else list(getattr(hooks, kind).values())


def _own(owner: Module) -> Iterator[tuple[str, Tensor]]:
    """A Module's own parameters and persistent buffers, without those below it."""
    for name, param in owner._parameters.items():
        if param is not None:
            yield name, param
    for name, buffer in owner._buffers.items():
        if buffer is not None and name not in owner._transient:
            yield name, buffer


def _collect(module: Module, into: dict[str, Any], prefix: str, keep_vars: bool) -> dict[str, Any]:
    """In PyTorch's order; shared values under every name."""
    for hook in _hooks_of(module, "pre"):
        hook(module, prefix, keep_vars)
    for name, value in _own(module):
        if not (keep_vars or is_lazy(value)):
            detached = value.detach()
            detached._shared = value._shared = True
            value = detached
        into[prefix + name] = value
    if type(module).get_extra_state is not Stateful.get_extra_state:
        into[prefix + _EXTRA] = module.get_extra_state()
    for name, child in module._modules.items():
        if child is not None:
            child.state_dict(destination=into, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
    for hook in _hooks_of(module, "post"):
        hook(module, into, prefix, {"version": module._version})
    return into


class _Entry(NamedTuple):
    """A place for a value: its dotted name, the Module that has it, its name there, what it holds."""

    name: str
    owner: Module
    local: str
    held: Tensor


def _load(module: Module, state_dict: Mapping[str, Any], strict: bool, assign: bool) -> IncompatibleKeys:
    """Checks everything, converts everything, then writes."""
    if not isinstance(state_dict, Mapping):
        raise OperandError(f"Expected state_dict to be dict-like, got {type(state_dict).__name__}.")
    owners = [(f"{path}." if path else "", owner) for path, owner in module.named_modules(remove_duplicate=False)]
    state, keys, problems = dict(state_dict), IncompatibleKeys([], []), list[str]()
    versions = getattr(state_dict, "_metadata", None) or {}
    for prefix, owner in owners:
        metadata = dict(versions.get(prefix[:-1], {}))
        for hook in _hooks_of(owner, "load_pre"):
            hook(owner, state, prefix, metadata, True, *keys, problems)
        owner._complete(state, prefix, metadata)
    entries = [_Entry(prefix + name, owner, name, held) for prefix, owner in owners for name, held in _own(owner)]
    extras = {
        prefix + _EXTRA: owner
        for prefix, owner in owners
        if type(owner).set_extra_state is not Stateful.set_extra_state
    }
    names = [*(entry.name for entry in entries), *extras]
    keys.missing_keys.extend(name for name in names if name not in state)
    known = set(names)
    keys.unexpected_keys.extend(name for name in state if name not in known)
    present = [entry for entry in entries if entry.name in state]
    values = [_fitting(entry, _tensor(entry.name, state[entry.name], assign), problems) for entry in present]
    after = [(owner, hook) for owner in _children_first(module) for hook in _hooks_of(owner, "load_post")]
    _refuse(module, problems if after or not strict else [*_mismatches(keys), *problems])
    if not assign:
        values = [_like(value, entry.held) for entry, value in zip(present, values, strict=True)]
    undo = [_write(entry, value, assign) for entry, value in zip(present, values, strict=True)]
    try:
        for name, owner in extras.items():
            if name in state:
                owner.set_extra_state(state[name])
        for owner, hook in after:
            if hook(owner, keys) is not None:
                raise OperandError("a load_state_dict post hook changes the lists it is given in place; return None")
        _refuse(module, _mismatches(keys) if strict else [])
    except BaseException:
        for restore in undo:
            restore()
        raise
    return keys


def _tensor(name: str, value: Any, assign: bool) -> Tensor:
    if isinstance(value, Tensor):
        return value if assign or is_lazy(value) else value.detach()
    if isinstance(value, (np.ndarray, np.generic, bool, int, float)):
        return tensor(np.asarray(value), dtype=None)
    try:
        return from_native(value).detach()
    except (TypeError, ValueError) as error:
        raise StateDictError(f"{name} is a {type(value).__name__}, which is no Tensor or array") from error


def _fitting(entry: _Entry, value: Tensor, problems: list[str]) -> Tensor:
    """``value``, a number where the entry is one; adds to ``problems`` where it does not fit."""
    if is_lazy(entry.held):
        return value
    if is_lazy(value):
        problems.append(f"{entry.name} is uninitialized in the state dict, but not in the model.")
    elif not entry.held.ndim and tuple(value.shape) == (1,):  # as PyTorch wrote numbers before 0.4
        return cast(Tensor, value.reshape(()))
    elif value.shape != entry.held.shape:
        problems.append(
            f"size mismatch for {entry.name}: copying a param with shape {tuple(value.shape)} from checkpoint, "
            f"the shape in current model is {tuple(entry.held.shape)}."
        )
    return value


def _mismatches(keys: IncompatibleKeys) -> list[str]:
    listed = (("Missing", keys.missing_keys), ("Unexpected", keys.unexpected_keys))
    return [f"{what} key(s) in state_dict: {_quoted(names)}. " for what, names in listed if names]


def _refuse(module: Module, problems: list[str]) -> None:
    if problems:
        listed = "\n\t".join(problems)
        raise StateDictError(f"Error(s) in loading state_dict for {type(module).__name__}:\n\t{listed}")


def _children_first(module: Module) -> Iterator[Module]:
    for child in module._modules.values():
        if child is not None:
            yield from _children_first(child)
    yield module


def _like(value: Tensor, held: Tensor) -> Tensor:
    """A copy of ``value`` with the dtype, backend and device of ``held``."""
    if is_lazy(value):
        return value
    copied: Tensor = value.to(held.dtype).clone().to(backend=held.backend).to(held.device)
    return copied


def _write(entry: _Entry, value: Tensor, assign: bool) -> Callable[[], None]:
    """Puts the value in its place; returns what puts the earlier one back."""
    held = entry.held
    registry: dict[str, Any] = entry.owner.__dict__["_parameters" if isinstance(held, Parameter) else "_buffers"]
    if assign:
        if isinstance(held, Parameter) and not isinstance(value, Parameter):
            value = Parameter(value, held.requires_grad)
        elif isinstance(held, Parameter):
            value.requires_grad_(held.requires_grad)
        setattr(entry.owner, entry.local, value)
        return lambda: registry.__setitem__(entry.local, held)
    if not isinstance(held, UninitializedTensorMixin):
        before = held.data
        held.data = value
        return lambda: setattr(held, "data", before)
    if is_lazy(value):
        return lambda: None
    return held.become(value)


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
