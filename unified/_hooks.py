"""Handles of registered hooks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Protocol

from unified._epoch import module_hooks, state_epoch

OF_LEAF = (state_epoch,)
OF_MODULE = (state_epoch, module_hooks)
"""The epochs that compiled programs guard their hooks by."""

_ids = itertools.count()

Hook = Callable[..., Any]


class Counter(Protocol):
    """What compiled programs look at for changes."""

    def bump(self) -> None:
        """Says that there is one."""


class RemovableHandle:
    """What registering a hook returns: ``remove()`` takes the hook off again; ``with`` does so at the end."""

    def __init__(self, hooks: dict[int, Any], epochs: tuple[Counter, ...] = ()) -> None:
        self._hooks = hooks
        self._epochs = epochs
        self.id = next(_ids)

    def remove(self) -> None:
        """Takes the hook off; does nothing the second time."""
        if self._hooks.pop(self.id, None) is not None:
            self.changed()

    def changed(self) -> None:
        """Says that a compiled program may have other hooks in it now."""
        for epoch in self._epochs:
            epoch.bump()

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def register(hooks: dict[int, Any], entry: Any, prepend: bool, epochs: tuple[Counter, ...] = ()) -> RemovableHandle:
    """Puts ``entry`` last among ``hooks``, or first; ``epochs`` count that it comes, and that it goes."""
    handle = RemovableHandle(hooks, epochs)
    handle.changed()
    if prepend:
        later = dict(hooks)
        hooks.clear()
        hooks[handle.id] = entry
        hooks.update(later)
    else:
        hooks[handle.id] = entry
    return handle
