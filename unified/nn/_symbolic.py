"""Symbolic Tensors: a call on them records what it would compute, and the shapes and dtypes of its results.

The native of a symbolic Tensor is a :class:`Symbol`. Its type has an entry among the backends, as the values of
``unified.func`` have, so that every op finds an implementation there: one that records. A Module that is called on
symbolic Tensors is recorded as one call, whatever happens within.

What depends on the length of the batch is a :class:`Length`, an int that remembers how it depends. Every call is
evaluated abstractly at two lengths, and what differs between the results is a Length again.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from unified import _structure as structure
from unified._dispatch import apply, level_depths, table, wrap
from unified._dtype import DType
from unified._op import Op, backends_by_type
from unified._recording import recording
from unified._tensor import Tensor
from unified.backends.protocol import Backend, Native, Place
from unified.compile.abstract import Aval, abstract_results
from unified.errors import ArgumentError, AutogradError, SymbolicTensorError
from unified.nn import _hooks
from unified.nn.module import Module
from unified.nn.parameter import is_lazy

SAMPLES = (103, 101)
"""Lengths of the batch at which shapes are worked out.

Primes, so that no reshape fits both by chance; the smaller last, so that a slice which took the first's length fails.
"""

# ---- lengths -----------------------------------------------------------------------------------------------------


class Length(int):
    """A length as a function of the batch's; as an int it is the one at the first sample. Prints as None."""

    of: Callable[[int], int]

    def __new__(cls, of: Callable[[int], int]) -> Length:
        made = super().__new__(cls, of(SAMPLES[0]))
        made.of = of
        return made

    def __repr__(self) -> str:
        return "None"

    __str__ = __repr__

    def __neg__(self) -> Length:
        return Length(lambda batch: -self.of(batch))

    def __truediv__(self, other: Any) -> Any:
        raise SymbolicTensorError("the length of the batch is not known yet, so it cannot be divided into a float")

    __rtruediv__ = __truediv__


def _arithmetic(name: str) -> Callable[[Length, Any], Any]:
    plain: Callable[[int, int], Any] = getattr(int, name)

    def method(self: Length, other: Any) -> Any:
        if not isinstance(other, int):
            return NotImplemented
        return Length(lambda batch: plain(at(self, batch), at(other, batch)))

    return method


for _name in ("add", "sub", "mul", "floordiv", "mod"):
    for _method in (f"__{_name}__", f"__r{_name}__"):
        setattr(Length, _method, _arithmetic(_method))


def at(length: int, batch: int) -> int:
    """``length`` where the batch has that length."""
    return length.of(batch) if isinstance(length, Length) else length


def resolved(value: Any, batch: int) -> Any:
    """A nest with the Lengths in it as plain ints."""
    if isinstance(value, Length):
        return value.of(batch)
    if isinstance(value, slice):
        return slice(*(resolved(part, batch) for part in (value.start, value.stop, value.step)))
    if isinstance(value, (tuple, list)):
        members = [resolved(member, batch) for member in value]
        return type(value)(*members) if hasattr(value, "_fields") else type(value)(members)
    if isinstance(value, dict):
        return {key: resolved(member, batch) for key, member in value.items()}
    return value


def _lengths(value: Any) -> bool:
    if isinstance(value, slice):
        return _lengths((value.start, value.stop, value.step))
    if isinstance(value, dict):
        return any(_lengths(member) for member in value.values())
    return isinstance(value, Length) or (isinstance(value, (tuple, list)) and any(_lengths(v) for v in value))


def _between(name: str, low: int, high: int) -> int:
    """The length that is ``low`` at the first sample and ``high`` at the second."""
    first, second = SAMPLES
    slope, rest = divmod(high - low, second - first)
    if not slope and not rest:
        return low
    if rest:
        raise ArgumentError(f"{name}: a length of its result is {low} for a batch of {first}, {high} for {second}")
    return Length(functools.partial(_affine, slope, low - slope * first))


def batch_of(length: Length, given: int) -> int:
    """The batch for which ``length``, which is affine in it, is ``given``."""
    low, high = (length.of(sample) for sample in SAMPLES)
    return SAMPLES[0] + (given - low) * (SAMPLES[1] - SAMPLES[0]) // (high - low)


def _affine(slope: int, offset: int, batch: int) -> int:
    return slope * batch + offset


# ---- calls -------------------------------------------------------------------------------------------------------

_order = itertools.count()


