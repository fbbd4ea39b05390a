"""Hooks around a Module's forward and backward: where they are kept, and a call of a Module that has some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from unified._hooks import OF_MODULE, Hook, RemovableHandle, register
from unified._tensor import Tensor
from unified.autograd import Function
from unified.errors import OperandError

if TYPE_CHECKING:
    from unified.nn.module import Module


class ModuleHooks:
    """The four kinds of hooks by the id of their handle: one of these for each Module that has any, one for all."""

    __slots__ = ("backward", "backward_pre", "forward", "forward_pre")

    def __init__(self) -> None:
        self.forward_pre: dict[int, tuple[Hook, bool]] = {}
        self.forward: dict[int, tuple[Hook, bool, bool]] = {}
        self.backward_pre: dict[int, Hook] = {}
        self.backward: dict[int, Hook] = {}

    def is_empty(self) -> bool:
        """Whether there are none."""
        return not (self.forward_pre or self.forward or self.backward_pre or self.backward)


everywhere: ModuleHooks | None = None
"""Hooks of every Module, from the first one on."""


Recorder = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]
_recorder: Recorder | None = None


def record_calls(recorder: Recorder) -> None:
    """Offers every call of a Module to ``recorder(module, args, kwargs)`` first, which may return NotImplemented."""
    global _recorder
    _recorder = recorder
    _for_all()  # calls look at hooks, and so come here


def _for_all() -> ModuleHooks:
    global everywhere
    if everywhere is None:
        everywhere = ModuleHooks()
    return everywhere


_registrations: dict[str, dict[int, Hook]] = {"parameter": {}, "buffer": {}, "module": {}}


def registered(kind: str, module: Module, name: str, member: Any) -> Any:
    """What the hooks of every registration of that kind make of a new member."""
    for hook in list(_registrations[kind].values()):
        changed = hook(module, name, member)
        if changed is not None:
            member = changed
    return member


class _Gate(Function):
    """The identity, which shows the gradients that come through it to a function and takes what it makes of them."""

    @staticmethod
    def forward(ctx: Any, through: Callable[[tuple[Any, ...]], Sequence[Any]], *tensors: Tensor) -> Any:
        ctx.through = through
        ctx.set_materialize_grads(False)
        return tensors

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return None, *ctx.through(gradients)


def _gated(values: tuple[Any, ...], through: Callable[[tuple[Any, ...]], Sequence[Any]]) -> tuple[Any, ...] | None:
    """``values`` with the Tensors that require grad behind a gate, or None where there are none.

    ``through`` sees and returns a gradient for each value, None for those that have none.
    """
    places = [i for i, value in enumerate(values) if isinstance(value, Tensor) and value.requires_grad]
    if not places:
        return None

    def spread(gradients: tuple[Any, ...]) -> Sequence[Any]:
        whole: list[Any] = [None] * len(values)
        for place, gradient in zip(places, gradients, strict=True):
            whole[place] = gradient
        changed = through(tuple(whole))
        return [changed[place] for place in places]

    gated = list(values)
    for place, tensor in zip(places, _Gate.apply(spread, *[values[place] for place in places]), strict=True):
        gated[place] = tensor
    return tuple(gated)


class _Backward:
    """The backward hooks of one call: they run when the gradients of its arguments are there."""

    def __init__(self, module: Module, before: list[Hook], after: list[Hook]) -> None:
        self._module = module
        self._before = before
        self._after = after
        self._outputs: tuple[Any, ...] = ()
        self._count = 0
        self._inputs_follow = False

    def arguments(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self._count = len(args)
        gated = _gated(args, self._on_inputs) if self._after else None
        self._inputs_follow = gated is not None
        return args if gated is None else gated

    def result(self, result: Any) -> Any:
        single = not isinstance(result, tuple)
        gated = _gated((result,) if single else result, self._on_outputs)
        if gated is None:
            return result
        return gated[0] if single else gated

    def _on_outputs(self, gradients: tuple[Any, ...]) -> Sequence[Any]:
        for hook in self._before:
            gradients = _replaced(hook(self._module, gradients), gradients, "full backward pre-hook")
        self._outputs = gradients
        if not self._inputs_follow:
            for hook in self._after:
                if hook(self._module, (None,) * self._count, gradients) is not None:
                    raise OperandError(
                        "a full backward hook returned gradients, but no argument of the Module requires grad; "
                        "return None"
                    )
        return gradients

    def _on_inputs(self, gradients: tuple[Any, ...]) -> Sequence[Any]:
        for hook in self._after:
            gradients = _replaced(hook(self._module, gradients, self._outputs), gradients, "full backward hook")
        return gradients


def _replaced(changed: Any, gradients: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    if changed is None:
        return gradients
    given = changed if isinstance(changed, tuple) else (changed,)
    if len(given) != len(gradients):
        raise OperandError(f"a {what} returned {len(given)} gradients in the place of {len(gradients)}")
    return given


def call(module: Module, own: ModuleHooks | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``module.forward`` with the hooks of all Modules and then its own around it."""
    if _recorder is not None:
        recorded = _recorder(module, args, kwargs)
        if recorded is not NotImplemented:
            return recorded
        if own is None and everywhere is not None and everywhere.is_empty():
            return module.forward(*args, **kwargs)
    groups = [hooks for hooks in (everywhere, own) if hooks is not None]
    to_call = {key: entry[0] for group in groups for key, entry in group.forward.items() if entry[2]}
    try:
        for group in groups:
            for hook, with_kwargs in list(group.forward_pre.values()):
                args, kwargs = _prepared(module, hook, with_kwargs, args, kwargs)
        before = [hook for group in reversed(groups) for hook in group.backward_pre.values()]
        after = [hook for group in reversed(groups) for hook in group.backward.values()]
        backward = _Backward(module, before, after) if before or after else None
        if backward is not None:
            args = backward.arguments(args)
        result = module.forward(*args, **kwargs)
        for group in groups:
            for key, (hook, with_kwargs, _) in list(group.forward.items()):
                to_call.pop(key, None)
                changed = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
                if changed is not None:
                    result = changed
    except Exception:
        for group in groups:
            for key, (hook, with_kwargs, _) in list(group.forward.items()):
                if key in to_call:  # those that always run see what there is
                    hook(module, args, kwargs, None) if with_kwargs else hook(module, args, None)
        raise
    return result if backward is None else backward.result(result)


