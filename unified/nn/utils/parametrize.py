"""Parametrizations: an attribute of a Module that is computed from other Tensors whenever it is read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from unified._dispatch import tracing
from unified._hooks import OF_MODULE
from unified._tensor import Tensor
from unified.autograd import no_grad
from unified.errors import ArgumentError, DTypeError, OperandError, ShapeError
from unified.nn.container import ModuleDict, ModuleList
from unified.nn.module import Module
from unified.nn.parameter import Parameter

__all__ = [
    "ParametrizationList", "cached", "is_parametrized", "register_parametrization", "remove_parametrizations",
    "transfer_parametrizations_and_params", "type_before_parametrizations",
]  # fmt: skip


class _Caches(threading.local):
    def __init__(self) -> None:
        self.open: list[tuple[Any, dict[tuple[int, str], Tensor]]] = []
        """For each block of :func:`cached` the trace that it is in, and what was computed."""


_caches = _Caches()


@contextmanager
def cached() -> Iterator[None]:
    """Within the block each parametrized attribute is computed once, at its first use.

    For parameters that are used several times in a forward pass, as a recurrent cell's. Blocks may be nested; the
    outermost one keeps the values. Around a call of what ``un.compile`` made it changes nothing inside.
    """
    _caches.open.append((tracing(), {}))
    try:
        yield
    finally:
        _caches.open.pop()


class ParametrizationList(ModuleList):
    """The parametrizations of one attribute, in the order of their application, and what they start from.

    :func:`register_parametrization` makes it. The Tensor that it starts from is ``original``; ``original0``,
    ``original1`` and so on, if the first parametrization's ``right_inverse`` gives several.
    """

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if not modules:
            raise ArgumentError("a ParametrizationList needs at least one parametrization")
        super().__init__(modules)
        self.unsafe = unsafe
        with no_grad():
            new: Any = original
            for module in reversed(list(self)):
                new = _inverted(module, new)
        self.is_tensor = isinstance(new, Tensor)
        if not self.is_tensor and not isinstance(new, Sequence):
            raise OperandError(
                f"right_inverse must return a Tensor or a sequence of Tensors, not {type(new).__name__}"
            )
        self.ntensors = 1 if self.is_tensor else len(new)
        before = original.detach()
        if self.is_tensor:
            if new.dtype is not original.dtype or new.device != original.device:
                raise DTypeError(
                    "a right_inverse that returns one Tensor keeps its dtype and device: it was given "
                    f"{original.dtype.name} on {original.device} and returned {new.dtype.name} on {new.device}"
                )
            original.data = new.detach()  # the same object, so that an optimiser made before still holds it
            _register(self, "original", original)
        else:
            for index, part in enumerate(new):
                if not isinstance(part, Tensor):
                    raise OperandError(
                        f"right_inverse must return Tensors; number {index} is a {type(part).__name__}"
                    )
                held = part.detach()
                wants = original.requires_grad
                _register(
                    self, f"original{index}",
                    Parameter(held, wants) if isinstance(original, Parameter) else held.requires_grad_(wants),
                )  # fmt: skip
        if not unsafe:
            try:
                _check("a parametrization", before, self())
            except Exception:
                original.data = before
                raise

    def right_inverse(self, value: Tensor) -> None:
        """Makes the attribute ``value``: writes to the originals what the parametrizations' inverses give.

        Raises:
            OperandError: a parametrization has no ``right_inverse``, or one returned something else than Tensors.
            DTypeError, ShapeError: it returned other dtypes, or another number of Tensors, than at registration.
        """
        with no_grad():
            new: Any = value
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise OperandError(
                        f"parametrization {type(module).__name__} does not implement right_inverse, so its result "
                        "cannot be assigned to"
                    )
                new = module.right_inverse(new)
            parts = [new] if self.is_tensor else list(new) if isinstance(new, Sequence) else []
            if len(parts) != self.ntensors:
                raise ShapeError(
                    f"right_inverse must return {self.ntensors} Tensors, as it did when it was registered"
                )
            for part, original in zip(parts, self.originals(), strict=True):
                if not isinstance(part, Tensor):
                    raise OperandError(f"right_inverse must return Tensors, not {type(part).__name__}")
                if part.dtype is not original.dtype:
                    raise DTypeError(
                        f"right_inverse returned {part.dtype.name} in the place of {original.dtype.name}"
                    )
            for part, original in zip(parts, self.originals(), strict=True):
                original.data = part.detach()

    def originals(self) -> list[Tensor]:
        """What the first parametrization is applied to."""
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{index}") for index in range(self.ntensors)]

    def forward(self) -> Tensor:
        """The attribute's value."""
        first, *others = self._modules.values()
        value: Tensor = first(*self.originals())
        for module in others:
            value = module(value)
        return value


