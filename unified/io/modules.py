"""Whole Modules, structure and weights, without pickle.

A Module is written as the registered name of its class, the arguments it was constructed with, and its children,
each so. Loading constructs the root, then puts right what was changed after construction: children that were
replaced, added or removed, tied parameters, frozen ones, and train or eval mode.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unified._device import device as Device
from unified._selection import backend as backend_scope
from unified._selection import get_backend
from unified._tensor import Tensor
from unified.errors import CheckpointError, OperandError, StateDictError
from unified.io import files, registered
from unified.io.files import SHARD_BYTES, Loader, Pathlike, Place
from unified.io.structure import Decoder, Encoder


def save_model(model: Any, path: Pathlike, *, max_shard_bytes: int = SHARD_BYTES) -> None:
    """Writes a Module's structure and weights to ``path``; :func:`load_model` needs no code but its class.

    Args:
        model: a Module, whose class and those below it that it does not construct itself are ``unified``'s own or
            registered with ``@un.io.register``.
        path: as in :func:`unified.save`.
        max_shard_bytes: as in :func:`unified.save`.

    Raises:
        OperandError: a class is not registered, or a constructor's argument is no data; says which. Nothing is
            written.
    """
    if not hasattr(model, "_modules"):
        raise OperandError(f"save_model: takes a Module, not {type(model).__name__}; un.save takes plain data")
    _required(model, "the Module")
    encoder = Encoder(_encode_special)
    held = model.state_dict(keep_vars=True)
    first: dict[int, str] = {}
    tied = {name: first[id(value)] for name, value in held.items() if first.setdefault(id(value), name) != name}
    parameters = dict(model.named_parameters(remove_duplicate=False))
    content = {
        "state": encoder.encode({name: value for name, value in held.items() if name not in tied}),
        "model": _encode_module(model, encoder, "model"),
        "tied": encoder.encode(tied),
        "frozen": [name for name in parameters if not parameters[name].requires_grad],
    }
    files.write(files.Snapshot({"saved_model": content}, encoder.values, copy=False), path, max_shard_bytes)


def load_model(path: Pathlike, backend: str | None = None, device: Place = None) -> Any:
    """The Module that :func:`save_model` wrote, on any backend.

    Constructing it draws initial weights, so the default generator moves on, as whenever a Module is made.

    Args:
        path: the file or folder.
        backend: by default the current backend.
        device: as in :func:`unified.load`.

    Raises:
        CheckpointError: the file is damaged, holds no Module, or names a class that is not registered here.
        StateDictError: a class has changed so that the weights no longer fit; lists every mismatch.
    """
    source = Path(path)
    archive = files.read(source)
    structure = None if archive.extra is None else archive.extra["structure"]
    if not isinstance(structure, dict) or structure.keys() != {"saved_model"}:
        raise CheckpointError(f"{source} holds no Module that un.save_model wrote; read it with un.load")
    target = get_backend() if backend is None else backend
    decoder = Loader(target, device).decoder(archive, _SPECIAL)
    place = None if device is None else Device(device)
    with backend_scope(target):
        if place is None:
            return files.decoded(source, archive, decoder)
        with place:
            return files.decoded(source, archive, decoder)


def _unregistered(kind: Any, what: str) -> OperandError:
    return OperandError(
        f"save_model: {what} is a {kind.__module__}.{kind.__qualname__}, which is not registered; decorate it with "
        "@un.io.register, or save its state_dict() with un.save"
    )


def _required(module: Any, what: str) -> None:
    if module is not None and registered.name_of(type(module)) is None:
        raise _unregistered(type(module), what)


def _encode_module(module: Any, encoder: Encoder, path: str) -> dict[str, Any]:
    """A Module as JSON. A class that is not registered has no name here: its parent's constructor must make it."""
    kind = type(module)
    name = registered.name_of(kind)
    node: dict[str, Any] = {"class": name, "training": module._training}
    if name is None:
        node["made"] = f"{kind.__module__}.{kind.__qualname__}"
    elif kind._holds_children_only:
        for child in module._modules.values():
            _required(child, f"a child of {kind.__name__}")
    else:
        args, kwargs = module._configuration
        children = {id(child): key for key, child in module._modules.items() if child is not None}
        node["args"] = [_encode_argument(arg, children, encoder, f"{path}.args") for arg in args]
        node["kwargs"] = {
            key: _encode_argument(arg, children, encoder, f"{path}.{key}") for key, arg in kwargs.items()
        }
    node["children"] = {
        key: None if child is None else _encode_module(child, encoder, f"{path}.{key}")
        for key, child in module._modules.items()
    }
    return node


def _encode_argument(value: Any, children: Mapping[int, str], encoder: Encoder, path: str) -> Any:
    """A constructor's argument; a child is written once, among the children."""
    if id(value) in children:
        _required(value, f"the argument at {path!r}")
        return {"child": children[id(value)]}
    return encoder.encode(value, path)


