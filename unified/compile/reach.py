"""What a function reaches in one step: its instance, variables around it, globals that it names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any


def instance_of(function: Callable[..., Any]) -> Any:
    """What a bound method belongs to, or an object that is called; None for a plain function."""
    return getattr(function, "__self__", None if inspect.isfunction(function) else function)


def variables(function: Callable[..., Any]) -> Iterator[tuple[str, Any, Any, Any]]:
    """Names with what holds them, the key there, and the value; in a closure's cell the key is None."""
    plain = getattr(function, "__func__", function)
    code = getattr(plain, "__code__", None)
    if code is None:
        return
    for name, cell in zip(code.co_freevars, plain.__closure__ or (), strict=False):
        try:
            yield name, cell, None, cell.cell_contents
        except ValueError:  # not filled yet
            continue
    for name in code.co_names:
        if name in plain.__globals__:
            yield name, plain.__globals__, name, plain.__globals__[name]
