"""Tensors whose value lies in a framework's own module, which sees what we write and whose writes we see."""

from __future__ import annotations

from typing import Any

from unified._dispatch import backends_by_type
from unified._engine import engine_of
from unified._tensor import Tensor
from unified.backends.protocol import Cell, Native
from unified.errors import BackendError
from unified.nn.parameter import Parameter

_slot: Any = Tensor.__dict__["_native"]


class _Shared:
    """The value is read from the cell and written to it; while a program is traced it is the trace's own."""

    __slots__ = ()

    _cell: Cell

    @property
    def _native(self) -> Native:
        held = _slot.__get__(self)
        if not hasattr(self, "_cell") or backends_by_type[type(held)].compiler.is_traced(held):
            return held
        current = self._cell.read(held)
        if current is not held:
            _slot.__set__(self, current)
        return current

    @_native.setter
    def _native(self, native: Native) -> None:
        if hasattr(self, "_cell"):
            backend, own = backends_by_type[type(native)], backends_by_type[type(_slot.__get__(self))]
            if backend is not own:
                raise BackendError(
                    f"a Tensor that is shared with a module of {own.framework} cannot move to {backend.name}; move a "
                    "copy, x.detach().clone().to(backend=...)"
                )
            if not backend.compiler.is_traced(native):
                self._cell.write(native)
        _slot.__set__(self, native)


class SharedTensor(_Shared, Tensor):
    """A buffer of a framework's own module."""

    def __init__(self, native: Native, cell: Cell) -> None:
        _slot.__set__(self, native)
        self._node = None
        self._shared = True
        self._cell = cell

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        duplicate: Tensor = self.detach().clone()
        memo[id(self)] = duplicate
        return duplicate


class SharedParameter(_Shared, Parameter):
    """A parameter of a framework's own module. A copy of it is a parameter of its own."""

    def __init__(self, native: Native, cell: Cell, trains: bool) -> None:
        _slot.__set__(self, native)
        self._node = None
        self._shared = True
        if trains:
            self.requires_grad_()
        self._cell = cell

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        duplicate = Parameter(self.detach().clone(), self.requires_grad)
        memo[id(self)] = duplicate
        return duplicate


def share(param: Parameter, cell: Cell) -> None:
    """From here on ``param``, which stays the same object, has its value in ``cell``."""
    engine_of(param).read_grad(param)  # what has been delivered for it is collected
    param.__class__ = SharedParameter
    param._shared = True
    param._cell = cell  # type: ignore[attr-defined]
