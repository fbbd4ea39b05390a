"""The op table and the path of a call: find the backend, unwrap, call, wrap.

An op is declared once, as a typed function with a docstring. ``@op`` has no body (each backend brings a native);
``@composite`` has one, made of other ops. Either way the declared function is replaced by a *caller* generated
from its signature: the slow part happens once, here, and a call costs one dict look-up and one slot write.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, cast, overload

import numpy as np

from unified import _caller
from unified._caller import Parameter, ParameterKind
from unified._default import default, held, settled
from unified._dtype import float32
from unified._location import user_line
from unified._op import Indices, Op, backends_by_type, spec
from unified._selection import current_backend
from unified._tape import Call, Node, grad_mode
from unified.backends import registry
from unified.backends.protocol import Native
from unified.errors import BackendMismatchError, OpError, OperandError, UnifiedError

if TYPE_CHECKING:
    from unified._tensor import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])
_new = object.__new__


class Tracer(Protocol):
    """What ``un.compile`` installs while it traces a function in this thread."""

    sealed: bool
    """Whether nothing can be deferred any more."""

    padding: Any
    """Where lengths are dynamic: what has the true shapes and interprets ops; else None."""

    runs_again: bool
    """Whether what is traced is run again for its derivative, as a branch or a loop's body is, and then forgotten."""

    def applies(self) -> bool: ...
    def touch(self, tensor: Any) -> None: ...
    def made(self, tensor: Any) -> None: ...
    def read_grad(self, tensor: Any) -> None: ...
    def write_grad(self, tensor: Any) -> None: ...
    def read_flag(self, owner: Any, value: Any) -> None: ...
    def is_number(self, tensor: Any) -> bool:
        """Whether ``tensor`` stands for a Python float among the arguments."""

    def differentiate(self) -> None: ...
    def at_end(self, release: Callable[[], None]) -> None: ...
    def refuse_value(self, what: str) -> Exception: ...
    def defer(self, tensors: Sequence[Any], act: Callable[[list[Any]], None]) -> None: ...
    def before(self, act: Callable[[], None]) -> None:
        """Gives this trace up, calls ``act`` outside of it, where Tensors have values, and traces again."""


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
    if grad_mode.autocast is not None:
        return grad_mode.autocast.apply(op, args)
    tracer = tracing()
    if tracer is not None and tracer.padding is not None:
        return tracer.padding.apply(op, args)
    natives: list[Any] = []
    first: Any = None
    accessed = grad_mode.accessed
    mask: list[tuple[int, int]] = []
    parents: list[tuple[Node, int]] = []
    for position, (parameter, value) in enumerate(zip(op.parameters, args, strict=True)):
        kind = parameter.kind
        if kind is ParameterKind.STATIC:
            natives.append(tuple(value) if value.__class__ is list else value)
            continue
        if kind is ParameterKind.SEQUENCE:
            if not isinstance(value, (list, tuple)):
                value = _sequence(op, parameter, value)
                args = [*args[:position], value, *args[position + 1 :]]
            members: Sequence[Any] = value
        else:
            members = (value,)
        unwrapped = []
        for index, member in enumerate(members):
            if not isinstance(member, _tensor_class):
                if isinstance(member, np.generic):
                    member = member.item()
                if not parameter.takes(member):
                    raise _explain(op, args, _not_a_tensor(op, parameter, member))
                unwrapped.append(member)
                continue
            if tracer is not None:
                tracer.touch(member)
            if accessed is not None:
                accessed(member)
            native = member._native
            if first is None:
                first = native
            elif type(native) is not type(first):
                _same_backend(op, args, first, native)
                if type(native) in level_depths or type(first) in level_depths:
                    return apply(op, _lift_operands(op, args))
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
    if grad_mode.computed is not None:
        grad_mode.computed(op.name, result, None)
    node_ = None
    if mask and grad_mode.enabled:
        width = len(result) if isinstance(result, (tuple, list)) else 1
        if op.by_result is not None:
            natives[0], op = result, op.by_result
        node_ = Call(op, natives, key, tuple(mask), tuple(parents), width)
        if grad_mode.anomaly or grad_mode.computed is not None:
            node_.where = user_line()
    wrapped = _wrap_results(op, result, node_, key)
    if tracer is not None:
        for tensor in wrapped if isinstance(wrapped, (tuple, list)) else (wrapped,):
            if tensor is not None:
                tracer.made(tensor)
    if default.watched:
        return settled(apply, tracer, op, args, wrapped)
    return wrapped


level_depths: dict[type, int] = {}
"""The depth of each type of native that is a value inside a transform of ``unified.func``; see ``_levels``."""


def depth(tensor: Tensor) -> int:
    """How many levels of ``unified.func`` this Tensor's value lies inside; 0 for a framework's own tensor."""
    return level_depths.get(type(tensor._native), 0)


def lifted(tensor: Tensor, deepest: Tensor) -> Tensor:
    """``tensor`` in the level that ``deepest`` lies in: a constant there, unless it lies in it already."""
    if type(tensor._native) is type(deepest._native):
        return tensor
    return wrap(deepest._native.level.constant(tensor))