def _encode_special(value: Any, encoder: Encoder, path: str) -> Any:
    """Modules, registered functions and classes, and registered dataclasses among the arguments."""
    kind = type(value)
    if hasattr(value, "_modules") and not isinstance(value, type):
        _required(value, f"the argument at {path!r}")
        return {"module": _encode_module(value, encoder, path)}
    if inspect.isroutine(value) or isinstance(value, type):
        name = registered.name_of(value)
        if name is None:
            raise _unregistered(value, f"the argument at {path!r}")
        return {"registered": name}
    if dataclasses.is_dataclass(value):
        name = registered.name_of(kind)
        if name is None:
            raise _unregistered(kind, f"the argument at {path!r}")
        fields = {
            field.name: encoder.encode(getattr(value, field.name), f"{path}.{field.name}")
            for field in dataclasses.fields(value)
            if field.init
        }
        return {"dataclass": [name, fields]}
    return None


def _build(node: Mapping[str, Any], decoder: Decoder) -> Any:
    """Constructs a Module, then :func:`_adjust`\\ s what is below it."""
    if node["class"] is None:
        raise CheckpointError(
            f"the Module {node['made']} is not registered, and was put in place after its parent was constructed; "
            "decorate it with @un.io.register and save again"
        )
    kind = registered.find(node["class"])
    if not (isinstance(kind, type) and hasattr(kind, "_holds_children_only")):
        raise CheckpointError(f"the file has {node['class']!r} where a Module's class must be")
    built: dict[str, Any] = {}
    args = [_decode_argument(arg, node, decoder, built) for arg in node.get("args", ())]
    kwargs = {key: _decode_argument(arg, node, decoder, built) for key, arg in node.get("kwargs", {}).items()}
    module = kind(*args, **kwargs)
    _adjust(module, node, decoder)
    return module


def _decode_argument(encoded: Any, node: Mapping[str, Any], decoder: Decoder, built: dict[str, Any]) -> Any:
    if isinstance(encoded, dict) and "child" in encoded:
        name = encoded["child"]
        if name not in built:
            built[name] = _build(node["children"][name], decoder)
        return built[name]
    return decoder.decode(encoded)


def _adjust(module: Any, node: Mapping[str, Any], decoder: Decoder) -> None:
    """Makes the children those that were saved, keeping what the constructor made where it is the same."""
    module.training = node["training"]
    for name in [name for name in module._modules if name not in node["children"]]:
        del module._modules[name]
    for name, wanted in node["children"].items():
        child = module._modules.get(name)
        if wanted is None:
            module._modules[name] = None
        elif child is not None and _alike(child, wanted, decoder):
            _adjust(child, wanted, decoder)
        else:
            module._modules[name] = _build(wanted, decoder)
    ordered = {name: module._modules[name] for name in node["children"]}
    module._modules.clear()
    module._modules.update(ordered)


def _alike(child: Any, wanted: Mapping[str, Any], decoder: Decoder) -> bool:
    """Whether the constructor made the very Module that was saved."""
    kind = type(child)
    if wanted["class"] is None:
        return bool(wanted["made"] == f"{kind.__module__}.{kind.__qualname__}")
    try:
        made = _encode_module(child, Encoder(_encode_special), "")
    except OperandError:  # its arguments were made by its parent, and are no data
        return bool(registered.name_of(kind) == wanted["class"])
    return all(made.get(key) == wanted.get(key) for key in ("class", "args", "kwargs"))


def _decode_model(content: Mapping[str, Any], decoder: Decoder) -> Any:
    model = _build(content["model"], decoder)
    state = decoder.decode(content["state"])
    tied = decoder.decode(content["tied"])
    _tie(model, tied)
    held = {name: value for name, value in model.state_dict(keep_vars=True).items() if name not in tied}
    _check(type(model).__name__, held, state)
    for name, value in held.items():
        value.data = state[name]
    for name, param in model.named_parameters(remove_duplicate=False):
        param.requires_grad_(name not in content["frozen"])
    return model


def _tie(model: Any, tied: Mapping[str, str]) -> None:
    for name, source in tied.items():
        path, _, local = name.rpartition(".")
        owner_path, _, owner_local = source.rpartition(".")
        setattr(model.get_submodule(path), local, getattr(model.get_submodule(owner_path), owner_local))


def _check(kind: str, held: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    problems = [f"{name} is in the file only" for name in state if name not in held]
    problems += [f"{name} is in the class only" for name in held if name not in state]
    problems += [
        f"{name} has shape {tuple(state[name].shape)} in the file and {tuple(held[name].shape)} in the class"
        for name in held
        if name in state and held[name].shape != state[name].shape
    ]
    if problems:
        raise StateDictError(f"load_model: {kind} is not what was saved:\n\t" + "\n\t".join(problems))


def _decode_dataclass(content: Any, decoder: Decoder) -> Any:
    name, fields = content
    kind = registered.find(name)
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise CheckpointError(f"the file has {name!r} where a dataclass must be")
    return kind(**{key: decoder.decode(value) for key, value in fields.items()})


_SPECIAL = {
    "saved_model": _decode_model,
    "module": _build,
    "registered": lambda name, decoder: registered.find(name),
    "dataclass": _decode_dataclass,
}