def _prepared(
    module: Module, hook: Hook, with_kwargs: bool, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    changed = hook(module, args, kwargs) if with_kwargs else hook(module, args)
    if changed is None:
        return args, kwargs
    if not with_kwargs:
        return changed if isinstance(changed, tuple) else (changed,), kwargs
    if not (isinstance(changed, tuple) and len(changed) == 2):
        raise OperandError("a forward pre-hook with_kwargs=True must return None or a tuple (args, kwargs)")
    return changed[0], changed[1]


def register_module_forward_pre_hook(hook: Hook) -> RemovableHandle:
    """Calls ``hook(module, args)`` before the forward of every Module."""
    return register(_for_all().forward_pre, (hook, False), prepend=False, epochs=OF_MODULE)


def register_module_forward_hook(
    hook: Hook, *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Calls ``hook(module, args, output)`` after the forward of every Module."""
    return register(_for_all().forward, (hook, with_kwargs, always_call), prepend=False, epochs=OF_MODULE)


def register_module_full_backward_pre_hook(hook: Hook) -> RemovableHandle:
    """Calls ``hook(module, grad_output)`` before the backward of every Module."""
    return register(_for_all().backward_pre, hook, prepend=False, epochs=OF_MODULE)


def register_module_full_backward_hook(hook: Hook) -> RemovableHandle:
    """Calls ``hook(module, grad_input, grad_output)`` after the backward of every Module."""
    return register(_for_all().backward, hook, prepend=False, epochs=OF_MODULE)


def register_module_parameter_registration_hook(hook: Hook) -> RemovableHandle:
    """Calls ``hook(module, name, param)`` for each new parameter; what it returns, unless None, takes its place."""
    return register(_registrations["parameter"], hook, prepend=False)


def register_module_buffer_registration_hook(hook: Hook) -> RemovableHandle:
    """Calls ``hook(module, name, buffer)`` for each new buffer; what it returns, unless None, takes its place."""
    return register(_registrations["buffer"], hook, prepend=False)


def register_module_module_registration_hook(hook: Hook) -> RemovableHandle:
    """Calls ``hook(module, name, child)`` for each new child; what it returns, unless None, takes its place."""
    return register(_registrations["module"], hook, prepend=False)
