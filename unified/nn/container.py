"""Modules made of Modules: a chain, a list, a dict."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, overload

from unified.errors import ArgumentError, OperandError
from unified.nn.module import Module, _indent, _layout


class _Numbered(Module):
    """Children named "0", "1", ...: what Sequential and ModuleList share."""

    _modules: dict[str, Module]  # type: ignore[assignment]

    def _position(self, index: Any) -> str:
        position = operator.index(index)
        count = len(self._modules)
        if not -count <= position < count:
            raise IndexError(f"index {position} is out of range")
        return str(position % count)

    def _renumber(self, modules: Iterable[Module]) -> None:
        renumbered = {str(index): module for index, module in enumerate(modules)}
        self._modules.clear()
        self._modules.update(renumbered)

    @overload
    def __getitem__(self, index: slice) -> Self: ...
    @overload
    def __getitem__(self, index: int) -> Any: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self._of(list(self._modules.items())[index])
        return self._child(index)

    def _child(self, index: Any) -> Module:
        return list(self._modules.values())[int(self._position(index))]

    def _of(self, items: list[tuple[str, Module]]) -> Self:
        raise NotImplementedError

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, list(self._modules)[int(self._position(index))], module)

    def __delitem__(self, index: int | slice) -> None:
        modules = list(self._modules.values())
        del modules[index if isinstance(index, slice) else int(self._position(index))]
        self._renumber(modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __reversed__(self) -> Iterator[Any]:
        return reversed(self._modules.values())

    def __add__(self, other: Iterable[Module]) -> Self:
        """A new one of the Modules of both, which it shares with them."""
        joined = self._of(list({str(index): module for index, module in enumerate(self)}.items()))
        return joined.extend(other)

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.isdigit()]

    def append(self, module: Module) -> Self:
        """Adds a Module at the end; returns itself."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Adds Modules at the end; returns itself."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> None:
        """Puts a Module before the one at ``index``."""
        modules = list(self._modules.values())
        modules.insert(index, module)
        self._renumber(modules)

    def pop(self, index: int = -1) -> Module:
        """Takes out the Module at ``index`` and returns it."""
        module = self._child(index)
        del self[index]
        return module


class Sequential(_Numbered):
    """Modules applied one after another: ``Sequential(a, b)`` or ``Sequential({"first": a, "second": b})``.

    Example:
        >>> nn.Sequential(nn.Linear(4, 8), nn.ReLU())(un.ones(2, 4)).shape
        unified.Size([2, 8])
    """

    _holds_children_only = True

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            named = modules[0].items()
        else:
            named = {str(index): module for index, module in enumerate(modules)}.items()
        for name, module in named:
            self.add_module(name, module)

    def _of(self, items: list[tuple[str, Module]]) -> Self:
        return type(self)(dict(items))

    def __mul__(self, times: int) -> Self:
        """A new one that applies the same Modules so many times."""
        return type(self)(*self._repeated(times))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Self:
        self._renumber(self._repeated(times))
        return self

    def _repeated(self, times: int) -> list[Module]:
        if not isinstance(times, int):
            raise OperandError(f"a Sequential is repeated an int of times, not {type(times).__name__}")
        if times <= 0:
            raise ArgumentError(f"a Sequential is repeated a positive number of times, not {times}")
        return list(self) * times

    def forward(self, input: Any) -> Any:
        """The last Module's output."""
        for module in self._modules.values():
            input = module(input)
        return input


class ModuleList(_Numbered):
    """A list of Modules that are registered; it computes nothing itself."""

    _holds_children_only = True

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def _of(self, items: list[tuple[str, Module]]) -> Self:
        return type(self)([module for _, module in items])

    def __repr__(self) -> str:
        """PyTorch's: equal neighbours are printed once, with their count."""
        groups: list[tuple[int, int, str]] = []
        for index, text in enumerate(map(repr, self)):
            if groups and groups[-1][2] == text:
                groups[-1] = (groups[-1][0], index, text)
            else:
                groups.append((index, index, text))
        children = [
            f"({first}): {_indent(text)}"
            if first == last
            else f"({first}-{last}): {last - first + 1} x {_indent(text)}"
            for first, last, text in groups
        ]
        return _layout(type(self).__name__, self.extra_repr(), children)


class ModuleDict(Module):
    """A dict of Modules that are registered; it computes nothing itself."""

    _modules: dict[str, Module]  # type: ignore[assignment]

    _holds_children_only = True

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Module]:
        """The Modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """The names with their Modules."""
        return self._modules.items()

    def pop(self, key: str) -> Module:
        """Takes out the Module of that name and returns it."""
        return self._modules.pop(key)

    def clear(self) -> None:
        """Takes out all."""
        self._modules.clear()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Adds or replaces Modules by name."""
        for name, module in modules.items() if isinstance(modules, Mapping) else modules:
            self[name] = module
