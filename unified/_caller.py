"""Callers: the function a user calls, generated from an op's declared signature.

Annotations say what a parameter is, and are read as text:

=====================  ==========================================================================
``Tensor``             a Tensor
``Tensor | None``      a Tensor or nothing
``Operand``            a Tensor or a Python number; a number is a *dynamic* argument
``Operand | None``     the same, or nothing
``Scalar``             a Python number, dynamic
``Sequence[Tensor]``   a list or tuple of Tensors (``Sequence[Operand]``: and numbers)
anything else          static: hashable, part of the program
=====================  ==========================================================================

The source of ``relu`` and of every other unary op without arguments comes out as::

    def caller(input, *, out=None):
        if out is not None: refuse_out(op.name)
        if tracer is not None or not isinstance(input, Tensor): return apply(op, (input,))
        native0 = input._native
        if input._node is not None and grad_mode.enabled: return apply(op, (input,))
        try: out = implementations[native0.__class__](native0)
        except Exception as error: raise explain(op, (input,), error) from error
        result = new(Tensor); result._native = out; result._node = None
        return result
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from unified.errors import ArgumentError


class ParameterKind(Enum):
    TENSOR = "a Tensor"
    OPTIONAL = "a Tensor or None"
    OPERAND = "a Tensor or a number"
    OPTIONAL_OPERAND = "a Tensor, a number or None"
    SCALAR = "a number"
    SEQUENCE = "a sequence of Tensors"
    STATIC = "static"

    def __hash__(self) -> int:
        return id(self)


_KINDS = {
    "Tensor": ParameterKind.TENSOR,
    "Tensor | None": ParameterKind.OPTIONAL,
    "Operand": ParameterKind.OPERAND,
    "Operand | None": ParameterKind.OPTIONAL_OPERAND,
    "Scalar": ParameterKind.SCALAR,
    "Sequence[Tensor]": ParameterKind.SEQUENCE,
    "Sequence[Operand]": ParameterKind.SEQUENCE,
}
_NUMBERS = (bool, int, float, complex)
_TAKES_NUMBER = {
    ParameterKind.OPERAND, ParameterKind.OPTIONAL_OPERAND, ParameterKind.SCALAR, ParameterKind.SEQUENCE
}  # fmt: skip
_TAKES_NONE = {ParameterKind.OPTIONAL, ParameterKind.OPTIONAL_OPERAND, ParameterKind.SEQUENCE}
_ALIASES = {"dim": "axis", "keepdim": "keepdims"}


class Parameter(NamedTuple):
    """One parameter of an op."""

    name: str
    kind: ParameterKind
    required: bool
    keyword: bool

    def takes(self, value: Any) -> bool:
        """Whether a value that is not a Tensor may stand here."""
        if value is None:
            return self.kind in _TAKES_NONE
        return self.kind in _TAKES_NUMBER and isinstance(value, _NUMBERS)

    def describe(self) -> str:
        return self.kind.value


class _Missing:
    def __repr__(self) -> str:
        return "<not given>"


MISSING = _Missing()

namespace: dict[str, Any] = {"isinstance": isinstance, "tuple": tuple, "list": list, "MISSING": MISSING}
"""Globals of all callers. ``tracer`` in it is what makes them take the general path while compiling."""


def read_signature(function: Callable[..., Any]) -> tuple[tuple[Parameter, ...], Any]:
    """The parameters of a declared function, and what wraps several results (None for one)."""
    assert isinstance(function, FunctionType)
    code, notes = function.__code__, function.__annotations__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    defaults = len(function.__defaults__ or ())
    keyword_defaults = function.__kwdefaults__ or {}
    parameters = []
    for index, name in enumerate(names):
        keyword = index >= code.co_argcount
        required = name not in keyword_defaults if keyword else index < code.co_argcount - defaults
        kind = _KINDS.get(notes[name], ParameterKind.STATIC)
        parameters.append(Parameter(name, kind, required, keyword))
    returns = notes["return"]
    if returns == "Tensor":
        return tuple(parameters), None
    return tuple(parameters), tuple if returns.startswith("tuple[") else function.__globals__[returns]


def generate(op: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """The caller for ``op``, with the declared function's name, docstring, defaults and signature.

    Its code is compiled when it is first called: importing the library would otherwise compile a hundred of them.
    """
    assert isinstance(function, FunctionType)
    caller: Callable[..., Any] = namespace["uncompiled"](op, op.implementations)
    defaults = function.__defaults__ or ()
    caller.__defaults__ = ((MISSING, *defaults) if _late(op.parameters) else defaults) or None
    aliases = {_ALIASES[p.name]: MISSING for p in _aliased(op.parameters)}
    caller.__kwdefaults__ = {**(function.__kwdefaults__ or {}), **aliases, "out": None}
    for attribute in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__"):
        setattr(caller, attribute, getattr(function, attribute))
    caller.__wrapped__ = function  # type: ignore[attr-defined]
    return caller


_codes: dict[str, CodeType] = {}


_UNCOMPILED = """
def uncompiled(op, implementations):
    def caller(*args, **kwargs):
        return compiled(op, implementations)(*args, **kwargs)
    return caller
