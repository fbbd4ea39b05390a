"""Models out of calls on symbolic Tensors, as Keras's functional API has them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from unified import _structure as structure
from unified._default import default_dtype
from unified._dtype import DType
from unified._selection import current_backend
from unified._tensor import Tensor
from unified.compile.abstract import Aval
from unified.errors import ArgumentError, OperandError, ShapeError, SymbolicTensorError
from unified.nn import _symbolic
from unified.nn._symbolic import Call, Length, Symbol
from unified.nn.module import Module
from unified.nn.parameter import Parameter


def Input(shape: int | Sequence[int], dtype: DType | None = None, name: str | None = None) -> Tensor:  # noqa: N802
    """A symbolic Tensor: what ops and Modules make of it is recorded, for :class:`Model` to compute later.

    Its batch dimension stands in front of ``shape``, and ``x.shape[0]`` is an int that a recorded call takes as the
    length of the batch at hand. All inputs of a Model have the same. The int remembers what is added to it,
    multiplied with it and divided by it as ints; ``1.0 / x.shape[0]`` in floats it cannot follow: write
    ``x.mean(0)``, or ``y / x.shape[0]`` with a Tensor ``y``.

    Args:
        shape: the lengths of the other dimensions; an int for one dimension.
        dtype: of what will stand here; the default one if left out.
        name: how the Model calls it, in ``summary`` and as a keyword argument.

    Example:
        >>> x = un.Input((3, 32, 32))
        >>> nn.Conv2d(3, 16, 3)(x).shape
        unified.Size([None, 16, 30, 30])

    Raises:
        ArgumentError: a length is not an int that is 0 or larger.
    """
    lengths = (shape,) if isinstance(shape, int) else tuple(shape)
    if not all(isinstance(length, int) and length >= 0 for length in lengths):
        raise ArgumentError(
            f"Input: shape {shape!r} must be ints; the batch dimension, which may have any length, is left out"
        )
    return _symbolic.level_of(current_backend()).input(lengths, dtype or default_dtype(), name)


class Step(NamedTuple):
    """One call of a Model's forward pass; values lie in numbered slots."""

    name: str
    """Of the child Module that is called, or of the step where it is an op's."""
    op: str | None
    arguments: Hashable
    sources: tuple[int | str, ...]
    """Slots of operands, and names of the Model's own parameters and constants."""
    lengths: bool
    start: int
    results: tuple[Aval, ...]
    spent: tuple[int, ...] = ()
    """Slots that nothing reads after this."""


class Plan:
    """What a Model computes, by names alone, so that copies of the Model share it."""

    __slots__ = ("found", "inputs", "names", "returns", "slots", "steps", "takes")

    def __init__(self, takes: Hashable, returns: Hashable) -> None:
        self.takes = takes
        self.returns = returns
        self.names: list[str] = []
        """Of the inputs, which are in the first slots."""
        self.inputs: list[Aval] = []
        self.steps: list[Step] = []
        self.found: list[int | str] = []
        """Where the results are."""
        self.slots = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> Plan:
        return self

    def __reduce__(self) -> Any:
        raise SymbolicTensorError(
            "a un.Model cannot be pickled; save its state_dict(), and build it again to load that"
        )


class Row(NamedTuple):
    """An input or a call of a Model, for people to look at."""

    name: str
    kind: str
    results: tuple[Aval, ...]
    sources: tuple[str, ...]
    parameters: tuple[Parameter, ...]


