"""An entry of the op table: its signature, what derives from it, and its implementations by native type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import numpy as np

from unified._caller import Parameter, ParameterKind
from unified.backends import registry
from unified.backends.protocol import Backend, Native
from unified.errors import IndexOutOfRangeError, OperandError


class _BackendByType(dict[type, Backend]):
    def __missing__(self, kind: type) -> Backend:
        backend = registry.owner_of(kind)
        if backend is None:
            raise OperandError(f"{kind.__module__}.{kind.__qualname__} is no tensor of a loaded backend")
        self[kind] = backend
        return backend


backends_by_type = _BackendByType()


class _Implementations(dict[Any, Callable[..., Any]]):
    """An op's callables by native type, or by Backend for an op that creates tensors out of nothing."""

    __slots__ = ("op",)

    def __init__(self, op: Op) -> None:
        super().__init__()
        self.op = op

    def __missing__(self, key: Any) -> Callable[..., Any]:
        if isinstance(key, type):
            function = backends_by_type[key].implement(self.op, key)
        else:
            function = key.implement(self.op, None)
        self[key] = function
        return function


Indices = Callable[..., Iterable[tuple[Native, int, int, bool]]]
"""From an op's arguments its indices, each with its dimension, that one's length, and whether negative ones count."""


class Spec:
    """Shape and dtype of an operand, for an op's check. Quacks like a Tensor that has no values."""

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape = shape
        self.dtype = dtype


def spec(value: Any) -> Any:
    """A native as its :class:`Spec`, a list of them as such a list, anything else as it is."""
    if isinstance(value, (list, tuple)):
        return [spec(member) for member in value]
    if isinstance(value, (bool, int, float, complex, str)) or value is None:
        return value
    try:
        backend = backends_by_type[type(value)]
    except OperandError:
        return value
    return Spec(tuple(backend.shape(value)), backend.dtype(value))


Mask = tuple[tuple[int, int], ...]
"""Operands of an op, each as (position, index in a sequence or -1)."""


