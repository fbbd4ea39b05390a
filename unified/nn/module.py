"""Module: PyTorch's, over Tensors of any backend."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from unified._attributes import Observed, Registry
from unified._epoch import state_epoch
from unified._hooks import OF_MODULE, Hook, RemovableHandle, register
from unified._tensor import Tensor
from unified.errors import ArgumentError, AutogradError, OperandError
from unified.io.registered import register_own
from unified.nn import _hooks
from unified.nn._conversion import Convertible
from unified.nn._hooks import (
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from unified.nn._state import StateHooks, Stateful
from unified.nn.compiled import compiled
from unified.nn.parameter import Buffer, Parameter, is_lazy

__all__ = [
    "Module",
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]

_REGISTRIES = ("_parameters", "_buffers", "_modules")


class Module(Stateful, Convertible, Observed):
    """Base class of everything with parameters: assign them and other Modules as attributes, write ``forward``.

    Example:
        >>> class Affine(nn.Module):
        ...     def __init__(self) -> None:
        ...         super().__init__()
        ...         self.scale = nn.Parameter(un.ones(3))
        ...     def forward(self, x: un.Tensor) -> un.Tensor:
        ...         return x * self.scale
        >>> [name for name, _ in Affine().named_parameters()]
        ['scale']
    """

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _transient: set[str]
    _module_hooks: _hooks.ModuleHooks | None
    _state_hooks: StateHooks | None
    _training: bool
    _configuration: tuple[tuple[Any, ...], dict[str, Any]]
    _holds_children_only = False
    """Whether a Module of this class is made anew from no arguments and its children: containers are."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls) and "_holds_children_only" not in vars(cls):
            cls._holds_children_only = False
        register_own(cls)

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Remembers the arguments, with which ``un.save_model`` describes the Module."""
        module = super().__new__(cls)
        if not cls._holds_children_only:
            module.__dict__["_configuration"] = (args, kwargs)
        return module

    def __init__(self) -> None:
        attributes = self.__dict__
        attributes.update(_training=True, _transient=set(), _module_hooks=None, _state_hooks=None)
        for registry in _REGISTRIES:
            attributes[registry] = Registry(attributes)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """What ``copy`` and ``pickle`` make a Module of: registries of its own, over its own attributes."""
        attributes = self.__dict__
        attributes.update(state)
        for registry in _REGISTRIES:
            attributes[registry] = Registry(attributes, state[registry].items())

    # ---- calling -----------------------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the Module computes; every subclass defines it."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._module_hooks is None and _hooks.everywhere is None:
            return self.forward(*args, **kwargs)
        return _hooks.call(self, self._module_hooks, args, kwargs)

    def _as_compiled(self, program: Any) -> Self:
        """What ``un.compile`` makes of this Module."""
        made: Self = compiled(self, program)
        return made

    # ---- hooks ---------------------------------------------------------------------------------------------

    def _own_hooks(self) -> _hooks.ModuleHooks:
        if self._module_hooks is None:
            self.__dict__["_module_hooks"] = _hooks.ModuleHooks()
        found: _hooks.ModuleHooks = self.__dict__["_module_hooks"]
        return found

    def register_forward_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Calls ``hook(module, args, output)`` after each forward; what it returns, unless None, is the output.

        Args:
            with_kwargs: the hook gets ``(module, args, kwargs, output)``.
            always_call: it runs, with None as output, when forward raises too.
        """
        return register(self._own_hooks().forward, (hook, with_kwargs, always_call), prepend, OF_MODULE)

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Calls ``hook(module, args)`` before each forward; what it returns, unless None, are the arguments.

        ``with_kwargs`` gives it ``(module, args, kwargs)``, and it may return both in a tuple.
        """
        return register(self._own_hooks().forward_pre, (hook, with_kwargs), prepend, OF_MODULE)

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Calls ``hook(module, grad_input, grad_output)`` when backward has the gradients of the arguments.

        Both are tuples, with None for what has no gradient. What the hook returns, unless None, takes the place of
        ``grad_input``. Positional Tensor arguments, and results that are a Tensor or a tuple of them, are seen.
        """
        return register(self._own_hooks().backward, hook, prepend, OF_MODULE)

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Calls ``hook(module, grad_output)`` before backward goes through the Module.

        What it returns, unless None, takes the place of ``grad_output``.
        """
        return register(self._own_hooks().backward_pre, hook, prepend, OF_MODULE)

    # ---- registration --------------------------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter; None keeps the name for one that does not exist.

        Raises:
            AttributeError, KeyError: ``Module.__init__`` has not run; the name is taken or cannot be one.
            OperandError: ``param`` is neither a Parameter nor None.
        """
        self._name(name, "parameter", self._parameters_or_none())
        self._set_parameter(name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds a Tensor that is part of the state but not trained; in ``state_dict`` if ``persistent``.

        Raises:
            AttributeError, KeyError: ``Module.__init__`` has not run; the name is taken or cannot be one.
            OperandError: ``tensor`` is neither a Tensor nor None.
        """
        self._name(name, "buffer", self.__dict__.get("_buffers"))
        if tensor is not None and not isinstance(tensor, Tensor):
            raise OperandError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' (a Tensor or None required)"
            )
        self._buffers[name] = _hooks.registered("buffer", self, name, tensor)
        if persistent:
            self._transient.discard(name)
        else:
            self._transient.add(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """The same as :meth:`add_module`."""
        self.add_module(name, module)

    def add_module(self, name: str, module: Module | None) -> None:
        """Adds a child.

        Raises:
            AttributeError, KeyError: ``Module.__init__`` has not run; the name is taken or cannot be one.
            OperandError: ``module`` is neither a Module nor None.
        """
        if module is not None and not isinstance(module, Module):
            raise OperandError(f"{type(module).__name__} is not a Module subclass")
        self._name(name, "module", self.__dict__.get("_modules"))
        self._modules[name] = _hooks.registered("module", self, name, module)

    def _parameters_or_none(self) -> dict[str, Parameter | None] | None:
        return self.__dict__.get("_parameters")

    def _name(self, name: str, what: str, registry: Mapping[str, Any] | None) -> None:
        if registry is None:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")
        if not isinstance(name, str):
            raise OperandError(f"{what} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{what} name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError(f'{what} name can\'t be empty string ""')
        if hasattr(self, name) and name not in registry:
            raise KeyError(f"attribute '{name}' already exists")

    def _set_parameter(self, name: str, param: Any) -> None:
        if param is not None and not isinstance(param, Parameter):
            raise OperandError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' (nn.Parameter or None required)"
            )
        if param is not None and not (is_lazy(param) or param.is_leaf):
            raise AutogradError(
                f"cannot assign a Tensor with a history to parameter '{name}'; parameters are leaves, and what is "
                "computed from them is computed in forward()"
            )
        self._parameters[name] = _hooks.registered("parameter", self, name, param)

    def __setattr__(self, name: str, value: Any) -> None:
        holders = self.__dict__
        if isinstance(value, Parameter):
            self._release(name, "parameter", "_parameters")
            self.register_parameter(name, value)
        elif name in holders.get("_parameters", ()):
            self._set_parameter(name, value)
        elif isinstance(value, Module):
            self._release(name, "module", "_modules")
            self._modules[name] = _hooks.registered("module", self, name, value)
        elif name in holders.get("_modules", ()):
            if value is not None:
                raise OperandError(
                    f"cannot assign '{type(value).__name__}' as child module '{name}' (nn.Module or None expected)"
                )
            self._modules[name] = None
        elif isinstance(value, Buffer):
            self._release(name, "buffer", "_buffers")
            self.register_buffer(name, value, value.persistent)
        elif name in holders.get("_buffers", ()):
            self.register_buffer(name, value, name not in self._transient)
        else:
            before = holders.get(name, holders)
            object.__setattr__(self, name, value)
            if holders.get(name, holders) is not before:  # else a property took it, or it was there already
                state_epoch.bump()

    def _release(self, name: str, what: str, registry: str) -> None:
        """Makes room for a registered attribute where another kind of attribute has the name."""
        holders = self.__dict__
        if registry not in holders:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")
        holders.pop(name, None)
        for other in _REGISTRIES:
            if other != registry:
                holders[other].pop(name, None)
        self._transient.discard(name)

    def __delattr__(self, name: str) -> None:
        for registry in _REGISTRIES:
            if name in self.__dict__.get(registry, ()):
                del self.__dict__[registry][name]
                self._transient.discard(name)
                return
        object.__delattr__(self, name)
        state_epoch.bump()

    def __dir__(self) -> list[str]:
        return sorted(name for name in object.__dir__(self) if name.isidentifier())

    if TYPE_CHECKING:  # members are ordinary attributes, see Registry; only a type checker does not know them

        def __getattr__(self, name: str) -> Any: ...

    # ---- train and eval --------------------------------------------------------------------------------------

    @property
    def training(self) -> bool:
        """Whether layers like dropout and batch norm behave as in training."""
        return self._training

    @training.setter
    def training(self, mode: bool) -> None:
        if mode is not self.__dict__.get("_training"):
            self.__dict__["_training"] = mode
            state_epoch.bump()

    def train(self, mode: bool = True) -> Self:
        """Puts this Module and all below it into training mode; returns itself.

        Raises:
            OperandError: ``mode`` is no bool.
        """
        if not isinstance(mode, bool):
            raise OperandError("training mode is expected to be boolean")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Puts this Module and all below it into evaluation mode; returns itself."""
        return self.train(False)

    # ---- what it holds ---------------------------------------------------------------------------------------

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This Module under ``prefix`` and all below it, with dotted names; what is in ``memo`` is left out."""
        return self._walk(prefix, (set() if memo is None else memo) if remove_duplicate else None)

    def _walk(self, prefix: str, seen: set[Module] | None) -> Iterator[tuple[str, Module]]:
        if seen is not None:
            if self in seen:
                return
            seen.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module._walk(f"{prefix}.{name}" if prefix else name, seen)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This Module and all below it."""
        if remove_duplicate:
            yield from self._below({}).values()
        else:
            yield from (module for _, module in self.named_modules(remove_duplicate=False))

    def _below(self, found: dict[int, Module]) -> dict[int, Module]:
        """``found``, this Module and all below it, each once, in the order of :meth:`named_modules`."""
        found[id(self)] = self
        for module in self._modules.values():
            if module is not None and id(module) not in found:
                module._below(found)
        return found

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The Modules directly below, each once."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        """The Modules directly below, each once."""
        for _, module in self.named_children():
            yield module

    def _named_members(
        self, registry: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        owners = self.named_modules(None, prefix, remove_duplicate) if recurse else iter([(prefix, self)])
        for path, module in owners:
            for name, member in getattr(module, registry).items():
                if member is None or id(member) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(member))
                yield (f"{path}.{name}" if path else name), member

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Parameters with dotted names; a shared one under its first name only."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Parameters, each once."""
        yield from self._members("_parameters", recurse)

    def _members(self, registry: str, recurse: bool) -> Iterable[Any]:
        owners = self._below({}).values() if recurse else (self,)
        found = {id(member): member for owner in owners for member in getattr(owner, registry).values()}
        found.pop(id(None), None)
        return found.values()

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Buffers with dotted names."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Buffers, each once."""
        yield from self._members("_buffers", recurse)

    def get_submodule(self, target: str) -> Module:
        """The Module of that dotted name; this one for ``""``. Raises AttributeError where there is none."""
        module = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Puts ``module`` in the place of that dotted name, which need not be taken unless ``strict``.

        Raises:
            ArgumentError: the name is empty, or ``module`` no Module.
            AttributeError: there is no way to the place, or it is taken by something else than a Module.
        """
        if target == "":
            raise ArgumentError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ArgumentError(f"`module` is not an nn.Module, found {type(module).__name__}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{type(parent).__name__} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of that dotted name. Raises AttributeError where there is none."""
        found: Parameter = self._member(target, "_parameters", "an nn.Parameter")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer of that dotted name. Raises AttributeError where there is none."""
        found: Tensor = self._member(target, "_buffers", "a buffer")
        return found

    def _member(self, target: str, registry: str, what: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        member = getattr(module, registry).get(name)
        if member is None:
            raise AttributeError(f"`{name}` is not {what}")
        return member

    # ---- how it prints ---------------------------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What stands between the parentheses of ``repr``."""
        return ""

    def __repr__(self) -> str:
        children = [f"({name}): {_indent(repr(module))}" for name, module in self._modules.items()]
        return _layout(self._get_name(), self.extra_repr(), children)


def _indent(text: str) -> str:
    return text.replace("\n", "\n  ")


def _layout(name: str, extra: str, children: list[str]) -> str:
    """PyTorch's layout of a Module's repr."""
    extras = extra.split("\n") if extra else []
    if len(extras) == 1 and not children:
        return f"{name}({extra})"
    lines = extras + children
    return f"{name}(\n  " + "\n  ".join(lines) + "\n)" if lines else f"{name}()"
