"""Counters of what compiled functions guard on, so that a call compares integers and looks no further."""

from __future__ import annotations


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