"""
"""A caller that puts the generated code in its own place; both close over the same two names, in one namespace."""


def _compiled(op: Any, implementations: Any) -> Callable[..., Any]:
    source = _source(op.parameters, op.returns is None)
    code = _codes.get(source)
    if code is None:
        scope: dict[str, Any] = {}
        exec(compile(source, "<unified caller>", "exec"), namespace, scope)
        made: FunctionType = scope["make"](op, implementations)
        code = _codes[source] = made.__code__
    caller: FunctionType = op.caller
    caller.__code__ = code
    return caller


def _late(parameters: tuple[Parameter, ...]) -> bool:
    """Whether ``dim`` is required and last among the required, so that ``axis=`` can stand for it."""
    required = [p for p in parameters if p.required and not p.keyword]
    return bool(required) and required[-1].name in _ALIASES


def _aliased(parameters: tuple[Parameter, ...]) -> list[Parameter]:
    late = _late(parameters)
    return [p for p in parameters if p.name in _ALIASES and (late or not p.required)]


def missing_dim(op: Any) -> None:
    """Raises what Python itself would, had ``dim`` no alias."""
    raise TypeError(f"{op.name}() missing 1 required argument: 'dim'")


def refuse_out(name: str) -> None:
    """Raises for ``out=``, which every public op refuses."""
    raise ArgumentError(
        f"{name}: out= is not taken, since a result cannot be written into another Tensor's memory on every backend; "
        f"write y = un.{name}(...), or y.copy_(un.{name}(...)) to change what other names of y see"
    )


def _source(parameters: tuple[Parameter, ...], single: bool) -> str:
    signature: list[str] = []
    late = _late(parameters)
    aliased = _aliased(parameters)
    for index, parameter in enumerate(parameters):
        if parameter.keyword and (index == 0 or not parameters[index - 1].keyword):
            signature.append("*")
        optional = not parameter.required or (late and parameter in aliased)
        signature.append(f"{parameter.name}=None" if optional else parameter.name)
    if "*" not in signature:
        signature.append("*")
    signature += [f"{_ALIASES[p.name]}=None" for p in aliased]
    signature.append("out=None")

    body: list[str] = ["if out is not None: refuse_out(op.name)"]
    for p in aliased:
        alias = _ALIASES[p.name]
        body.append(f"if {alias} is not MISSING: {p.name} = {alias}")
        if p.required:
            body.append(f"elif {p.name} is MISSING: missing_dim(op)")
    names = "(" + "".join(f"{p.name}, " for p in parameters) + ")"
    tensors = [i for i, p in enumerate(parameters) if p.kind is not ParameterKind.STATIC]
    general = f"return apply(op, {names})"
    if any(p.kind is ParameterKind.SEQUENCE for p in parameters):
        body.append(general)
    else:
        body += _fast_path(parameters, tensors, names, general, single)
    lines = [f"def make(op, implementations):\n    def caller({', '.join(signature)}):"]
    lines += [f"        {line}" for line in body]
    lines.append("        if 0: op, implementations")  # every caller closes over both, whatever it uses
    lines.append("    return caller")
    return "\n".join(lines)


def _fast_path(
    parameters: tuple[Parameter, ...], tensors: list[int], names: str, general: str, single: bool
) -> list[str]:
    arguments = [p.name for p in parameters]
    if tensors:
        first = parameters[tensors[0]]
        arguments[tensors[0]] = lead = f"native{tensors[0]}"
        key = f"{lead}.__class__"
        body = [f"if tracer is not None or not isinstance({first.name}, Tensor): {general}"]
        body += [f"{lead} = {first.name}._native", f"node = {first.name}._node"]
    else:
        key = "current_backend()"
        body = [f"if tracer is not None: {general}"]
    for index in tensors[1:]:
        p = parameters[index]
        arguments[index] = x = f"native{index}"
        body += [
            f"if isinstance({p.name}, Tensor):",
            f"    {x} = {p.name}._native",
            f"    if {p.name}._node is not None: node = {p.name}._node",
            f"    if {x}.__class__ is not {lead}.__class__: {general}",
        ]
        if p.kind in _TAKES_NONE:
            body.append(f"elif {p.name} is None: {x} = None")
        if p.kind in _TAKES_NUMBER:
            body.append(f"elif isinstance({p.name}, (float, int, complex)): {x} = {p.name}")
        body.append(f"else: {general}")
    for p in parameters:
        if p.kind is ParameterKind.STATIC and p.name not in ("keepdim", "dtype"):
            body.append(f"if {p.name}.__class__ is list: {p.name} = tuple({p.name})")
    if tensors:
        body.append(f"if node is not None and grad_mode.enabled: {general}")
    body += [
        f"try: out = implementations[{key}]({', '.join(arguments)})",
        f"except Exception as error: raise explain(op, {names}, error) from error",
    ]
    if not single:
        return [*body, "return wrap_all(op, out)"]
    return [*body, "result = new(Tensor)", "result._native = out", "result._node = None", "return result"]


namespace.update(
    float=float,
    int=int,
    complex=complex,
    Exception=Exception,
    missing_dim=missing_dim,
    compiled=_compiled,
    refuse_out=refuse_out,
)
exec(compile(_UNCOMPILED, "<unified caller>", "exec"), namespace)