def _lift_operands(op: Op, args: Sequence[Any]) -> list[Any]:
    """``args`` with every Tensor in the deepest level that one of them has: there, the others are constants."""
    deepest: Any = max((v for v in op.operands(args) if isinstance(v, _tensor_class)), key=depth)
    return op.mapped(args, lambda v: lifted(v, deepest) if isinstance(v, _tensor_class) else v)


def _wrap_results(op: Op, result: Any, node: Node | None, kind: Any) -> Any:
    if not isinstance(result, (tuple, list)):
        return _attach(wrap(result), node, 0, kind)
    outputs = _wrap_all(op, result)
    if node is not None:
        for index, output in enumerate(outputs):
            if output is not None:
                _attach(output, node, index, kind)
    return outputs


def _wrap_all(op: Op, natives: Sequence[Native]) -> Any:
    """The results of an op that returns several, outside of any graph of the tape."""
    outputs = [None if native is None else wrap(native) for native in natives]
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
    if one.name != two.name:
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


def _spec(value: Any) -> Any:
    """As :func:`spec`, of what a caller gave."""
    if isinstance(value, (list, tuple)):
        return [_spec(member) for member in value]
    return spec(value._native if isinstance(value, _tensor_class) else value)


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
        keywords = dict(zip(names, values[split:], strict=True))
        if _caller.namespace["tracer"] is None:
            result = body(*values[:split], **keywords)
        else:
            with _alone():
                result = body(*values[:split], **keywords)
        if isinstance(result, _tensor_class):
            return result._native
        return [None if r is None else r._native for r in result]

    return lifted


@contextmanager
def _alone() -> Iterator[None]:
    """Nobody traces or hears what ops in this thread do, nor casts what they take; the default is float32."""
    before = grad_mode.lifted, grad_mode.accessed, grad_mode.computed, grad_mode.autocast
    grad_mode.lifted = _caller.namespace["tracer"]
    grad_mode.accessed = grad_mode.computed = grad_mode.autocast = None
    try:
        with held(float32):
            yield
    finally:
        grad_mode.lifted, grad_mode.accessed, grad_mode.computed, grad_mode.autocast = before
        _listen()


def padding() -> Any:
    """What interprets ops on Tensors of dynamic length in this thread, or None."""
    if _caller.namespace["tracer"] is None:
        return None
    tracer = tracing()
    return None if tracer is None else tracer.padding


def tracing() -> Tracer | None:
    """The tracer at work in this thread, or None."""
    tracer = cast("Tracer | None", _caller.namespace["tracer"])
    return tracer if tracer is not None and tracer.applies() and tracer is not grad_mode.lifted else None


class _Idle:
    """In the tracer's place it makes callers take the general path, where nothing is traced."""

    sealed = False

    padding = None

    def applies(self) -> bool:
        return False


_idle = cast(Tracer, _Idle())
_listening: set[int] = set()
"""The threads in which somebody wants to hear of ops; 0 while the default dtype has all of them look at results."""


def follow_default() -> None:
    """Sends all calls the general way from now on, or no longer, as the default dtype wants it."""
    (_listening.add if default.watched else _listening.discard)(0)
    _listen()


def tell_accessed(to: Callable[[Any], None] | None) -> None:
    """Calls ``to`` with each Tensor that an op takes in this thread from now on; None ends it."""
    grad_mode.accessed = to
    _listen()


def tell_computed(to: Callable[[str, Any, str | None], None] | None) -> None:
    """Calls ``to`` with each op's name and results in this thread from now on; None ends it."""
    grad_mode.computed = to
    _listen()


def set_autocast(state: Any) -> None:
    """Sends each op in this thread through ``state.apply(op, args)`` from now on; None ends it."""
    grad_mode.autocast = state
    _listen()


def _listen() -> None:
    """Sends calls the general way while somebody listens there, in whichever thread."""
    thread = threading.get_ident()
    if grad_mode.accessed is None and grad_mode.computed is None and grad_mode.autocast is None:
        _listening.discard(thread)
    else:
        _listening.add(thread)
    if _caller.namespace["tracer"] in (None, _idle):
        _caller.namespace["tracer"] = _idle if _listening else None


def set_tracer(tracer: Tracer | None) -> Tracer | None:
    """Installs ``tracer`` and returns the one it replaces."""
    previous = cast("Tracer | None", _caller.namespace["tracer"])
    if tracer is None or tracer is _idle:
        tracer = _idle if _listening else None
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
    idempotent: bool = False,
    by_result: Callable[..., Any] | None = None,
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
    idempotent: bool = False,
    by_result: Callable[..., Any] | None = None,
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
        idempotent: ``f(f(x)) == f(x)`` and ``f'(f(x)) == f'(x)`` in its first operand, as for relu: the tape then
            keeps the result, which the next op keeps too, and not the operand.
        by_result: (result, cotangent) to the operand's cotangent, in ops, of an op of one operand: the tape then
            keeps the result as well. PyTorch saves it too, in the same ops.
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
        if idempotent:
            entry.by_result = entry
        elif by_result is not None:
            entry.by_result = entry.recorded_by_result()
            pull = entry.by_result.pullback(((0, -1),))
            pull.composite = _lift(pull, lambda result, cotangents: (by_result(result, *cotangents),))
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
    apply=apply, explain=_explain, grad_mode=grad_mode, tracer=None,
    new=_new, current_backend=current_backend, wrap_all=_wrap_all,
)  # fmt: skip
