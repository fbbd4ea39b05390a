"""What a call of a compiled function is, apart from the values of its Tensors: a hashable description, and leaves."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from unified import _structure as structure
from unified._default import default_dtype
from unified._dispatch import wrap
from unified._structure import Static
from unified.backends.protocol import Backend
from unified.compile.spec import TensorSpec
from unified.errors import ArgumentError, OperandError

Call = tuple[Any, ...]
"""(positional arguments, names of the keyword arguments, these), each described."""


class Signature:
    """The parameters of a function, and how its arguments come apart.

    Tensors and Python floats are leaves, in containers too. All else is part of the program: ints, bools, strings,
    None, enums and other objects. Numbers of numpy are as Python's.

    Args:
        static_argnames: parameters that are part of the program whatever they are, compared by value.

    Raises:
        ArgumentError: the function has no such parameter.
    """

    def __init__(self, function: Callable[..., Any], static_argnames: str | Sequence[str] = ()) -> None:
        self.static = frozenset([static_argnames] if isinstance(static_argnames, str) else static_argnames)
        self.name = getattr(function, "__qualname__", type(function).__name__)
        self._names: list[str] = []
        self.names: set[str] = set()
        self.open = False
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # some builtins have none
            parameters, self.open = [], True
        for parameter in parameters:
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                self._names.append(parameter.name)
            self.open = self.open or parameter.kind is parameter.VAR_KEYWORD
            self.names.add(parameter.name)
        self.require(self.static - self.names, "static_argnames")
        self._fixed = frozenset(i for i, name in enumerate(self._names) if name in self.static)

    def require(self, unknown: frozenset[str] | set[str], what: str) -> None:
        """Raises ArgumentError if ``unknown`` names, which no parameter has, cannot be keywords either."""
        if unknown and not self.open:
            raise ArgumentError(f"{self.name} has no parameter {sorted(unknown)[0]!r}, which {what}= names")

    def argument(self, position: int) -> str:
        """What a positional argument is called."""
        return self._names[position] if position < len(self._names) else f"argument {position}"

    def flatten(self, args: tuple[Any, ...], kwargs: dict[str, Any], leaves: list[Any]) -> Call:
        """Appends the Tensors and floats to ``leaves`` and describes the call.

        Raises:
            OperandError: an argument can be neither a leaf nor compared.
        """
        try:
            described: list[Any] = []
            for position, value in enumerate(args):
                if position in self._fixed:
                    described.append(self._static(value))
                else:
                    described.append(structure.flatten(value, leaves, _admit))
            if not kwargs:
                return (tuple(described), (), ())
            named = [
                self._static(value) if name in self.static else structure.flatten(value, leaves, _admit)
                for name, value in kwargs.items()
            ]
            return (tuple(described), tuple(kwargs), tuple(named))
        except OperandError as error:
            raise OperandError(f"{self.name}: {error}") from None

    def _static(self, value: Any) -> Static:
        try:
            hash(value)
        except TypeError:
            raise OperandError(
                f"a static argument must be hashable, so that calls can be compared, and a {type(value).__name__} is "
                "not; pass a tuple or a frozen dataclass, or take it out of static_argnames"
            ) from None
        return Static(value, by_value=True)

    def places(self, call: Call) -> Iterator[str]:
        """Where each leaf stands, in words: ``x``, ``batch.y``, ``pair[0]['bias']``."""
        for position, described in enumerate(call[0]):
            yield from _places(described, self.argument(position))
        for name, described in zip(call[1], call[2], strict=True):
            yield from _places(described, name)

    def difference(self, old: Call, new: Call) -> str:
        """In words, what changed between two calls."""
        if len(old[0]) != len(new[0]) or old[1] != new[1]:
            return "other arguments were given"
        names = [*[self.argument(position) for position in range(len(old[0]))], *old[1]]
        for name, first, second in zip(names, (*old[0], *old[2]), (*new[0], *new[2]), strict=True):
            if first != second:
                return structure.difference(first, second, name)
        return "the arguments changed"


def unflatten(call: Call, leaves: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a described call, with ``leaves`` in the places of Tensors and floats."""
    iterator = iter(leaves)
    args = [structure.rebuilt(described, iterator) for described in call[0]]
    return args, {name: structure.rebuilt(d, iterator) for name, d in zip(call[1], call[2], strict=True)}


def same_tensors(leaves: list[Any]) -> tuple[int, ...]:
    """Of each leaf, the place of the first that is the same object; nothing where all are different ones."""
    if len(leaves) < 2 or len({*map(id, leaves)}) == len(leaves):
        return ()
    first: dict[int, int] = {}
    return tuple([first.setdefault(id(leaf), place) for place, leaf in enumerate(leaves)])


def wrap_numbers(leaves: list[Any], numbers: tuple[int, ...], backend: Backend) -> None:
    """Puts 0-d Tensors in the places of Python floats, in 64 bits if a Tensor among the leaves or the default has."""
    if not numbers:
        return
    dtypes = [
        leaf.dtype if isinstance(leaf, TensorSpec) else backend.dtype(leaf._native)
        for leaf in leaves
        if leaf.__class__ is not float
    ]
    wide = default_dtype().is_wide or any(dtype.is_wide and dtype.is_inexact for dtype in dtypes)
    for position in numbers:
        leaves[position] = wrap(backend.compiler.number(leaves[position], wide))


def _admit(value: Any, leaves: list[Any]) -> Any:
    if isinstance(value, TensorSpec):
        leaves.append(value)
        return structure.LEAF
    if isinstance(value, float):
        leaves.append(float(value))
        return structure.LEAF
    if isinstance(value, np.generic):
        number = value.item()
        return _admit(number, leaves) if isinstance(number, float) else Static(number)
    if isinstance(value, np.ndarray):
        raise OperandError(
            "a numpy array among the arguments would become a constant of the program; pass un.tensor(array)"
        )
    if type(value).__hash__ is None:
        raise OperandError(
            f"an argument of type {type(value).__name__} is neither a Tensor, nor a container that can be taken "
            "apart (tuple, list, dict, dataclass), nor hashable, so that calls cannot be compared; pass one of "
            "those, or let the function reach it by a closure or an attribute"
        )
    return Static(value)


def _places(described: Any, where: str) -> Iterator[str]:
    if described is structure.LEAF:
        yield where
    elif not isinstance(described, Static):
        keys = described[1] if len(described) > 2 else range(len(described[-1]))
        for key, member in zip(keys, described[-1], strict=True):
            yield from _places(member, f"{where}.{key}" if isinstance(key, str) else f"{where}[{key!r}]")