class Model(Module):
    """A Module that computes ``outputs`` from ``inputs``, which are symbolic Tensors or nests of them.

    The Modules that were called in between are its children, each under its class's name in small letters and, from
    the second on, a number: ``linear``, ``linear_1``, in the order of their first calls. A Module that is called
    twice, or by two Models, shares its weights. Parameters that ops took are the Model's own, ``parameter``,
    ``parameter_1``; other Tensors are constants.

    Args:
        inputs: from :func:`Input`, or what was computed from others, for the part of a network behind it.
        outputs: what to return; a Tensor, or a tuple, list or dict of such nests.

    Example:
        >>> x = un.Input((8,))
        >>> hidden = nn.Linear(8, 16)(x).relu()
        >>> model = un.Model(x, nn.Linear(16, 2)(hidden) + hidden.mean(1, keepdim=True))
        >>> model(un.ones(4, 8)).shape
        unified.Size([4, 2])

    Raises:
        OperandError: something in the nests is no symbolic Tensor.
        ArgumentError: an output needs an input that is not listed.
    """

    def __init__(self, inputs: Any, outputs: Any) -> None:
        super().__init__()
        given: list[Any] = []
        wanted: list[Any] = []
        self._plan = plan = Plan(structure.flatten(inputs, given), structure.flatten(outputs, wanted))
        for what, tensors in (("inputs", given), ("outputs", wanted)):
            if not tensors or not all(isinstance(tensor._native, Symbol) for tensor in tensors):
                raise OperandError(f"Model: {what} must be symbolic Tensors, from un.Input or out of calls on those")
        entries = [tensor._native for tensor in given]
        results = [tensor._native for tensor in wanted]
        slots: dict[Any, int | str] = {_key(entry): place for place, entry in enumerate(entries)}
        if len(slots) < len(entries):
            raise ArgumentError("Model: the same symbolic Tensor is listed twice among the inputs")
        calls = _between(entries, results)
        plan.names = _unique([_name(entry) for entry in entries])
        plan.inputs = [entry.aval for entry in entries]
        plan.slots = len(entries)
        self._hold([*results, *(source for call in calls for source in call.sources)], slots)
        names = self._adopt([call.target for call in calls if isinstance(call.target, Module)])
        taken = {*names.values(), *plan.names}
        for call in calls:
            op = call.target if isinstance(call.target, str) else None
            name = names[id(call.target)] if op is None else _free(op, taken)
            sources = tuple(slots[_key(source)] for source in call.sources)
            plan.steps.append(Step(name, op, call.arguments, sources, call.lengths, plan.slots, tuple(call.results)))
            for index in range(len(call.results)):
                slots.setdefault((id(call), index), plan.slots + index)
            plan.slots += len(call.results)
        plan.found = [slots[_key(result)] for result in results]
        _mark_spent(plan)
        self.__dict__["_configuration"] = ((plan,), {})  # which no file takes: a Plan is no data

    def _adopt(self, modules: list[Module]) -> dict[int, str]:
        """Makes children of the Modules; their names by id."""
        names: dict[int, str] = {}
        for module in modules:
            if id(module) not in names:
                kind = type(module).__name__.lower()
                names[id(module)] = next(name for name in _numbered(kind) if not hasattr(self, name))
                self.add_module(names[id(module)], module)
        return names

    def _hold(self, symbols: list[Symbol], slots: dict[Any, int | str]) -> None:
        """Registers the Tensors that were constants to the calls, and notes their names."""
        names: dict[int, str] = {}
        for symbol in symbols:
            tensor = symbol.call.target
            if not isinstance(tensor, Tensor) or _key(symbol) in slots:
                continue
            if id(tensor) not in names:
                kind = "parameter" if isinstance(tensor, Parameter) else "constant"
                names[id(tensor)] = name = next(name for name in _numbered(kind) if not hasattr(self, name))
                if isinstance(tensor, Parameter):
                    self.register_parameter(name, tensor)
                else:
                    self.register_buffer(name, tensor, persistent=False)
            slots[_key(symbol)] = names[id(tensor)]

    # ---- calling -----------------------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs, nested as they were given.

        Args:
            args: the inputs, nested as they were given; several may also be given one by one.
            kwargs: the inputs by name, in place of ``args``.

        Raises:
            ArgumentError: there are more or fewer inputs, or they are nested in another way.
            ShapeError: an input has another shape than was said.
        """
        plan = self._plan
        tensors = self._given(args, kwargs)
        batch = _batch(plan.inputs, tensors)
        values: list[Any] = [*tensors, *[None] * (plan.slots - len(tensors))]

        def value(source: int | str) -> Any:
            return values[source] if isinstance(source, int) else getattr(self, source)

        for step in plan.steps:
            operands = [value(source) for source in step.sources]
            target = self._modules[step.name] if step.op is None else step.op
            result = _symbolic.perform(target, step.arguments, operands, batch if step.lengths else None)
            found: list[Any] = []
            structure.flatten(result, found)
            if len(found) != len(step.results):
                raise ShapeError(f"Model: {step.name} returned {len(found)} Tensors and not {len(step.results)}")
            values[step.start : step.start + len(found)] = found
            for slot in step.spent:
                values[slot] = None
        return structure.unflatten(plan.returns, [value(source) for source in plan.found])

    def _given(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Tensor]:
        """The inputs in the order of their slots."""
        plan = self._plan
        if kwargs:
            if args or kwargs.keys() != set(plan.names):
                raise ArgumentError(f"Model: takes its inputs by position, or by the names {', '.join(plan.names)}")
            return _checked(plan, [kwargs[name] for name in plan.names])
        nest = structure.unflatten(plan.takes, range(len(plan.names)))
        for candidate in (*args[:1], list(args)) if len(args) == 1 else (list(args),):
            found: dict[int, Any] = {}
            if _matched(nest, candidate, found):
                return _checked(plan, [found[place] for place in range(len(plan.names))])
        raise ArgumentError(
            f"Model: takes {len(plan.names)} inputs ({', '.join(plan.names)}), nested as those it was made of"
        )

    # ---- how it prints -------------------------------------------------------------------------------------

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Prints a table of the calls, with the shapes of their results and the numbers of their parameters.

        A Module that is called again adds nothing. Below it stand the sums; buffers are numbers that are not trained,
        such as running means.

        Args:
            print_fn: takes each line.
        """
        counted: set[int] = set()
        rows = [("layer", "output shape", "parameters", "from")]
        for call in self.calls():
            new = [parameter for parameter in call.parameters if id(parameter) not in counted]
            counted |= {id(parameter) for parameter in new}
            shapes = ", ".join(str(aval.shape) for aval in call.results)
            count = f"{sum(p.numel() for p in new):,}"
            rows.append((f"{call.name} ({call.kind})", shapes, count, ", ".join(call.sources)))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        for row in rows:
            left, shape, count, source = row
            line = f"{left:<{widths[0]}}  {shape:<{widths[1]}}  {count:>{widths[2]}}  {source}"
            print_fn(line.rstrip())
            if row is rows[0]:
                print_fn("-" * (sum(widths) + 6))
        parameters = list(self.parameters())
        trained = sum(p.numel() for p in parameters if p.requires_grad)
        total = sum(p.numel() for p in parameters)
        print_fn("-" * (sum(widths) + 6))
        print_fn(f"parameters: {total:,} ({_bytes(p.nbytes for p in parameters)})")
        print_fn(f"trained: {trained:,}, frozen: {total - trained:,}")
        print_fn(f"buffers: {sum(buffer.numel() for buffer in self.buffers()):,}")

    def calls(self) -> list[Row]:
        """The inputs, the Model's own parameters and constants, then the calls in their order."""
        plan = self._plan
        named: dict[int | str, str] = dict(enumerate(plan.names))
        rows: list[Row] = [
            Row(name, "Input", (aval,), (), ()) for name, aval in zip(plan.names, plan.inputs, strict=True)
        ]
        for name, own in (*self.named_parameters(recurse=False), *self.named_buffers(recurse=False)):
            parameters: tuple[Parameter, ...] = (own,) if isinstance(own, Parameter) else ()
            kind = "Parameter" if parameters else "constant"
            rows.append(Row(name, kind, (Aval(tuple(own.shape), own.dtype),), (), parameters))
        for step in plan.steps:
            module = self._modules[step.name] if step.op is None else None
            kind = "op" if module is None else type(module).__name__
            sources = tuple(dict.fromkeys(named.get(source, str(source)) for source in step.sources))
            parameters = () if module is None else tuple(module.parameters())
            rows.append(Row(step.name, kind, step.results, sources, parameters))
            for slot in range(step.start, step.start + len(step.results)):
                named.setdefault(slot, step.name)
        return rows


