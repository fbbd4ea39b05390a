"""Modules of the frameworks' own as ours, and ours as theirs. What needs a framework is in its backend.

A foreign module becomes one op, ``native_module``, of its parameters, its other state and the arguments; the
derivative is the framework's own. Both sides share the values, see ``_shared``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from unified import _structure as structure
from unified._custom import recomputed_state, state_of
from unified._dispatch import op, tracing, wrap
from unified._selection import backend as current
from unified._tensor import Tensor
from unified.backends import registry
from unified.backends.protocol import AdaptedModule, ModuleAdapter, ModuleExporter, Native
from unified.errors import ArgumentError, BackendMismatchError, OperandError, UnsupportedOpError
from unified.func.modules import functional_call
from unified.nn._shared import SharedParameter, SharedTensor, share
from unified.nn.module import Module, _indent
from unified.nn.parameter import Parameter

__all__ = ["NativeModule", "from_flax", "from_keras", "from_torch", "to_flax", "to_torch"]


@op
def native_module(
    parameters: Sequence[Tensor], buffers: Sequence[Tensor], args: Sequence[Tensor], call: Any
) -> tuple[Tensor, ...]:
    """The Tensors among the output of a framework's own module, then its buffers; None for one that is unchanged."""


class _Call:
    """One way to call a module: where Tensors stand in the arguments, and the mode. Satisfies ``NativeCall``."""

    def __init__(self, adapted: AdaptedModule, layout: Any, training: bool) -> None:
        self.adapted = adapted
        self.program = adapted.program()
        self.training = training
        self.count = 0
        self.rebuild: Callable[[Sequence[Tensor]], Any] = list
        self._layout = layout

    def arguments(self, leaves: Sequence[Native]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        args, kwargs = structure.unflatten(self._layout, leaves)
        return args, kwargs

    def results(self, leaves: Sequence[Any], rebuild: Callable[[list[Any]], Any], states: list[Any]) -> list[Any]:
        places = [i for i, leaf in enumerate(leaves) if registry.owner_of(type(leaf)) is not None]
        constants = [None if i in set(places) else leaf for i, leaf in enumerate(leaves)]
        self.count = len(places)

        def rebuilt(tensors: Sequence[Tensor]) -> Any:
            values: list[Any] = list(constants)
            for place, tensor in zip(places, tensors, strict=True):
                values[place] = tensor
            return rebuild(values)

        self.rebuild = rebuilt
        return [*[leaves[place] for place in places], *states]


class _Part(Module):
    """A module within a foreign one: holds its parameters by name, and hands its mode on."""

    def __init__(self, adapted: AdaptedModule, path: str) -> None:
        super().__init__()
        self._adapted = adapted
        self._path = path
        self.__dict__["_training"] = adapted.parts.get(path, True)

    @property
    def training(self) -> bool:
        """Whether it behaves as in training."""
        mode: bool = Module.training.fget(self)  # type: ignore[attr-defined]
        return mode

    @training.setter
    def training(self, mode: bool) -> None:
        Module.training.fset(self, mode)  # type: ignore[attr-defined]
        if self._path in self._adapted.parts:
            self._adapted.set_training(self._path, mode)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Not by itself: only the whole is called."""
        raise UnsupportedOpError(f"{self._path!r} is a part of a framework's own module; call the whole")


class NativeModule(_Part):
    """A framework's own module among ours; made by :func:`from_torch`, :func:`from_flax` and :func:`from_keras`.

    ``inner`` is that module. Its parameters and the rest of its state are here under their own dotted names.
    """

    def __init__(self, backend: str, inner: Any) -> None:
        bridge = registry.load(backend)
        assert isinstance(bridge, ModuleAdapter)
        super().__init__(bridge.adapt_module(inner), "")
        self.inner = inner
        self._backend = backend
        self._calls: dict[Hashable, _Call] = {}
        self._places: tuple[list[Any], list[Any]] = ([], [])
        made: dict[int, Tensor] = {}
        places: dict[str, Module] = {"": self}
        for path in self._adapted.parts:
            self._owner(path, places)
        for member in self._adapted.members:
            path, _, local = member.name.rpartition(".")
            owner = self._owner(path, places)
            held = made.get(id(member.cell))
            if held is None and member.is_parameter:
                held = SharedParameter(member.native, member.cell, member.trains)
            elif held is None:
                held = SharedTensor(member.native, member.cell)
            made[id(member.cell)] = held
            registered: dict[str, Any] = owner._parameters if member.is_parameter else owner._buffers
            registered[local] = held
            self._places[not member.is_parameter].append((registered, local))

    def _owner(self, path: str, places: dict[str, Module]) -> Module:
        if path not in places:
            above, _, name = path.rpartition(".")
            places[path] = self._owner(above, places)._modules[name] = _Part(self._adapted, path)
        return places[path]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What ``inner`` gives for these arguments; Tensors may stand anywhere in tuples, lists and dicts.

        Raises:
            BackendMismatchError: a Tensor lives on another backend than ``inner``.
        """
        leaves: list[Tensor] = []
        layout = structure.flatten((args, kwargs), leaves)
        for leaf in leaves:
            if leaf.backend != self._backend:
                raise BackendMismatchError(
                    f"{type(self.inner).__name__} is a module of {self._backend}, and was called with a Tensor of "
                    f"shape {tuple(leaf.shape)} on {leaf.backend}; move it with x.to(backend={self._backend!r})"
                )
        if tracing() is not None:
            modes = tuple([module.training for module in self.modules()])
        else:
            modes = tuple([module._training for module in self.modules()])
        call = self._calls.get((layout, modes))
        if call is None:
            call = self._calls[layout, modes] = _Call(self._adapted, layout, self.training)
        parameters, buffers = ([owner[name] for owner, name in places] for places in self._places)
        results = native_module(parameters, buffers, leaves, call)
        for buffer, after in zip(buffers, results[call.count :], strict=True):
            if after is not None:
                buffer._assign(after.detach())
        return call.rebuild(results[: call.count])

    def __deepcopy__(self, memo: dict[int, Any]) -> NativeModule:
        duplicate = NativeModule(self._backend, copy.deepcopy(self.inner, memo))
        memo[id(self)] = duplicate
        for (_, mine), (_, other) in zip(self.named_parameters(), duplicate.named_parameters(), strict=True):
            other.requires_grad_(mine.requires_grad)
        return duplicate

    def __repr__(self) -> str:
        return f"{type(self).__name__}(\n  (inner): {_indent(repr(self.inner))}\n)"


def from_torch(module: Any) -> NativeModule:
    """A ``torch.nn.Module`` as a Module of ours on the PyTorch backend.

    Parameters and buffers are ours too, over the same memory and under the same names: a step of our optimizers is
    seen by ``module``, and one of ``torch.optim`` is seen here. Gradients are collected on our side. Modes are handed
    on part by part.

    Example: ``model = nn.from_torch(torchvision.models.resnet18())``.

    Raises:
        OperandError: it is no such Module.
        MissingBackendError: PyTorch is not installed.
    """
    return NativeModule("torch", module)


def from_flax(module: Any) -> NativeModule:
    """An ``nnx.Module`` of flax as a Module of ours on the JAX backend.

    Its ``nnx.Param`` become parameters, all other variables (statistics, random keys and counts) buffers, under their
    dotted paths; both sides see what is written to them. A call is one jitted op with JAX's own derivative. Switch
    modes here, not on ``module``, whose structure is read once for each mode and kind of call.

    Raises:
        OperandError: it is no such Module.
        MissingBackendError: JAX or flax is not installed.
    """
    return NativeModule("jax", module)


def from_keras(layer: Any) -> NativeModule:
    """A Keras layer or model as a Module of ours on the TensorFlow backend.

    Its trainable variables become parameters, the others buffers; both sides see what is written to them. Keras's
    names count on within a process, so here the parts are numbered: ``"0.kernel"``. A call is one cached program, and
    its gradient a ``tf.GradientTape``'s. ``training`` is passed on from the mode.

    Raises:
        OperandError: it is no layer.
        ArgumentError: it has not been built, so it has no variables yet.
        BackendError: Keras runs on another framework.
    """
    return NativeModule("tensorflow", layer)


def _to_natives(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value._native
    leaves: list[Tensor] = []
    layout = structure.flatten(value, leaves)
    return structure.unflatten(layout, [leaf._native for leaf in leaves])


def _to_tensors(value: Any) -> Any:
    """Arguments with Tensors of ours in the place of the framework's own."""
    if isinstance(value, dict):
        return {key: _to_tensors(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        members = [_to_tensors(member) for member in value]
        return type(value)(*members) if hasattr(value, "_fields") else type(value)(members)
    return value if registry.owner_of(type(value)) is None else wrap(value)


def _export(name: str, module: Any, backend: str) -> Any:
    if not isinstance(module, Module):
        raise OperandError(f"{name}: takes a Module of unified, not {type(module).__name__}")
    held = {
        **dict(module.named_parameters(remove_duplicate=True)), **dict(module.named_buffers(remove_duplicate=True)),
    }  # fmt: skip
    away = sorted({value.backend for value in held.values()} - {backend})
    if away:
        raise ArgumentError(
            f"{name}: the Module has Tensors on {' and '.join(away)}; move it with module.to(backend={backend!r})"
        )
    bridge = registry.load(backend)
    assert isinstance(bridge, ModuleExporter)
    rewound = [find(backend) for find in recomputed_state]

    def run(
        values: Mapping[str, Native], args: tuple[Any, ...], kwargs: Mapping[str, Any], random: Any
    ) -> tuple[Any, Mapping[str, Native], Any]:
        state = {key: wrap(native) for key, native in values.items()}
        given = [tensor._native for tensor in rewound] if random is None else [random]
        with current(backend), state_of(rewound if random is not None else (), given if random is not None else ()):
            output = functional_call(module, state, _to_tensors(args), _to_tensors(dict(kwargs)))
            after = None if random is None else rewound[0]._native
        changed = {
            key: tensor._native
            for key, tensor in state.items()
            if not isinstance(held[key], Parameter) and tensor._native is not values[key]
        }
        return _to_natives(output), changed, after

    natives = {
        key: (value._native, value.requires_grad if isinstance(value, Parameter) else None)
        for key, value in held.items()
    }
    exported, cells = bridge.export_module(natives, run, module.train, rewound[0]._native)
    for path, owner in module.named_modules():
        for local, value in owner._parameters.items():
            key = f"{path}.{local}" if path else local
            if value is not None and key in cells:
                share(value, cells[key])
        for local, buffer in owner._buffers.items():
            key = f"{path}.{local}" if path else local
            if buffer is not None and key in cells:
                owner._buffers[local] = SharedTensor(buffer._native, cells[key])
    return exported


def to_torch(module: Module) -> Any:
    """A Module of ours as a ``torch.nn.Module``, whose parameters have the same names and memory.

    Its ``forward`` takes and returns PyTorch's tensors, and ``torch.optim`` trains it; ``module`` sees the result.
    Parameters of ``module`` stay the same objects; its buffers become new ones.

    Example: ``torch.optim.AdamW(un.to_torch(model).parameters())``.

    Raises:
        OperandError: it is no Module of ours.
        ArgumentError: it has Tensors on another backend.
    """
    return _export("to_torch", module, "torch")


def to_flax(module: Module) -> Any:
    """A Module of ours as an ``nnx.Module`` with an ``nnx.Param`` for each parameter that trains.

    A call takes and returns JAX's arrays, also within ``nnx.jit`` and ``nnx.grad``; optax trains it, and ``module``
    sees the result. Buffers are ``nnx.BatchStat``; the state that dropout draws from is a variable of its own, and
    moves on with each call.

    Raises:
        OperandError: it is no Module of ours.
        ArgumentError: it has Tensors on another backend.
        MissingBackendError: flax is not installed.
    """
    return _export("to_flax", module, "jax")
