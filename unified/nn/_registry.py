"""A Module's members of one kind by name, each an attribute of the Module too, so that Python finds it at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Registry(dict[str, Any]):
    """A dict that keeps its items among ``attributes``, the ``__dict__`` of a Module.

    ``__getattr__`` would be asked only after an ordinary look-up has failed, which costs ten times as much.
    """

    __slots__ = ("attributes",)

    def __init__(self, attributes: dict[str, Any], members: Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__()
        self.attributes = attributes
        self.update(members)

    def __setitem__(self, name: str, member: Any) -> None:
        super().__setitem__(name, member)
        self.attributes[name] = member

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self.attributes.pop(name, None)

    def pop(self, name: str, *default: Any) -> Any:
        """As of dict."""
        if name in self:
            self.attributes.pop(name, None)
        return super().pop(name, *default)

    def popitem(self) -> tuple[str, Any]:
        """As of dict."""
        name, member = super().popitem()
        self.attributes.pop(name, None)
        return name, member

    def clear(self) -> None:
        """As of dict."""
        for name in self:
            self.attributes.pop(name, None)
        super().clear()

    def update(self, *members: Any, **named: Any) -> None:
        """As of dict."""
        for name, member in dict(*members, **named).items():
            self[name] = member

    def __ior__(self, members: Any) -> Registry:  # type: ignore[override,misc]
        self.update(members)
        return self

    def setdefault(self, name: str, default: Any = None) -> Any:
        """As of dict."""
        if name not in self:
            self[name] = default
        return self[name]

    def copy(self) -> dict[str, Any]:
        """A plain dict, which belongs to no Module."""
        return dict(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)  # the Module that is made of it brings its own attributes
