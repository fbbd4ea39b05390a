"""Python's own side effects while a function is traced, where they can be told: they do not happen at each call."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

from unified.compile.reach import instance_of, variables

_CONTAINERS = (list, dict, set)
_NUMBERS = (int, float, str)


def _reached(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    for name, value in getattr(instance_of(function), "__dict__", {}).items():
        yield f"self.{name}", value
    for name, _, _, value in variables(function):
        yield name, value


class Effects:
    """A look at lists, dicts, sets, numbers and strings within a function's reach, before it is traced."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._before = self._look()

    def _look(self) -> dict[str, Any]:
        found = {}
        for name, value in _reached(self._function):
            if type(value) in _CONTAINERS:
                found[name] = (id(value), len(value))
            elif type(value) in _NUMBERS:
                found[name] = value
        return found

    def warn(self, called: str) -> None:
        """Warns of what has changed since."""
        after = self._look()
        changed = [name for name, was in self._before.items() if name in after and after[name] != was]
        if changed:
            warnings.warn(
                f"{called}: {', '.join(changed)} changed while the function was traced. Python's own side effects "
                "happen while tracing only, not at every call; return the value, or keep it in a Tensor",
                stacklevel=5,
            )
