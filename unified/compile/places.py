"""Where a function finds Tensors in a step or two: another Tensor in such a place is another program."""

from __future__ import annotations

import operator
import types
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any, NamedTuple

from unified._attributes import Observed
from unified._structure import Static
from unified._tensor import Tensor
from unified.compile.reach import instance_of, variables

_NO_HOLDERS = (type, types.ModuleType, types.FunctionType, types.MethodType, Observed, Tensor)
"""Modules are looked at by what is read of them; the others hold no state of the user's."""


class Place(NamedTuple):
    """A key of a container, or a closure's cell where that is None, and the Tensor that was there."""

    holder: Any
    key: Any
    tensor: Tensor
    name: str


class Places:
    """Places with the Tensors that they are to hold. Every call asks, so a holder is looked at as a whole, in C."""

    def __init__(self, places: Iterable[Place] = ()) -> None:
        self._places = list(places)
        held: dict[int, list[Place]] = {}
        for place in self._places:
            held.setdefault(id(place.holder), []).append(place)
        self._groups = [_together(members) for members in held.values()]

    def moved(self) -> bool:
        """Whether there is another Tensor in one of them, or none, by now."""
        try:
            for look, holder, tensors in self._groups:
                if not all(map(operator.is_, look(holder), tensors)):
                    return True
        except (LookupError, ValueError):
            return True
        return False

    def first_moved(self) -> Place | None:
        """The one of which that is so."""
        return next((place for place in self._places if Places([place]).moved()), None)


def _together(places: list[Place]) -> tuple[Callable[[Any], tuple[Any, ...]], Any, list[Tensor]]:
    """What looks at all of one holder's places at once, the holder, and what is to be found."""
    again = [*places, places[0]]  # these give one thing, not a tuple, where they are asked for one alone
    keys = [place.key for place in again]
    look = operator.attrgetter(*["cell_contents"] * 2) if keys[0] is None else operator.itemgetter(*keys)
    return look, places[0].holder, [place.tensor for place in again]


def reached(function: Callable[..., Any], call: Any) -> list[Place]:
    """Tensors in variables around a function, globals that it names, attributes of its instance and of its arguments.

    And in lists, dicts and objects that are found there.
    """
    return [place for name, holder, key, value in _roots(function, call) for place in _at(name, holder, key, value)]


def kept(places: list[Place], captured: Container[int]) -> Places:
    """Those whose Tensor a trace has captured, and not moved itself."""
    return Places(place for place in places if id(place.tensor) in captured and not Places([place]).moved())


def _roots(function: Callable[..., Any], call: Any) -> Iterator[tuple[str, Any, Any, Any]]:
    for holder in (instance_of(function), *_objects(call)):
        for name, value in _attributes(holder).items():
            yield name, holder.__dict__, name, value
    yield from variables(function)


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