class Op:
    """One entry of the table. Satisfies ``protocol.OpSpec``."""

    __slots__ = (
        "_derived", "by_result", "caller", "check", "composite", "implementations", "indices", "mask", "methods",
        "name", "of_result", "parameters", "primal", "returns", "static", "transform", "variadic", "whole_program",
    )  # fmt: skip

    def __init__(self, name: str, parameters: tuple[Parameter, ...], returns: Any) -> None:
        self.name = name
        self.parameters = parameters
        self.static = tuple(i for i, p in enumerate(parameters) if p.kind is ParameterKind.STATIC)
        self.returns = returns
        self.composite: Callable[..., Any] | None = None
        self.check: Callable[..., None] | None = None
        self.indices: Indices | None = None
        self.primal: Op | None = None
        self.transform = ""
        self.mask: Mask = ()
        self.methods: tuple[str, ...] = ()
        self.variadic = False
        self.whole_program = False
        self.by_result: Op | None = None
        """What the tape records in this op's place, with the result in the place of its first operand."""
        self.of_result = False
        """Whether its operand, on the tape, is what its own call gave."""
        self.implementations = _Implementations(self)
        self.caller: Callable[..., Any] | None = None
        self._derived: dict[tuple[str, Mask], Op] = {}

    def __repr__(self) -> str:
        return f"<op {self.name}({', '.join(p.name for p in self.parameters)})>"

    def guard(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function`` behind the op's check, for backends whose natives accept what PyTorch refuses."""
        check = self.check
        if check is None:
            return function

        def guarded(*natives: Any) -> Any:
            check(*[spec(value) for value in natives])
            return function(*natives)

        return guarded

    def within(self, function: Callable[..., Any], host: Callable[[Native], Any]) -> Callable[..., Any]:
        """``function`` behind a look at the values of its indices, for backends where an index clamps or wraps.

        ``host`` gives an index as a numpy array, or None where it has no values (inside a trace).
        """
        if self.indices is None:
            return function

        def looking(*natives: Any) -> Any:
            self.look(natives, host)
            return function(*natives)

        return looking

    def look(self, natives: Sequence[Any], host: Callable[[Native], Any]) -> None:
        """Raises IndexOutOfRangeError for the first index that lies outside of its dimension."""
        assert self.indices is not None
        for index, dim, length, wraps in self.indices(*natives):
            values = host(index)
            if values is None or not values.size:
                continue
            least = -length if wraps else 0
            low, high = np.minimum.reduce(values, None), np.maximum.reduce(values, None)
            if low < least or high >= length:
                found = low if low < least else high
                raise IndexOutOfRangeError(f"index {found} is out of range for dimension {dim} of length {length}")

    def takes_tensors(self) -> bool:
        """False for an op that creates a tensor out of nothing (zeros, arange)."""
        return any(p.kind is not ParameterKind.STATIC and p.kind is not ParameterKind.SCALAR for p in self.parameters)

    def operands(self, args: Sequence[Any]) -> list[Any]:
        """What ``args`` has besides constants of the program, members of sequences one by one."""
        found: list[Any] = []
        for parameter, value in zip(self.parameters, args, strict=True):
            if parameter.kind is not ParameterKind.STATIC:
                found += value if isinstance(value, (list, tuple)) else (value,)
        return found

    def mapped(self, args: Sequence[Any], function: Callable[[Any], Any]) -> list[Any]:
        """``args`` with ``function`` of each of :meth:`operands` in its place."""
        return [
            value if parameter.kind is ParameterKind.STATIC
            else [function(member) for member in value] if isinstance(value, (list, tuple))
            else function(value)
            for parameter, value in zip(self.parameters, args, strict=True)
        ]  # fmt: skip

    def pullback(self, mask: Mask) -> Op:
        """The op (*arguments, cotangents) -> cotangents of the operands that ``mask`` names."""
        return self._derive("pullback", mask, f"{self.name}_backward", "cotangents")

    def recorded_by_result(self) -> Op:
        """An op for ``by_result``, whose pullback (result, cotangents) is yet to be given a composite."""
        kept = Op(self.name, self.parameters, None)
        kept.of_result = True
        pull = Op(f"{self.name}_backward", self._with("cotangents"), tuple)
        pull.transform, pull.mask = "pullback", ((0, -1),)
        kept._derived["pullback", pull.mask] = pull
        return kept

    def _with(self, last: str | None) -> tuple[Parameter, ...]:
        added = () if last is None else (Parameter(last, ParameterKind.SEQUENCE, required=True, keyword=False),)
        return (*self.parameters, *added)

    def pushforward(self, mask: Mask) -> Op:
        """The op (*arguments, tangents of the operands that ``mask`` names) -> outputs, then their tangents."""
        return self._derive("pushforward", mask, f"{self.name}_forward", "tangents")

    def batched(self, mask: Mask) -> Op:
        """The op with a batch dimension in front of the operands that ``mask`` names, and of every output."""
        return self._derive("batched", mask, f"{self.name}_batched", None)

    def chosen(self, operands: Sequence[Any]) -> list[Any]:
        """The operands that the mask names."""
        return [operands[position] if index < 0 else operands[position][index] for position, index in self.mask]

    def of_chosen(self, function: Callable[..., Any], operands: Sequence[Any]) -> Callable[..., Any]:
        """``function`` of the operands that the mask names, with the other ones as they are in ``operands``."""
        sequences = {position for position, index in self.mask if index >= 0}

        def function_of_chosen(*chosen: Any) -> Any:
            values = [list(value) if position in sequences else value for position, value in enumerate(operands)]
            for (position, index), value in zip(self.mask, chosen, strict=True):
                if index < 0:
                    values[position] = value
                else:
                    values[position][index] = value
            return function(*values)

        return function_of_chosen

    def _derive(self, transform: str, mask: Mask, name: str, last: str | None) -> Op:
        found = self._derived.get((transform, mask))
        if found is None:
            found = Op(name, self._with(last), self.returns if last is None else tuple)
            found.transform, found.mask = transform, mask
            if self.whole_program and transform == "pullback":
                found.composite = cast(Any, self.composite).derive(mask)  # by what is recorded within it
                found.whole_program = True
            else:
                found.primal = self
            self._derived[transform, mask] = found
        return found