class Call:
    """One recorded call, an input, or a constant.

    ``target`` is the Module, the name of the op, the name of the input (or None), or the constant Tensor itself.
    """

    __slots__ = ("arguments", "lengths", "order", "results", "sources", "target")

    def __init__(
        self, target: Any, arguments: Hashable = None, sources: Sequence[Symbol] = (), lengths: bool = False
    ) -> None:
        self.target = target
        self.arguments = arguments
        self.sources = tuple(sources)
        self.lengths = lengths
        self.results: list[Aval] = []
        self.order = next(_order)

    @property
    def is_made(self) -> bool:
        """Whether it computes something: it is neither an input nor a constant."""
        return self.arguments is not None

    def run(self, tensors: Sequence[Tensor], batch: int) -> Any:
        """The call with these in the places of its symbolic operands."""
        return perform(self.target, self.arguments, tensors, batch if self.lengths else None)


def perform(target: Any, arguments: Hashable, tensors: Sequence[Tensor], batch: int | None) -> Any:
    """Calls a Module, or the op of that name, with Tensors where ``arguments`` has leaves.

    ``batch`` resolves the Lengths among the arguments; None says that there are none.
    """
    args, kwargs = structure.unflatten(arguments, tensors)
    if batch is not None:
        args, kwargs = resolved(args, batch), resolved(kwargs, batch)
    return apply(table[target], args) if isinstance(target, str) else target(*args, **kwargs)


class Symbol:
    """The native of a symbolic Tensor: one result of a call."""

    __slots__ = ("call", "index", "level")

    def __init__(self, level: Level, call: Call, index: int = 0) -> None:
        self.level, self.call, self.index = level, call, index

    @property
    def aval(self) -> Aval:
        return self.call.results[self.index]


class Level:
    """Where symbolic Tensors of one backend meet its ordinary ones, which are constants there."""

    name = "Input"

    def __init__(self, base: Backend) -> None:
        self.base = base
        self.kind = type("Symbol", (Symbol,), {"__slots__": ()})
        level_depths[self.kind] = 1 << 20  # what meets values of several levels is recorded
        backends_by_type[self.kind] = SymbolBackend(self)  # type: ignore[assignment]

    def input(self, shape: tuple[int, ...], dtype: DType, name: str | None) -> Tensor:
        """A symbolic Tensor of that shape, with the batch in front."""
        call = Call(name)
        call.results.append(Aval((Length(int), *shape), dtype))
        return wrap(self.kind(self, call))

    def constant(self, tensor: Tensor) -> Symbol:
        """An ordinary Tensor among symbolic ones."""
        if tensor.requires_grad and not tensor.is_leaf:
            raise AutogradError(
                f"a Tensor of shape {tuple(tensor.shape)} that was computed with gradients recorded meets a symbolic "
                "Tensor, and would never be computed again; compute it in the forward() of a Module, or detach() it"
            )
        call = Call(tensor)
        call.results.append(Aval(tuple(tensor.shape), tensor.dtype))
        symbol: Symbol = self.kind(self, call)
        return symbol

    def custom(self, call: Any, inputs: list[Tensor]) -> list[Tensor]:
        """A rule with a derivative of the user's own."""
        raise SymbolicTensorError(
            f"{call.name} cannot be applied to symbolic Tensors; apply it in the forward() of a Module, and call that"
        )

    def record(self, target: Any, name: str, args: Any, kwargs: dict[str, Any]) -> tuple[Hashable, list[Symbol]]:
        """Records a call: the structure of its results, and the symbols in it."""
        operands: list[Tensor] = []
        arguments = structure.flatten((args, kwargs), operands)
        sources = [t._native if isinstance(t._native, Symbol) else self.constant(t) for t in operands]
        call = Call(target, arguments, sources, _lengths(list(args)) or _lengths(kwargs))
        described, low = self._evaluated(call, SAMPLES[0])
        high = low
        if call.lengths or any(_lengths(symbol.aval.shape) for symbol in sources):
            try:
                _, high = self._evaluated(call, SAMPLES[1])
            except Exception as error:
                raise SymbolicTensorError(
                    f"{name} works for a batch of {SAMPLES[0]} and not of {SAMPLES[1]}: something made outside of it "
                    "has a fixed length where the batch's is meant (a random draw, un.zeros, a loop over examples); "
                    "do that in the forward() of a Module, and call that"
                ) from error
        if [len(aval.shape) for aval in low] != [len(aval.shape) for aval in high]:
            raise ArgumentError(f"{name}: how many results it has depends on the length of the batch")
        for first, second in zip(low, high, strict=True):
            lengths = [_between(name, *pair) for pair in zip(first.shape, second.shape, strict=True)]
            call.results.append(Aval(tuple(lengths), first.dtype))
        return described, [self.kind(self, call, index) for index in range(len(low))]

    def _evaluated(self, call: Call, batch: int) -> tuple[Hashable, list[Aval]]:
        operands = [
            Aval(tuple(at(length, batch) for length in symbol.aval.shape), symbol.aval.dtype)
            for symbol in call.sources
            if not isinstance(symbol.call.target, Tensor)
        ]

        def function(tensors: list[Tensor]) -> Any:
            rest: Iterator[Tensor] = iter(tensors)
            targets = [symbol.call.target for symbol in call.sources]
            return call.run([t if isinstance(t, Tensor) else next(rest) for t in targets], batch)

        try:
            return abstract_results(function, operands, self.base)
        except Exception as error:
            error.add_note(f"while shapes were worked out for un.Model, at a batch of {batch} examples")
            raise


