"""Counters of what compiled functions guard on, so that a call compares integers and looks no further."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any


class Epoch:
    """Counts changes of what compiled functions guard on (train/eval, requires_grad): one integer to compare."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def bump(self) -> None:
        self.value += 1


state_epoch = Epoch()
module_hooks = Epoch()
"""Counts registered and removed hooks of Modules, which any compiled function may call."""

_replaced: dict[int, int] = {}


def note_replaced(tensors: Iterable[Any]) -> None:
    """Says that these Tensors have made room for others in a Module, where compiled programs may have found them."""
    state_epoch.bump()
    for tensor in tensors:
        _replaced[id(tensor)] = state_epoch.value
        weakref.finalize(tensor, _replaced.pop, id(tensor), None).atexit = False


def replaced_since(tensor: Any, epoch: int) -> bool:
    """Whether that was said of ``tensor`` after ``state_epoch`` had this value."""
    return _replaced.get(id(tensor), 0) > epoch
