"""The public ops by family, and their installation as methods of Tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unified import _dispatch
from unified._tensor import Tensor
from unified.ops import (
    arithmetic,
    comparison,
    complex,
    contraction,
    conversion,
    creation,
    distance,
    elementwise,
    factorization,
    fft,
    indexing,
    joining,
    linalg,
    masked,
    order,
    reduction,
    scan,
    scatter,
    search,
    shape,
    solve,
    special,
    spectrogram,
    statistics,
    windows,
)  # fmt: skip

_REFLECTED = frozenset(
    {
        "__rsub__", "__rdiv__", "__rtruediv__", "__rfloordiv__", "__rmod__", "__rpow__", "__rlshift__", "__rrshift__",
        "__rmatmul__",
    }
)  # fmt: skip


def _reflected(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Tensor, other: Any) -> Any:
        return function(other, self)

    return method


def _variadic(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Tensor, *sizes: Any, **options: Any) -> Any:
        if len(sizes) == 1 and not isinstance(sizes[0], int):
            sizes = tuple(sizes[0])
        return function(self, sizes, **options) if sizes or not options else function(self, **options)

    return method


def _in_place(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Tensor, *args: Any, **options: Any) -> Tensor:
        return self._assign(function(self, *args, **options))

    return method


def _in_place_operator(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Tensor, other: Any) -> Tensor:
        return self._assign(function(self, other))

    return method


def install_methods() -> None:
    """Gives Tensor every method and operator that the op table and the functions in front of it name."""
    entries: list[_dispatch.Op | _dispatch.Front] = [*_dispatch.table.values(), *_dispatch.fronts]
    for entry in entries:
        caller = entry.caller
        assert caller is not None
        for name in entry.methods:
            if name in _REFLECTED:
                method = _reflected(caller)
            elif name.endswith("_") and not name.startswith("__"):
                method = _in_place(_variadic(caller) if entry.variadic else caller)
            else:
                method = _variadic(caller) if entry.variadic else caller
            if method is not caller:
                method.__name__, method.__doc__ = name, caller.__doc__
                method.__qualname__ = f"Tensor.{name}"
            setattr(Tensor, name, method)
            in_place = f"__i{name[2:]}"
            if name.startswith("__") and f"{entry.name}_" in entry.methods and f"__r{name[2:]}" in entry.methods:
                setattr(Tensor, in_place, _in_place_operator(caller))


install_methods()
