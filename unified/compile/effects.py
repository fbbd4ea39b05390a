"""Python's own side effects while a function is traced, where they can be told: they do not happen at each call."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any

_CONTAINERS = (list, dict, set)
_NUMBERS = (int, float, str)


def _reached(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """What a function reaches in one step: variables around it, globals that it names, attributes of its instance."""
    holder = getattr(function, "__self__", None if inspect.isfunction(function) else function)
    for name, value in getattr(holder, "__dict__", {}).items():
        yield f"self.{name}", value
    plain = getattr(function, "__func__", function)
    code = getattr(plain, "__code__", None)
    if code is None:
        return
    for name, cell in zip(code.co_freevars, plain.__closure__ or (), strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not filled yet
            continue
    for name in code.co_names:
        if name in plain.__globals__:
            yield name, plain.__globals__[name]


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