def _bytes(sizes: Iterable[int]) -> str:
    size = float(sum(sizes))
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.2f} {unit}"


# ---- planning ----------------------------------------------------------------------------------------------------


def _between(entries: list[Symbol], results: list[Symbol]) -> list[Call]:
    """The calls that lead from ``entries`` to ``results``, in the order in which they were made."""
    known = {(id(entry.call), entry.index) for entry in entries}
    found: dict[int, Call] = {}
    waiting = list(results)
    while waiting:
        symbol = waiting.pop()
        call = symbol.call
        if (id(call), symbol.index) in known or id(call) in found or isinstance(call.target, Tensor):
            continue
        if not call.is_made:
            raise ArgumentError(
                f"Model: an output is computed from the input {call.target or '(without a name)'} of shape "
                f"{symbol.aval.shape}, which is not among the inputs"
            )
        found[id(call)] = call
        waiting.extend(call.sources)
    return sorted(found.values(), key=lambda call: call.order)


def _mark_spent(plan: Plan) -> None:
    """Notes with each step what is not read after it."""
    last: dict[int | str, int] = {}
    for place, step in enumerate(plan.steps):
        last.update(dict.fromkeys(range(step.start, step.start + len(step.results)), place))
        last.update(dict.fromkeys(step.sources, place))
    for place, step in enumerate(plan.steps):
        spent = [slot for slot, when in last.items() if when == place and slot not in plan.found]
        plan.steps[place] = step._replace(spent=tuple(slot for slot in spent if isinstance(slot, int)))