class _SymbolCompiler:
    """What ``protocol.Compiler`` says of single values."""

    def discover(self, function: Any, leaves: Any) -> None:
        raise SymbolicTensorError(
            "a compiled function was called on symbolic Tensors; call the function itself on them, and "
            "compile the un.Model"
        )

    def is_traced(self, native: Native) -> bool:
        return True

    def stop_gradient(self, native: Symbol) -> Native:
        """``x.detach()`` is part of the record."""
        stopped: Tensor = apply(table["stop_gradient"], [wrap(native)])
        return stopped._native

    def signature(self, native: Symbol) -> tuple[Any, ...]:
        return native.aval


class SymbolBackend:
    """Symbols of one backend, as far as ``protocol.Backend`` asks about single values."""

    engine = None

    def __init__(self, level: Level) -> None:
        self.level = level
        self.base = level.base
        self.name = level.base.name
        self.compiler = _SymbolCompiler()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.base, name)

    def implement(self, op: Op, kind: type) -> Callable[..., Any]:
        def tensors(native: Any) -> Any:
            if isinstance(native, list):
                return [tensors(member) for member in native]
            return wrap(native) if isinstance(native, Symbol) else native

        def recorded(*natives: Any) -> Any:
            described, symbols = self.level.record(op.name, op.name, [tensors(native) for native in natives], {})
            return structure.unflatten(described, symbols)

        return recorded

    def shape(self, native: Symbol) -> tuple[int, ...]:
        return native.aval.shape

    def dtype(self, native: Symbol) -> DType:
        return native.aval.dtype

    def device(self, native: Symbol) -> Place:
        return self.base.default_device()

    def to_numpy(self, native: Symbol) -> Any:
        raise SymbolicTensorError(
            "a symbolic Tensor, which un.Input and what is computed from it are, has no value to read (x.item(), "
            "x.numpy(), `if x:`); build a un.Model of it and call that, or do this in the forward() of a Module"
        )

    to_dlpack = to_numpy


_levels: dict[str, Level] = {}


def level_of(backend: Backend) -> Level:
    """The one for a backend. From the first on, Modules look whether they are called on symbolic Tensors."""
    found = _levels.get(backend.name)
    if found is None:
        found = _levels[backend.name] = Level(backend)
        _hooks.record_calls(_recorded)
    return found


def _symbol_in(value: Any) -> Symbol | None:
    """The first symbolic Tensor in a nest; every call of a Module asks."""
    if isinstance(value, Tensor):
        native = value._native
        return native if isinstance(native, Symbol) else None
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (tuple, list)):
        return None
    for member in value:
        found = _symbol_in(member)
        if found is not None:
            return found
    return None


def _recorded(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The results of a Module's call on symbolic Tensors; NotImplemented for any other call."""
    symbol = _symbol_in(args) or (_symbol_in(kwargs) if kwargs else None)
    if symbol is None:
        return NotImplemented
    if any(is_lazy(held) for held in (*module.parameters(), *module.buffers())):
        _initialize(module, symbol.level.base, args, kwargs)
    described, symbols = symbol.level.record(module, type(module).__name__, args, kwargs)
    return structure.unflatten(described, [wrap(native) for native in symbols])


def _initialize(module: Module, backend: Backend, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Gives parameters that wait for a first input their shapes: a call with zeros, which changes nothing else.

    In evaluation mode, so that no statistics move and nothing but initial weights is drawn.
    """
    tensors: list[Tensor] = []
    arguments = structure.flatten((args, kwargs), tensors)
    modes = [(each, each.training) for each in module.modules()]
    module.eval()
    try:
        with recording(False):
            perform(module, arguments, [_zeros(tensor, backend) for tensor in tensors], _FEW)
    finally:
        for each, mode in modes:
            each.training = mode


_FEW = 2
"""Examples in the batch of a call that is computed."""


def _zeros(tensor: Tensor, backend: Backend) -> Tensor:
    if not isinstance(tensor._native, Symbol):
        return tensor
    shape, dtype = tensor._native.aval
    lengths = [at(length, _FEW) for length in shape]
    return wrap(backend.from_numpy(np.zeros(lengths, dtype.numpy), dtype, None))


del _name, _method
