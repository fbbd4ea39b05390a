"""The op table and the path of a call: find the backend, unwrap, call, wrap.

An op is declared once, as a typed function with a docstring. ``@op`` has no body (each backend brings a native);
``@composite`` has one, made of other ops. Either way the declared function is replaced by a *caller* generated
from its signature: the slow part happens once, here, and a call costs one dict look-up and one slot write.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, cast, overload

import numpy as np

from unified import _caller
from unified._caller import Parameter, ParameterKind
from unified._selection import current_backend
from unified._tape import Node, grad_mode
from unified.backends import registry
from unified.backends.protocol import Backend, Native
from unified.errors import BackendMismatchError, IndexOutOfRangeError, OpError, OperandError, UnifiedError

if TYPE_CHECKING:
    from unified._tensor import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])
_new = object.__new__


class Tracer(Protocol):
    """What ``un.compile`` installs while it traces a function in this thread."""

    def applies(self) -> bool: ...
    def touch(self, tensor: Any) -> None: ...
    def made(self, tensor: Any) -> None: ...
    def read_grad(self, tensor: Any) -> None: ...
    def write_grad(self, tensor: Any) -> None: ...
    def read_flag(self, owner: Any, value: bool) -> None: ...
    def result(self, native: Native) -> Native: ...
    def differentiate(self) -> None: ...
    def refuse_value(self, what: str) -> Exception: ...


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


class Op:
    """One entry of the table. Satisfies ``protocol.OpSpec``."""

    __slots__ = (
        "_pullbacks", "caller", "check", "composite", "implementations", "indices", "mask", "methods", "name",
        "parameters", "primal", "returns", "static", "variadic", "whole_program",
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
        self.mask: tuple[tuple[int, int], ...] = ()
        self.methods: tuple[str, ...] = ()
        self.variadic = False
        self.whole_program = False
        self.implementations = _Implementations(self)
        self.caller: Callable[..., Any] | None = None
        self._pullbacks: dict[tuple[tuple[int, int], ...], Op] = {}

    def __repr__(self) -> str:
        return f"<op {self.name}({', '.join(p.name for p in self.parameters)})>"

    def guard(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function`` behind the op's check, for backends whose natives accept what PyTorch refuses."""
        check = self.check
        if check is None:
            return function

        def guarded(*natives: Any) -> Any:
            check(*[_spec(value) for value in natives])
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

    def pullback(self, mask: tuple[tuple[int, int], ...]) -> Op:
        """The op (*arguments, cotangents) -> cotangents of the operands that ``mask`` names."""
        pull = self._pullbacks.get(mask)
        if pull is None:
            cotangents = Parameter("cotangents", ParameterKind.SEQUENCE, required=True, keyword=False)
            pull = Op(f"{self.name}_backward", (*self.parameters, cotangents), tuple)
            pull.primal, pull.mask = self, mask
            self._pullbacks[mask] = pull
        return pull


table: dict[str, Op] = {}
"""Every op by name. Methods, operators, docs and the conformance suite read it; nothing else lists ops."""


def wrap(native: Native) -> Tensor:
    """A Tensor around ``native``, outside of any graph of the tape."""
    tensor: Tensor = _new(_tensor_class)
    tensor._native = native
    tensor._node = None
    return tensor


def apply(op: Op, args: Sequence[Any]) -> Any:
    """The general path: any mixture of operands, recording on the tape and telling the tracer."""
    tracer = tracing()
    natives: list[Any] = []
    first: Any = None
    mask: list[tuple[int, int]] = []
    parents: list[tuple[Node, int]] = []
    for position, (parameter, value) in enumerate(zip(op.parameters, args, strict=True)):
        kind = parameter.kind
        if kind is ParameterKind.STATIC:
            natives.append(tuple(value) if value.__class__ is list else value)
            continue
        if kind is ParameterKind.SEQUENCE:
            members: Sequence[Any] = value if isinstance(value, (list, tuple)) else _sequence(op, parameter, value)
        else:
            members = (value,)
        unwrapped = []
        for index, member in enumerate(members):
            if not isinstance(member, _tensor_class):
                if not parameter.takes(member):
                    raise _explain(op, args, _not_a_tensor(op, parameter, member))
                unwrapped.append(member)
                continue
            if tracer is not None:
                tracer.touch(member)
            native = member._native
            if first is None:
                first = native
            elif type(native) is not type(first):
                _same_backend(op, args, first, native)
            node = member._node
            if node is not None:
                mask.append((position, index if kind is ParameterKind.SEQUENCE else -1))
                parents.append((node, member._output))
            unwrapped.append(native)
        natives.append(unwrapped if kind is ParameterKind.SEQUENCE else unwrapped[0])
    if first is None and op.takes_tensors():
        raise _explain(op, args, OperandError("at least one operand must be a Tensor; make one with un.tensor(...)"))
    key: Any = type(first) if first is not None else current_backend()
    function = op.implementations[key]
    try:
        result = function(*natives)
    except Exception as error:
        raise _explain(op, args, error) from error
    if tracer is not None:
        many = isinstance(result, (tuple, list))
        result = [tracer.result(r) for r in result] if many else tracer.result(result)
    node_ = None
    if mask and grad_mode.enabled:
        width = len(result) if isinstance(result, (tuple, list)) else 1
        node_ = Node(op, natives, key, tuple(mask), tuple(parents), width)
    wrapped = _wrap_results(op, result, node_, key)
    if tracer is not None:
        for tensor in wrapped if isinstance(wrapped, (tuple, list)) else (wrapped,):
            if tensor is not None:
                tracer.made(tensor)
    return wrapped