def _inverted(module: Module, value: Any) -> Any:
    """``module``'s right inverse of ``value``; the identity where it has none."""
    if not hasattr(module, "right_inverse"):
        return value
    try:
        return module.right_inverse(value)
    except NotImplementedError:
        return value


def _check(what: str, before: Tensor, after: Any) -> None:
    """Raises unless ``after`` is a Tensor with the dtype and shape of ``before``."""
    if not isinstance(after, Tensor):
        raise OperandError(f"{what} must return a Tensor, not {type(after).__name__}")
    if after.dtype is not before.dtype:
        raise DTypeError(
            f"{what} may not change the dtype unless unsafe=True: it was {before.dtype.name}, and is "
            f"{after.dtype.name}"
        )
    if after.shape != before.shape:
        raise ShapeError(
            f"{what} may not change the shape unless unsafe=True: it was {tuple(before.shape)}, and is "
            f"{tuple(after.shape)}"
        )


def _register(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _property(name: str) -> property:
    def get(self: Any) -> Tensor:
        parametrization = self.parametrizations[name]
        trace = tracing()
        cache = next((found for within, found in _caches.open if within is trace), None)
        if cache is None:
            value: Tensor = parametrization()
            return value
        key = (id(self), name)
        if key not in cache:
            cache[key] = parametrization()
        return cache[key]

    def assign(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(get, assign)


def _remade(kind: type[Module], names: frozenset[str]) -> Module:
    made: Module = Module.__new__(_parametrized(kind, names))
    return made


def _reduce(self: Any, protocol: Any) -> tuple[Any, ...]:
    """How it is copied and pickled: its class exists in this process only."""
    kind = type(self)
    return _remade, (kind._unparametrized, kind._parametrized_names), self.__dict__


def _parametrized(kind: type[Module], names: frozenset[str]) -> type[Any]:
    """The subclass of ``kind`` that computes the attributes ``names``; one for all its Modules."""
    if not names:
        return kind
    known: dict[frozenset[str], type[Any]] = kind.__dict__.get("_parametrized_classes", {})
    if names not in known:
        members: dict[str, Any] = {name: _property(name) for name in names}
        members.update(
            __module__="unified",  # in no file's table of classes: parametrizations are saved by state_dict
            _unparametrized=kind, _parametrized_names=names, _parametrized_classes={}, __reduce_ex__=_reduce,
        )  # fmt: skip
        known[names] = type(f"Parametrized{kind.__name__}", (kind,), members)
        kind._parametrized_classes = known  # type: ignore[attr-defined]
    return known[names]


def _set_names(module: Module, change: Callable[[frozenset[str]], frozenset[str]]) -> None:
    names: frozenset[str] = getattr(type(module), "_parametrized_names", frozenset())
    module.__class__ = _parametrized(type_before_parametrizations(module), change(names))
    _changed()


def _changed() -> None:
    """Compiled programs with the Module in them are traced anew, as where hooks of one change."""
    for epoch in OF_MODULE:
        epoch.bump()


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Makes ``module.<tensor_name>`` the result of ``parametrization`` applied to what it was; returns ``module``.

    What it was becomes ``module.parametrizations.<tensor_name>.original``, the same object, which trains on. A
    second parametrization is applied to the result of the first.

    Args:
        module: its owner.
        tensor_name: a parameter or buffer, parametrized already or not.
        parametrization: from one Tensor (the first one: from as many as its ``right_inverse`` gives) to one. If it
            has ``right_inverse(value)``, the original starts from that of the present value, and the attribute can be
            assigned to.
        unsafe: dtype and shape may change, and are not looked at.

    Example:
        >>> class Symmetric(nn.Module):
        ...     def forward(self, x):
        ...         return x.triu() + x.triu(1).T
        >>> layer = nn.utils.parametrize.register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
        >>> bool((layer.weight == layer.weight.T).all())
        True

    Raises:
        ArgumentError: ``module`` has no such parameter or buffer.
        DTypeError, ShapeError, OperandError: the result is not like what it stands for; nothing is changed then.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        found: ParametrizationList = module.parametrizations[tensor_name]
        if not unsafe:
            value = getattr(module, tensor_name)
            result = parametrization(value)
            _check("a parametrization", value, result)
            if hasattr(parametrization, "right_inverse"):
                try:
                    inverse = parametrization.right_inverse(result)
                except NotImplementedError:
                    pass
                else:
                    _check("a right_inverse", value, inverse)
        found.append(parametrization)
        found.unsafe |= unsafe
        _changed()
        return module
    if tensor_name not in module._buffers and tensor_name not in module._parameters:
        raise ArgumentError(
            f"register_parametrization: {type(module).__name__} has no parameter, buffer or parametrized attribute "
            f"named {tensor_name!r}"
        )
    original = getattr(module, tensor_name)
    if original is None:
        raise ArgumentError(f"register_parametrization: {tensor_name!r} of {type(module).__name__} is None")
    listed = ParametrizationList([parametrization], original, unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.parametrizations = ModuleDict()
    _set_names(module, lambda names: names | {tensor_name})
    module.parametrizations[tensor_name] = listed
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether ``module`` has parametrizations of that attribute, or of any."""
    names: frozenset[str] = getattr(type(module), "_parametrized_names", frozenset())
    return bool(names) if tensor_name is None else tensor_name in names


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Makes ``module.<tensor_name>`` a plain parameter or buffer again; returns ``module``.

    Args:
        module: its owner.
        tensor_name: the parametrized attribute.
        leave_parametrized: keep its present value; otherwise that of ``original``.

    Raises:
        ArgumentError: it is not parametrized; or it is by several Tensors and is not to keep its value.
    """
    if not is_parametrized(module, tensor_name):
        raise ArgumentError(
            f"remove_parametrizations: {type(module).__name__} has no parametrization of {tensor_name!r}"
        )
    listed: ParametrizationList = module.parametrizations[tensor_name]
    if not listed.is_tensor and not leave_parametrized:
        raise ArgumentError(
            f"remove_parametrizations: {tensor_name!r} is computed from {listed.ntensors} Tensors, none of which can "
            "stand for it; leave_parametrized must be True"
        )
    if listed.is_tensor:
        plain = listed.original
        if leave_parametrized:
            with no_grad():
                plain.data = getattr(module, tensor_name).detach()
    else:
        value = getattr(module, tensor_name)
        plain = Parameter(value.detach()) if value.requires_grad else value
    del module.parametrizations[tensor_name]
    _set_names(module, lambda names: names - {tensor_name})
    _register(module, tensor_name, plain)
    if not is_parametrized(module):
        del module.parametrizations
    return module


def type_before_parametrizations(module: Module) -> type[Module]:
    """The class that ``module`` was made from."""
    kind: type[Module] = getattr(type(module), "_unparametrized", type(module))
    return kind


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Applies the parametrizations of ``from_module`` to ``to_module`` and shares the originals; returns the latter.

    Args:
        from_module: nothing happens if it is not parametrized.
        to_module: parameters that it does not have are made.
        tensor_name: only this attribute's.
    """
    if not is_parametrized(from_module):
        return to_module
    names = list(from_module.parametrizations) if tensor_name is None else [tensor_name]
    for name in names:
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name).detach()))
        source: ParametrizationList = from_module.parametrizations[name]
        for parametrization in source:
            register_parametrization(to_module, name, parametrization)
        target: ParametrizationList = to_module.parametrizations[name]
        for key in ["original"] if source.is_tensor else [f"original{i}" for i in range(source.ntensors)]:
            setattr(target, key, getattr(source, key))
    return to_module
