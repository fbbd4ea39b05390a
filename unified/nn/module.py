"""Module: PyTorch's, over Tensors of any backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from unified import _dispatch
from unified._device import device
from unified._dispatch import tracing
from unified._dtype import DType, bfloat16, float16, float32, float64
from unified._hooks import OF_MODULE, Hook, RemovableHandle, register
from unified._tensor import Tensor
from unified.errors import AutogradError, DTypeError, OperandError
from unified.io.registered import register_own
from unified.nn import _hooks, _state
from unified.nn._hooks import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
)
from unified.nn.parameter import Parameter

__all__ = [
    "Module",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
]

_REGISTRIES = ("_parameters", "_buffers", "_modules")


class Module:
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
        self.__dict__.update(
            _training=True, _parameters={}, _buffers={}, _modules={}, _transient=set(), _module_hooks=None,
        )  # fmt: skip

    # ---- calling -----------------------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the Module computes; every subclass defines it."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._module_hooks is None and _hooks.everywhere is None:
            return self.forward(*args, **kwargs)
        return _hooks.call(self, self._module_hooks, args, kwargs)

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
        self._buffers[name] = tensor
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
        self._modules[name] = module

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
        if param is not None and not param.is_leaf:
            raise AutogradError(
                f"cannot assign a Tensor with a history to parameter '{name}'; parameters are leaves, and what is "
                "computed from them is computed in forward()"
            )
        self._parameters[name] = param

    def __setattr__(self, name: str, value: Any) -> None:
        holders = self.__dict__
        held = next((holders[registry][name] for registry in _REGISTRIES if name in holders.get(registry, ())), None)
        if held is not None and held is not value and tracing() is None:
            gone = [*held.parameters(), *held.buffers()] if isinstance(held, Module) else [held]
            _dispatch.note_replaced(gone)
        if isinstance(value, Parameter):
            self._release(name, "parameter", "_parameters")
            self.register_parameter(name, value)
        elif name in holders.get("_parameters", ()):
            self._set_parameter(name, value)
        elif isinstance(value, Module):
            self._release(name, "module", "_modules")
            self._modules[name] = value
        elif name in holders.get("_modules", ()):
            if value is not None:
                raise OperandError(
                    f"cannot assign '{type(value).__name__}' as child module '{name}' (nn.Module or None expected)"
                )
            self._modules[name] = None
        elif name in holders.get("_buffers", ()):
            self.register_buffer(name, value, name not in self._transient)
        else:
            object.__setattr__(self, name, value)

    def _release(self, name: str, what: str, registry: str) -> None:
        """Makes room for a registered attribute where another kind of attribute has the name."""
        holders = self.__dict__
        if registry not in holders:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")
        for other in ("__dict__", *_REGISTRIES):
            if other != registry:
                (holders if other == "__dict__" else holders[other]).pop(name, None)
        self._transient.discard(name)

    def __getattr__(self, name: str) -> Any:
        holders = self.__dict__
        for registry in _REGISTRIES:
            found = holders.get(registry)
            if found is not None and name in found:
                return found[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        for registry in _REGISTRIES:
            if name in self.__dict__.get(registry, ()):
                del self.__dict__[registry][name]
                self._transient.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = [name for registry in _REGISTRIES for name in self.__dict__.get(registry, ()) if name.isidentifier()]
        return sorted({*object.__dir__(self), *names})

    # ---- train and eval --------------------------------------------------------------------------------------

    @property
    def training(self) -> bool:
        """Whether layers like dropout and batch norm behave as in training."""
        tracer = tracing()
        if tracer is not None:
            tracer.read_flag(self, self._training)
        return self._training

    @training.setter
    def training(self, mode: bool) -> None:
        if mode is not self.__dict__.get("_training"):
            self.__dict__["_training"] = mode
            _dispatch.state_epoch.bump()

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

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Starts or stops recording for every parameter; returns itself."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients of all parameters, or sets them to zero."""
        for param in self.parameters():
            if set_to_none:
                param.grad = None  # without a look, which torch's engine would prepare and a compiled step guard
            elif param.grad is not None:
                param.grad = param.grad.detach().zeros_like()

    # ---- what it holds ---------------------------------------------------------------------------------------

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """This Module under ``prefix`` and all below it, with dotted names."""
        return self._walk(prefix, set() if remove_duplicate else None)

    def _walk(self, prefix: str, seen: set[int] | None) -> Iterator[tuple[str, Module]]:
        if seen is not None:
            if id(self) in seen:
                return
            seen.add(id(self))
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module._walk(f"{prefix}.{name}" if prefix else name, seen)

    def modules(self) -> Iterator[Module]:
        """This Module and all below it."""
        for _, module in self.named_modules():
            yield module

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
        owners = self.named_modules(prefix, remove_duplicate) if recurse else iter([(prefix, self)])
        for path, module in owners:
            for name, member in module.__dict__[registry].items():
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
        for _, param in self.named_parameters(recurse=recurse):
            yield param

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Buffers with dotted names."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Buffers, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

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
        member = module.__dict__[registry].get(name)
        if member is None:
            raise AttributeError(f"`{name}` is not {what}")
        return member

    # ---- state -------------------------------------------------------------------------------------------------

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """Parameters and persistent buffers by dotted name, PyTorch's names; detached unless ``keep_vars``."""
        return _state.collect(self, prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _state.IncompatibleKeys:
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
        return _state.load(self, state_dict, strict, assign)

    # ---- moving and converting -----------------------------------------------------------------------------------

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Calls ``fn`` on every Module below and then on this one; returns itself."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _convert(self, convert: Callable[[Tensor], Tensor]) -> Self:
        """Rebinds the value of every parameter, its gradient, and every buffer: identities stay."""
        for param in self.parameters():
            grad = param.grad
            param.grad = None
            param.data = convert(param.data)
            if grad is not None:
                param.grad = convert(grad)
        for buffer in self.buffers():
            buffer.data = convert(buffer.data)
        return self

    def to(self, *args: Any, device: Any = None, dtype: DType | None = None, backend: str | None = None) -> Self:
        """Moves parameters and buffers to a device, a backend or (the floating ones) a dtype; returns itself.

        Each Parameter stays the same object, so that an optimiser made before still holds it.
        Forms: ``to("gpu")``, ``to(un.float64)``, ``to(tensor)``, ``to(backend="jax")`` and mixtures.

        Raises:
            DTypeError: the dtype is neither floating nor complex.
            DeviceError, UnknownBackendError, MissingBackendError: the target does not exist.
        """
        for arg in args:
            if isinstance(arg, DType):
                dtype = arg
            elif isinstance(arg, Tensor):
                dtype, device, backend = arg.dtype, arg.device, arg.backend
            elif not isinstance(arg, bool):
                device = arg
        if dtype is not None and not dtype.is_inexact:
            raise DTypeError(f"nn.Module.to only accepts floating point or complex dtypes, not {dtype.name}")
        return self._convert(
            lambda t: t.to(device=device, dtype=dtype if t.dtype.is_inexact else None, backend=backend)
        )

    def float(self) -> Self:
        """Floating parameters and buffers as float32."""
        return self.to(float32)

    def double(self) -> Self:
        """Floating parameters and buffers as float64."""
        return self.to(float64)

    def half(self) -> Self:
        """Floating parameters and buffers as float16."""
        return self.to(float16)

    def bfloat16(self) -> Self:
        """Floating parameters and buffers as bfloat16."""
        return self.to(bfloat16)

    def cpu(self) -> Self:
        """Parameters and buffers on the host."""
        return self.to("cpu")

    def cuda(self, index: int = 0) -> Self:
        """Parameters and buffers on a GPU."""
        return self.to(device("gpu", index))

    # ---- how it prints ---------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands between the parentheses of ``repr``."""
        return ""

    def __repr__(self) -> str:
        children = [f"({name}): {_indent(repr(module))}" for name, module in self._modules.items()]
        return _layout(type(self).__name__, self.extra_repr(), children)


def _indent(text: str) -> str:
    return text.replace("\n", "\n  ")


def _layout(name: str, extra: str, children: list[str]) -> str:
    """PyTorch's layout of a Module's repr."""
    extras = extra.split("\n") if extra else []
    if len(extras) == 1 and not children:
        return f"{name}({extra})"
    lines = extras + children
    return f"{name}(\n  " + "\n  ".join(lines) + "\n)" if lines else f"{name}()"