def _key(symbol: Symbol) -> tuple[int, int]:
    return id(symbol.call), symbol.index


def _name(entry: Symbol) -> str:
    """What an input is called; what calls have made has no name of its own."""
    target = None if entry.call.is_made else entry.call.target
    return target if isinstance(target, str) else "input"


def _numbered(name: str) -> Iterator[str]:
    """``name``, ``name_1``, ``name_2``, ..."""
    yield name
    for number in itertools.count(1):
        yield f"{name}_{number}"


def _free(name: str, taken: set[str]) -> str:
    """The first of these that is not taken, which it is from then on."""
    found = next(candidate for candidate in _numbered(name) if candidate not in taken)
    taken.add(found)
    return found


def _unique(names: list[str]) -> list[str]:
    taken: set[str] = set()
    return [_free(name, taken) for name in names]


def _batch(inputs: list[Aval], tensors: list[Tensor]) -> int:
    """The length of the batch at hand; 1 where no input has a batch."""
    for aval, tensor in zip(inputs, tensors, strict=True):
        for length, given in zip(aval.shape, tensor.shape, strict=True):
            if isinstance(length, Length):
                return _symbolic.batch_of(length, given)
    return 1


def _checked(plan: Plan, tensors: list[Any]) -> list[Tensor]:
    for name, aval, tensor in zip(plan.names, plan.inputs, tensors, strict=True):
        if not isinstance(tensor, Tensor):
            raise OperandError(f"Model: input {name} must be a Tensor, not {type(tensor).__name__}")
        pairs = zip(aval.shape, tensor.shape, strict=False)
        if tensor.ndim != len(aval.shape) or not all(isinstance(n, Length) or n == given for n, given in pairs):
            raise ShapeError(f"Model: input {name} has shape {tuple(tensor.shape)} and not {aval.shape}")
    return tensors


def _matched(nest: Any, value: Any, found: dict[int, Any]) -> bool:
    """Whether ``value`` is nested as ``nest``, whose leaves are ints; fills ``found`` by them."""
    if isinstance(nest, int):
        found[nest] = value
        return isinstance(value, Tensor)
    if isinstance(nest, dict):
        return (
            isinstance(value, dict)
            and value.keys() == nest.keys()
            and all(_matched(member, value[key], found) for key, member in nest.items())
        )
    return (
        isinstance(nest, (list, tuple))
        and isinstance(value, (list, tuple))
        and len(value) == len(nest)
        and all(_matched(member, given, found) for member, given in zip(nest, value, strict=True))
    )
