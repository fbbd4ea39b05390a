"""Arguments and results as a flat list of Tensors and a hashable description of everything else."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, cast

from unified._size import Size
from unified._tensor import Tensor
from unified.errors import CompileError

LEAF = ("leaf",)
"""Where a Tensor stands."""

_MAPPINGS = (dict, OrderedDict, defaultdict)
_ATOMS = (bool, int, float, complex, str, bytes, type(None))


class Static:
    """A Python object that is part of the program: compared by type and value, or by identity."""

    __slots__ = ("_key", "value")

    def __init__(self, value: Any, by_value: bool = False) -> None:
        self.value = value
        self._key: Hashable = id(value)
        if by_value or isinstance(value, _ATOMS):
            self._key = (type(value), repr(value) if isinstance(value, (float, complex)) else value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return repr(self.value)


def flatten(value: Any, leaves: list[Any], admit: Callable[[Any, list[Any]], Any] | None = None) -> Hashable:
    """Appends the Tensors in ``value`` to ``leaves`` and describes the rest.

    Containers are tuples (named ones too), lists, dicts, dataclasses and slices; any other object is static.

    Args:
        admit: asked about floats and objects, of which it may make leaves or raise; returns their description.
    """
    kind = type(value)
    if isinstance(value, Tensor):
        leaves.append(value)
        return LEAF
    if kind is tuple or kind is list:
        return (kind, tuple([flatten(member, leaves, admit) for member in value]))
    if isinstance(value, _ATOMS) and (admit is None or not isinstance(value, float)):
        return Static(value)
    if kind in _MAPPINGS or (admit is None and isinstance(value, dict)):
        rest = value.default_factory if kind is defaultdict else None
        keys = tuple([Static(key) for key in value])
        return (kind, keys, Static(rest), tuple([flatten(v, leaves, admit) for v in value.values()]))
    if kind is slice:
        return (kind, tuple([flatten(member, leaves, admit) for member in (value.start, value.stop, value.step)]))
    if isinstance(value, dict) and admit is not None:  # of a class that dict's constructor does not make
        return cast(Hashable, admit(value, leaves))
    if isinstance(value, (tuple, list)):
        return (kind, tuple([flatten(member, leaves, admit) for member in value]))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = tuple(field.name for field in dataclasses.fields(value))
        return (kind, names, tuple([flatten(getattr(value, name), leaves, admit) for name in names]))
    return Static(value) if admit is None else admit(value, leaves)


def unflatten(structure: Any, leaves: Iterable[Any]) -> Any:
    """Rebuilds what :func:`flatten` described, with ``leaves`` in the places of the Tensors."""
    return rebuilt(structure, iter(leaves))


def rebuilt(structure: Any, leaves: Iterator[Any]) -> Any:
    """The same, taking from ``leaves`` what it needs."""
    if structure is LEAF:
        return next(leaves)
    if isinstance(structure, Static):
        return structure.value
    kind: Any = structure[0]
    members = [rebuilt(member, leaves) for member in structure[-1]]
    if issubclass(kind, dict):
        pairs = {key.value: member for key, member in zip(structure[1], members, strict=True)}
        if kind is defaultdict:
            return defaultdict(structure[2].value, pairs)
        return OrderedDict(pairs) if kind is OrderedDict else pairs
    if kind is list or kind is tuple or kind is Size:
        return kind(members)
    if kind is slice:
        return slice(*members)
    if dataclasses.is_dataclass(kind):
        instance: Any = object.__new__(cast(Any, kind))
        for name, member in zip(structure[1], members, strict=True):
            object.__setattr__(instance, name, member)
        return instance
    if hasattr(kind, "_fields"):
        return kind(*members)
    raise CompileError(f"cannot rebuild a {kind.__name__}; return tuples, lists, dicts or dataclasses of Tensors")


def difference(old: Any, new: Any, where: str = "") -> str:
    """In words, what changed between two structures, the outer one called ``where``; for the retrace report."""
    return _difference(old, new, where) or f"the nesting of {where or 'the arguments'} changed"


def _difference(old: Any, new: Any, where: str) -> str | None:
    of = f" of {where}" if where else ""
    if isinstance(old, Static) and isinstance(new, Static):
        return f"the Python value{of} changed from {old!r} to {new!r}"
    if isinstance(old, tuple) and isinstance(new, tuple) and old[:1] == new[:1] and len(old) == len(new) > 1:
        if len(old[-1]) != len(new[-1]):
            return f"a container{of} changed length from {len(old[-1])} to {len(new[-1])}"
        keys = old[1] if len(old) > 2 else range(len(old[-1]))
        for key, first, second in zip(keys, old[-1], new[-1], strict=True):
            if first != second:
                return _difference(first, second, f"{where}.{key}" if isinstance(key, str) else f"{where}[{key!r}]")
        return f"the keys{of} changed"
    return None
