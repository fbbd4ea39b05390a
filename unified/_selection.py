"""Which backend new Tensors belong to: a default for the process, and scopes within a thread."""

from __future__ import annotations

import os
import threading
from types import TracebackType

from unified.backends import registry
from unified.backends.protocol import Backend
from unified.errors import MissingBackendError

ENVIRONMENT = "UNIFIED_BACKEND"


class _Scopes(threading.local):
    def __init__(self) -> None:
        self.stack: list[Backend] = []


_scopes = _Scopes()
_default: Backend | None = None


def _first_available() -> str:
    names = registry.available()
    if not names:
        raise MissingBackendError(
            "no backend is installed; install one with: pip install 'unified-nn[torch]' (or [jax], [tensorflow])"
        )
    return names[0]


def current_backend() -> Backend:
    """The backend in force here: the innermost scope, else the default, else ``UNIFIED_BACKEND``, else the first."""
    global _default
    if _scopes.stack:
        return _scopes.stack[-1]
    if _default is None:
        _default = registry.load(os.environ.get(ENVIRONMENT) or _first_available())
    return _default


def get_backend() -> str:
    """Name of the backend that new Tensors belong to, e.g. ``"torch"``."""
    return current_backend().name


def set_backend(name: str) -> None:
    """Makes ``name`` the process's default backend. Existing Tensors stay where they are.

    Raises:
        UnknownBackendError: nothing is registered under the name.
        MissingBackendError: its framework is not installed.
    """
    global _default
    _default = registry.load(name)


def available_backends() -> tuple[str, ...]:
    """Names of the backends whose framework is installed, e.g. ``("torch", "jax")``; imports none of them."""
    return registry.available()


class backend:  # noqa: N801  (reads as a statement: with un.backend("jax"):)
    """``with un.backend("jax"): ...`` uses that backend for new Tensors within the block, in this thread.

    Raises:
        UnknownBackendError, MissingBackendError: as :func:`set_backend`, on construction.
    """

    def __init__(self, name: str) -> None:
        self._backend = registry.load(name)

    def __enter__(self) -> str:
        _scopes.stack.append(self._backend)
        return self._backend.name

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        _scopes.stack.pop()
