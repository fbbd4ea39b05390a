"""Attributes of Modules: how they hold members, and what code that is traced has read of them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from unified._epoch import state_epoch

_ATOMS = (bool, int, float, complex, str, bytes, type(None))
_MISSING = object()


class Observed:
    """Base of Modules, of which compiled programs are made for the attributes that they have."""


class Registry(dict[str, Any]):
    """A Module's members of one kind by name, which it keeps among ``attributes`` too, the Module's ``__dict__``.

    So Python finds each at once. ``__getattr__`` would be asked only after an ordinary look-up has failed, which
    costs ten times as much.
    """

    __slots__ = ("attributes",)

    def __init__(self, attributes: dict[str, Any], members: Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__()
        self.attributes = attributes
        self.update(members)

    def __setitem__(self, name: str, member: Any) -> None:
        super().__setitem__(name, member)
        self.attributes[name] = member
        state_epoch.bump()

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self.attributes.pop(name, None)
        state_epoch.bump()

    def pop(self, name: str, *default: Any) -> Any:
        """As of dict."""
        if name in self:
            self.attributes.pop(name, None)
            state_epoch.bump()
        return super().pop(name, *default)

    def popitem(self) -> tuple[str, Any]:
        """As of dict."""
        name, member = super().popitem()
        self.attributes.pop(name, None)
        state_epoch.bump()
        return name, member

    def clear(self) -> None:
        """As of dict."""
        for name in self:
            self.attributes.pop(name, None)
        super().clear()
        state_epoch.bump()

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


# ---- what is read --------------------------------------------------------------------------------------------------

_OTHERWISE_GUARDED = frozenset({"_module_hooks", "_state_hooks", "_transient", "_configuration"})


class Reads:
    """The attributes of Modules that this thread reads within, each with what it held then.

    Only while somebody looks on does a look-up go through Python; it is an ordinary one at all other times.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[int, str], tuple[Observed, str, Any]] = {}

    @contextlib.contextmanager
    def observing(self) -> Iterator[None]:
        """Looks on."""
        thread, found = threading.get_ident(), self._found
        before = Observed.__dict__.get("__getattribute__")

        def read(owner: Any, name: str) -> Any:
            new = threading.get_ident() == thread and (id(owner), name) not in found
            if new and not name.startswith("__") and name not in _OTHERWISE_GUARDED:
                found[id(owner), name] = (owner, name, _held(owner, name))
            return object.__getattribute__(owner, name)

        Observed.__getattribute__ = read  # type: ignore[method-assign]
        try:
            yield
        finally:
            if before is None:
                del Observed.__getattribute__
            else:
                Observed.__getattribute__ = before  # type: ignore[method-assign]

    def settle(self) -> None:
        """Forgets what has changed since: the code that was traced did that itself."""
        for key, (owner, name, was) in list(self._found.items()):
            if not _same(was, _held(owner, name)):
                del self._found[key]

    def _changes(self) -> Iterator[tuple[Any, str, Any, Any]]:
        for owner, name, was in self._found.values():
            now = _held(owner, name)
            if was is not now and not _same(was, now):
                yield owner, name, was, now

    def changed(self) -> str | None:
        """Which one holds something else now, in words."""
        for owner, name, was, now in self._changes():
            kind = type(owner).__name__
            what = f"the {_KINDS[name]} of a {kind}" if name in _KINDS else f"{kind}.{name.removeprefix('_')}"
            return f"{what} changed{_from_to(was, now)}"
        return None

    @contextlib.contextmanager
    def put_back(self) -> Iterator[None]:
        """Has the attributes hold again, within, what they held when they were read."""
        present = list(self._changes())
        for owner, name, was, _ in present:
            _put(owner, name, was)
        try:
            yield
        finally:
            for owner, name, _, now in present:
                _put(owner, name, now)


_KINDS = {"_parameters": "parameters", "_buffers": "buffers", "_modules": "children"}


def _held(owner: Any, name: str) -> Any:
    held = object.__getattribute__(owner, "__dict__").get(name, _MISSING)
    return tuple(held.items()) if isinstance(held, Registry) else held


def _put(owner: Any, name: str, held: Any) -> None:
    attributes = object.__getattribute__(owner, "__dict__")
    if isinstance(attributes.get(name), Registry):
        attributes[name].clear()
        attributes[name].update(held)
    elif held is _MISSING:
        attributes.pop(name, None)
    else:
        attributes[name] = held


def _same(was: Any, now: Any) -> bool:
    """Whether a program made for the one holds for the other: plain values are equal, others one object."""
    if was is now:
        return True
    if type(was) is not type(now):
        return False
    if isinstance(was, tuple):
        return len(was) == len(now) and all(map(_same, was, now))
    return isinstance(was, _ATOMS) and bool(was == now)


def _from_to(was: Any, now: Any) -> str:
    if isinstance(was, _ATOMS) and isinstance(now, _ATOMS):
        return f" from {was!r} to {now!r}"
    return ""
