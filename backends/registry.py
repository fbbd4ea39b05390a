"""Which backends exist, and the one place where a framework is ever imported."""

from __future__ import annotations

import importlib
import importlib.util
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from unified.backends.protocol import Backend
from unified.errors import BackendError, MissingBackendError, UnknownBackendError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "unified.backends"
"""Entry-point group. A distribution that names ``mine = "package.module:BACKEND"`` in it adds a backend."""

_PREFERENCE = ("torch", "jax", "tensorflow")
_loaded: dict[str, Backend] = {}
_lock = threading.RLock()
_on_load: list[Callable[[Backend], None]] = []


def _entry_points() -> dict[str, EntryPoint]:
    metadata = importlib.import_module("importlib.metadata")  # a tenth of `import unified`, which need not pay for it
    found = {point.name: point for point in metadata.entry_points(group=GROUP)}
    ranks = {name: rank for rank, name in enumerate(_PREFERENCE)}
    return dict(sorted(found.items(), key=lambda item: (ranks.get(item[0], len(ranks)), item[0])))


def registered() -> tuple[str, ...]:
    """Names of all registered backends, installed or not, preferred ones first."""
    return tuple(_entry_points())


def loaded() -> tuple[Backend, ...]:
    """The backends that this process has used so far."""
    return tuple(_loaded.values())


def on_load(callback: Callable[[Backend], None]) -> None:
    """Calls ``callback`` with each backend that is loaded from now on."""
    _on_load.append(callback)


def check(name: str) -> None:
    """Raises UnknownBackendError unless a backend of that name is registered."""
    if name not in _loaded and name not in _entry_points():
        known = ", ".join(repr(n) for n in registered())
        raise UnknownBackendError(f"unknown backend {name!r}; registered backends are {known}")


def load(name: str) -> Backend:
    """The backend of that name; imports its framework on the first call.

    Raises:
        UnknownBackendError: nothing is registered under the name.
        MissingBackendError: the framework is not installed; names the extra that brings it.
    """
    backend = _loaded.get(name)
    if backend is not None:
        return backend
    check(name)
    with _lock:
        if name in _loaded:
            return _loaded[name]
        point = _entry_points()[name]
        try:
            candidate: Any = point.load()
        except ImportError as error:
            raise MissingBackendError(
                f"backend {name!r} is registered but cannot be imported ({error}); "
                f"install it with: pip install 'unified-nn[{name}]'"
            ) from error
        if not isinstance(candidate, Backend):
            absent = sorted(n for n in _members() if not hasattr(candidate, n))
            raise BackendError(f"{point.value} does not satisfy the Backend protocol: it lacks {absent}")
        backend = _loaded[name] = candidate
        for callback in _on_load:
            callback(backend)
    return backend


def _members() -> set[str]:
    names = set(Backend.__annotations__) | set(vars(Backend))
    return {name for name in names if not name.startswith("_")}


def available() -> tuple[str, ...]:
    """Registered backends whose framework is installed. Imports none of them."""
    return tuple(name for name in registered() if name in _loaded or why_missing(name) is None)


def why_missing(name: str) -> str | None:
    """None where the backend's framework can be found, else a sentence; imports nothing but specs."""
    point = _entry_points()[name]
    root = point.value.split(":")[0]
    framework = name if root.startswith("unified.backends.") else root.split(".")[0]
    if importlib.util.find_spec(framework) is None:
        return f"{framework} is not installed: pip install 'unified-nn[{name}]'"
    return None


def owner_of(kind: type) -> Backend | None:
    """The loaded backend whose tensors have this type; None if it is no backend's."""
    for backend in _loaded.values():
        if backend.owns(kind):
            return backend
    return None