def _wrap_results(op: Op, result: Any, node: Node | None, kind: Any) -> Any:
    if not isinstance(result, (tuple, list)):
        return _attach(wrap(result), node, 0, kind)
    outputs = [
        None if native is None else _attach(wrap(native), node, index, kind) for index, native in enumerate(result)
    ]
    return tuple(outputs) if op.returns is tuple else op.returns(*outputs)


def _attach(tensor: Tensor, node: Node | None, output: int, kind: Any) -> Tensor:
    if node is not None and backends_by_type[kind].dtype(tensor._native).is_inexact:
        tensor._node = node
        tensor._output = output
    return tensor


def _sequence(op: Op, parameter: Parameter, value: Any) -> Sequence[Any]:
    if isinstance(value, _tensor_class) or not hasattr(value, "__iter__"):
        raise OperandError(f"{op.name}: {parameter.name} must be a sequence of Tensors, not {type(value).__name__}")
    return tuple(value)


def _not_a_tensor(op: Op, parameter: Parameter, value: Any) -> OperandError:
    hint = "make one with un.tensor(...)"
    owner = registry.owner_of(type(value))
    if owner is not None:
        hint = f"wrap the {owner.name} tensor with un.from_native(...)"
    return OperandError(f"{parameter.name} must be {parameter.describe()}, not {type(value).__name__}; {hint}")


def _same_backend(op: Op, args: Sequence[Any], first: Native, other: Native) -> None:
    one, two = backends_by_type[type(first)], backends_by_type[type(other)]
    if one is not two:
        reason = BackendMismatchError(
            f"operands live on two backends, {one.name} and {two.name}; "
            f"move one with x.to(backend={one.name!r}) or x.to(backend={two.name!r})"
        )
        raise _explain(op, args, reason)


def _describe(name: str, value: Any) -> str:
    if isinstance(value, _tensor_class):
        backend = backends_by_type[type(value._native)]
        native = value._native
        shape, dtype = backend.shape(native), backend.dtype(native).name
        return f"\n  {name}: {dtype} {tuple(shape)} on {backend.name} ({backend.device(native)})"
    if isinstance(value, (list, tuple)) and any(isinstance(v, _tensor_class) for v in value):
        return "".join(_describe(f"{name}[{i}]", v) for i, v in enumerate(value))
    return f"\n  {name}: {value!r}"


def _explain(op: Op, args: Sequence[Any], error: Exception) -> Exception:
    """The one message a user reads: the op, why, and every operand."""
    reason, kind = _reason(op, args, error)
    operands = "".join(
        _describe(parameter.name, value)
        for parameter, value in zip(op.parameters, args, strict=False)
        if parameter.kind is not ParameterKind.STATIC or value is not None
    )
    return kind(f"{op.name}: {reason}{operands}")


def _reason(op: Op, args: Sequence[Any], error: Exception) -> tuple[str, type[UnifiedError]]:
    if not isinstance(error, UnifiedError):
        try:
            if op.check is not None:
                op.check(*[_spec(value) for value in args])
            if op.indices is not None:
                op.look([_native(value) for value in args], _host)
        except UnifiedError as found:
            error = found
    if isinstance(error, UnifiedError):
        return str(error).removeprefix(f"{op.name}: "), type(error)
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"the backend refused it: {lines[0]}", OpError


def _native(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_native(v) for v in value]
    return value._native if isinstance(value, _tensor_class) else value


def _host(native: Native) -> Any:
    backend = backends_by_type[type(native)]
    return None if backend.compiler.is_traced(native) else backend.to_numpy(native)


class Spec:
    """Shape and dtype of an operand, for an op's check. Quacks like a Tensor that has no values."""

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape = shape
        self.dtype = dtype


def _spec(value: Any) -> Any:
    if isinstance(value, _tensor_class):
        value = value._native
    elif isinstance(value, (list, tuple)):
        return [_spec(v) for v in value]
    if isinstance(value, (bool, int, float, complex, str)) or value is None:
        return value
    try:
        backend = backends_by_type[type(value)]
    except OperandError:
        return value
    return Spec(tuple(backend.shape(value)), backend.dtype(value))


