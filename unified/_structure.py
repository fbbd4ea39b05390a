"""Arguments and results as a flat list of Tensors and a hashable description of everything else."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Iterator
from typing import Any

from unified._tensor import Tensor
from unified.errors import CompileError

_LEAF = ("leaf",)
_ATOMS = (bool, int, float, complex, str, bytes, type(None))


class Static:
    """A Python object that is part of the program: compared by type and value, or by identity."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def _key(self) -> Hashable:
        if isinstance(self.value, _ATOMS):
            return (type(self.value), repr(self.value) if isinstance(self.value, float) else self.value)
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return repr(self.value)


def flatten(value: Any, leaves: list[Any], kinds: Any = Tensor) -> Hashable:
    """Appends the Tensors in ``value`` to ``leaves`` and describes the rest.

    Containers are tuples (named ones too), lists, dicts and dataclasses; any other object is static. ``kinds``
    are the types of leaves.
    """
    if isinstance(value, kinds):
        leaves.append(value)
        return _LEAF
    if isinstance(value, _ATOMS):
        return Static(value)
    if isinstance(value, (tuple, list)):
        return (type(value), tuple([flatten(member, leaves, kinds) for member in value]))
    if isinstance(value, dict):
        return (
            dict,
            tuple([Static(key) for key in value]),
            tuple([flatten(v, leaves, kinds) for v in value.values()]),
        )
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = tuple(field.name for field in dataclasses.fields(value))
        return (type(value), names, tuple([flatten(getattr(value, name), leaves, kinds) for name in names]))
    return Static(value)


def unflatten(structure: Any, leaves: Iterable[Any]) -> Any:
    """Rebuilds what :func:`flatten` described, with ``leaves`` in the places of the Tensors."""
    return _rebuilt(structure, iter(leaves))


def _rebuilt(structure: Any, leaves: Iterator[Any]) -> Any:
    if structure is _LEAF:
        return next(leaves)
    if isinstance(structure, Static):
        return structure.value
    kind = structure[0]
    members = [_rebuilt(member, leaves) for member in structure[-1]]
    if kind is dict:
        return {key.value: member for key, member in zip(structure[1], members, strict=True)}
    if kind is list or kind is tuple:
        return kind(members)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        rebuilt = object.__new__(kind)
        for name, member in zip(structure[1], members, strict=True):
            object.__setattr__(rebuilt, name, member)
        return rebuilt
    if hasattr(kind, "_fields"):
        return kind(*members)
    if issubclass(kind, (tuple, list)):
        return kind(members)
    raise CompileError(f"cannot rebuild a {kind.__name__}; return tuples, lists, dicts or dataclasses of Tensors")


def difference(old: Any, new: Any) -> str:
    """In words, what changed between two structures; for the retrace report."""
    if isinstance(old, Static) and isinstance(new, Static):
        return f"a Python value changed from {old!r} to {new!r}"
    if isinstance(old, tuple) and isinstance(new, tuple) and old[:1] == new[:1] and len(old) == len(new):
        for first, second in zip(old[-1], new[-1], strict=False):
            if first != second:
                return difference(first, second)
        if len(old[-1]) != len(new[-1]):
            return f"a container changed length from {len(old[-1])} to {len(new[-1])}"
    return "the nesting of the arguments changed"
