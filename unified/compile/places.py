"""Where a function finds Tensors in a step or two: another Tensor in such a place is another program."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Container, Iterator
from typing import Any, NamedTuple

from unified._attributes import Observed
from unified._structure import Static
from unified._tensor import Tensor

_NO_HOLDERS = (type, types.ModuleType, types.FunctionType, types.MethodType, Observed, Tensor)
"""Modules are looked at by what is read of them; the others hold no state of the user's."""


class Place(NamedTuple):
    """A key of a container, or a closure's cell where that is None, and the Tensor that was there."""

    holder: Any
    key: Any
    tensor: Tensor
    name: str


def moved(places: list[Place]) -> Place | None:
    """The first in which there is another Tensor, or none, by now. Every call asks: there is no call per place."""
    place = None
    try:
        for place in places:
            holder, key, tensor, _ = place
            if (holder.cell_contents if key is None else holder[key]) is not tensor:
                return place
    except (LookupError, ValueError):
        return place
    return None


def reached(function: Callable[..., Any], call: Any) -> list[Place]:
    """Tensors in variables around a function, globals that it names, attributes of its instance and of its arguments.

    And in lists, dicts and objects that are found there.
    """
    return [place for name, holder, key, value in _roots(function, call) for place in _at(name, holder, key, value)]


def kept(places: list[Place], captured: Container[int]) -> list[Place]:
    """Those whose Tensor a trace has captured, and not moved itself."""
    return [place for place in places if id(place.tensor) in captured and moved([place]) is None]


def _roots(function: Callable[..., Any], call: Any) -> Iterator[tuple[str, Any, Any, Any]]:
    instance = getattr(function, "__self__", None if inspect.isfunction(function) else function)
    for holder in (instance, *_objects(call)):
        for name, value in _attributes(holder).items():
            yield name, holder.__dict__, name, value
    plain = getattr(function, "__func__", function)
    code = getattr(plain, "__code__", None)
    if code is None:
        return
    for name, cell in zip(code.co_freevars, plain.__closure__ or (), strict=False):
        try:
            yield name, cell, None, cell.cell_contents
        except ValueError:  # not filled yet
            continue
    for name in code.co_names:
        if name in plain.__globals__:
            yield name, plain.__globals__, name, plain.__globals__[name]


def _at(name: str, holder: Any, key: Any, value: Any) -> Iterator[Place]:
    if isinstance(value, Tensor):
        yield Place(holder, key, value, name)
    elif type(value) is dict or type(value) is list:
        for inner, member in list(value.items() if type(value) is dict else enumerate(value)):
            if isinstance(member, Tensor) and inner is not None:
                yield Place(value, inner, member, f"{name}[{inner!r}]")
    else:
        for inner, member in list(_attributes(value).items()):
            if isinstance(member, Tensor):
                yield Place(value.__dict__, inner, member, f"{name}.{inner}")


def _attributes(holder: Any) -> dict[str, Any]:
    found = None if isinstance(holder, _NO_HOLDERS) else getattr(holder, "__dict__", None)
    return found if type(found) is dict else {}


def _objects(described: Any) -> Iterator[Any]:
    """The objects in a described call that are part of the program."""
    if isinstance(described, Static):
        yield described.value
    elif isinstance(described, tuple):
        for member in described:
            yield from _objects(member)