def _lift(op: Op, body: Callable[..., Any]) -> Callable[..., Any]:
    """A composite's body as a function of natives: what a backend compiles as one program."""
    parameters = op.parameters
    split = next((i for i, p in enumerate(parameters) if p.keyword), len(parameters))
    names = [p.name for p in parameters[split:]]

    def rewrap(parameter: Parameter, value: Any) -> Any:
        if parameter.kind is ParameterKind.STATIC or value is None or isinstance(value, (bool, int, float, complex)):
            return value
        if parameter.kind is ParameterKind.SEQUENCE:
            return [v if isinstance(v, (bool, int, float, complex)) else wrap(v) for v in value]
        return wrap(value)

    def lifted(*natives: Any) -> Any:
        values = [rewrap(p, v) for p, v in zip(parameters, natives, strict=True)]
        tracer = _caller.namespace["tracer"]
        _caller.namespace["tracer"] = None
        try:
            result = body(*values[:split], **dict(zip(names, values[split:], strict=True)))
        finally:
            _caller.namespace["tracer"] = tracer
        if isinstance(result, _tensor_class):
            return result._native
        return [None if r is None else r._native for r in result]

    return lifted


class _Epoch:
    """Counts changes of what compiled functions guard on (train/eval, requires_grad): one integer to compare."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def bump(self) -> None:
        self.value += 1


state_epoch = _Epoch()


def tracing() -> Tracer | None:
    """The tracer at work in this thread, or None."""
    tracer = cast("Tracer | None", _caller.namespace["tracer"])
    return tracer if tracer is not None and tracer.applies() else None


def set_tracer(tracer: Tracer | None) -> Tracer | None:
    """Installs ``tracer`` and returns the one it replaces."""
    previous = cast("Tracer | None", _caller.namespace["tracer"])
    _caller.namespace["tracer"] = tracer
    return previous


@overload
def op(function: Function, /) -> Function: ...
@overload
def op(
    *,
    methods: Sequence[str] = (),
    inplace: bool = False,
    variadic: bool = False,
    check: Callable[..., None] | None = None,
    indices: Indices | None = None,
    composite: bool = False,
    name: str | None = None,
) -> Callable[[Function], Function]: ...
def op(
    function: Function | None = None,
    /,
    *,
    methods: Sequence[str] = (),
    inplace: bool = False,
    variadic: bool = False,
    check: Callable[..., None] | None = None,
    indices: Indices | None = None,
    composite: bool = False,
    name: str | None = None,
) -> Any:
    """Declares an op. Its parameters' kinds come from the annotations (see ``_caller``).

    Args:
        methods: names under which Tensor gets it, operators included; ``"__rsub__"`` swaps the operands.
        inplace: Tensor also gets ``name_``, which rebinds the value of the Tensor it is called on.
        variadic: the method takes its second argument as ``*args`` too (``x.reshape(2, 3)``).
        check: refuses bad operands by shape and dtype with the message that every backend gives.
        indices: which operands must lie within a dimension; looked at where that costs little, see ``Op.within``.
        composite: the body is the implementation wherever a backend has no native of this name.
        name: the op's name where a :func:`front` function has taken the declared one.
    """

    def declare(function: Function) -> Function:
        op_name = name or function.__name__
        if op_name in table:
            raise ValueError(f"op {op_name!r} is declared twice")
        parameters, returns = _caller.read_signature(function)
        entry = Op(op_name, parameters, returns)
        entry.check = check
        entry.indices = indices
        entry.methods = (*methods, f"{op_name}_") if inplace else tuple(methods)
        entry.variadic = variadic
        if composite:
            entry.composite = _lift(entry, function)
        table[op_name] = entry
        entry.caller = _caller.generate(entry, function)
        return cast(Function, entry.caller)

    return declare if function is None else declare(function)


@overload
def composite(function: Function, /) -> Function: ...
@overload
def composite(**options: Any) -> Callable[[Function], Function]: ...
def composite(function: Function | None = None, /, **options: Any) -> Any:
    """Declares an op whose body, made of other ops, is its implementation; options as for :func:`op`."""
    declare = op(composite=True, **options)
    return declare if function is None else declare(function)


class Front(NamedTuple):
    """A plain function that Tensor gets as a method: it sorts out overloads and calls ops."""

    name: str
    caller: Callable[..., Any]
    methods: tuple[str, ...]
    variadic: bool = False


fronts: list[Front] = []
"""What Tensor gets besides the ops of the table."""


def front(*methods: str) -> Callable[[Function], Function]:
    """Makes a function in front of ops (``max(x)``, ``max(x, dim)``, ``max(x, other)``) a method of Tensor too.

    What comes back refuses ``out=``, as every public op does.
    """

    def register(function: Function) -> Function:
        fronts.append(Front(function.__name__, function, methods))

        @functools.wraps(function)
        def public(*args: Any, out: Any = None, **kwargs: Any) -> Any:
            if out is not None:
                _caller.refuse_out(function.__name__)
            return function(*args, **kwargs)

        return cast(Function, public)

    return register


_tensor_class: type[Any] = object


def bind_tensor_class(tensor_class: type[Any]) -> None:
    """Called once, by ``_tensor``, which this module cannot import."""
    global _tensor_class
    _tensor_class = tensor_class
    _caller.namespace["Tensor"] = tensor_class


_caller.namespace.update(
    apply=apply, explain=_explain, same_backend=_same_backend, grad_mode=grad_mode, tracer=None,
    new=_new, current_backend=current_backend,
)  # fmt: skip
