"""What is done with values once they are known: at once in eager code, after the call in a compiled function.

A compiled function computes such values as further results of its program, which needs no callback from inside a
program: XLA on the CPU refuses TensorFlow's, and a TPU has none. So they appear when the call is over, in the order
in which the function said it, and a program that has any gives up no buffers: what raises leaves all state as it was.
"""

from __future__ import annotations

import builtins
import string
from collections.abc import Callable
from typing import Any

import numpy as np

from unified import _structure
from unified._dispatch import backends_by_type, depth, tracing
from unified._engine import engine_of
from unified._length import Length
from unified._location import user_line
from unified._tensor import Tensor
from unified.errors import ArgumentError, CheckError, OperandError, TracedValueError

_FORMATTER = string.Formatter()


def print(template: str, /, *values: Any, **named: Any) -> None:
    """Prints ``template.format(*values, **named)`` with the elements of Tensors among the values.

    In a compiled function it prints when the call has computed them, in the order of the program, at every call. A
    format like ``{:.3f}`` applies to each element. Inside ``vmap`` all examples are printed at once, along
    dimension 0; inside ``checkpoint`` it prints again when the region runs again.

    Example:
        >>> un.debug.print("loss = {:.2f} at {}", loss, {"lr": 0.1})
        loss = 0.25 at {'lr': 0.1}

    Raises:
        ArgumentError: the template does not fit the values, or cannot be read.
    """
    values, named = _known(values, named)
    fields = _fields("print", template, values, named)
    when_run(_bare(values, named), lambda arrays: builtins.print(fields(arrays), flush=True))


def check(condition: Any, message: str, /, *values: Any, **named: Any) -> None:
    """Raises unless every element of ``condition`` holds, with ``message.format(*values, **named)``.

    Eager code raises at once. A compiled call raises when it is over, and is then as if it had not been: no Tensor
    has changed. Of several checks the first that fails raises, after what was printed before it.

    Args:
        condition: a Tensor of any shape, or a bool.

    Example:
        >>> un.debug.check(x.min() >= 0, "negative: {}", x.min())

    Raises:
        CheckError: the condition does not hold.
        ArgumentError: the message does not fit the values.
    """
    if not isinstance(condition, (Tensor, bool, np.bool_)):
        raise OperandError(f"check: the condition must be a Tensor or a bool, not {type(condition).__name__}")
    values, named = _known(values, named)
    text = _fields("check", message, values, named)
    line = user_line()

    def act(arrays: list[Any]) -> None:
        *given, held = arrays
        if not np.all(held):
            raise CheckError(f"{text(given)}\n  checked at {line}")

    _with_condition(condition, _bare(values, named), act)


def breakpoint_if(condition: Any, /, *values: Any, **named: Any) -> None:
    """Opens Python's debugger where any element of ``condition`` holds; ``values`` and ``named`` are in its scope.

    Eager code stops at once. A compiled call stops when it is over, before it changes any state, and tells the line
    that asked. Which debugger is ``sys.breakpointhook``'s choice, as of Python's ``breakpoint()``.

    Args:
        condition: a Tensor of any shape, or a bool.
    """
    if not isinstance(condition, (Tensor, bool, np.bool_)):
        raise OperandError(f"breakpoint_if: the condition must be a Tensor or a bool, not {type(condition).__name__}")
    leaves: list[Tensor] = []
    nest = _structure.flatten(_known(values, named), leaves)
    line = user_line()

    def act(arrays: list[Any]) -> None:
        *given, held = arrays
        if np.any(held):
            _stop(line, *_structure.unflatten(nest, given))

    _with_condition(condition, leaves, act)


def _stop(line: str, values: tuple[Any, ...], named: dict[str, Any]) -> None:
    builtins.print(f"un.debug.breakpoint_if at {line}; see `values` and `named`", flush=True)
    breakpoint()


def when_run(tensors: list[Tensor], act: Callable[[list[Any]], None]) -> None:
    """Calls ``act`` with the values of ``tensors`` as numpy arrays: now, or when the program being traced has run."""
    tracer = tracing()
    if tracer is not None:
        for tensor in tensors:
            tracer.touch(tensor)
    bare = [engine_of(tensor).transforms.bare(tensor) if _inside(tensor) else tensor for tensor in tensors]
    if tracer is not None:
        if tracer.padding is not None:
            for tensor, peeled in zip(tensors, bare, strict=True):
                tracer.padding.aliased(tensor, peeled)
        tracer.defer(bare, act)
        return
    natives = [tensor._native for tensor in bare]
    if any(backends_by_type[type(native)].compiler.is_traced(native) for native in natives):
        raise TracedValueError(
            "un.debug was called inside an op that its backend compiles by itself, or inside a framework's own jit; "
            f"it works in eager code and in functions under un.compile.\n  at {user_line()}"
        )
    act([_values(tensor) for tensor in bare])


def _values(tensor: Tensor) -> np.ndarray[Any, Any]:
    with engine_of(tensor).transforms.suspended():
        array: np.ndarray[Any, Any] = backends_by_type[type(tensor._native)].to_numpy(tensor._native)
    return array


def _inside(tensor: Tensor) -> bool:
    """Whether it may be a value inside a transform of ``unified.func``."""
    return bool(depth(tensor)) or backends_by_type[type(tensor._native)].engine is not None


def _with_condition(condition: Any, tensors: list[Tensor], act: Callable[[list[Any]], None]) -> None:
    if isinstance(condition, Tensor):
        when_run([*tensors, condition], act)
    else:
        when_run(tensors, lambda arrays: act([*arrays, condition]))


def _known(values: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """With Tensors in the places of dynamic lengths, which have a value when the program has run."""

    def known(value: Any) -> Any:
        return value.value() if isinstance(value, Length) else value

    return tuple(map(known, values)), {name: known(value) for name, value in named.items()}


def _bare(values: Any, named: Any) -> list[Tensor]:
    leaves: list[Tensor] = []
    _structure.flatten((values, named), leaves)
    return leaves


class _Shown:
    """A Tensor's value in a format string."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self._array = array

    def __getattr__(self, name: str) -> Any:
        return getattr(self._array, name)

    def __str__(self) -> str:
        return str(self._array[()])

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        if not self._array.ndim:
            return format(self._array.item(), spec)
        return np.array2string(_as_python(self._array), formatter={"all": lambda x: format(x, spec)})


def _as_python(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """With elements that Python's formats know; bfloat16's are not."""
    return array.astype(np.float32) if array.dtype.kind == "V" or array.dtype.name == "bfloat16" else array


def _fields(name: str, template: str, values: Any, named: Any) -> Callable[[list[Any]], str]:
    """The text for these values, once the arrays of the Tensors among them are known.

    Tried at once with zeros, so that a template that does not fit is refused where it is written.
    """
    leaves: list[Tensor] = []
    nest = _structure.flatten((values, named), leaves)

    def text(arrays: list[Any]) -> str:
        shown, words = _structure.unflatten(nest, [_Shown(np.asarray(array)) for array in arrays])
        return _FORMATTER.vformat(template, shown, words)

    try:
        text([np.zeros([1] * leaf.ndim, leaf.dtype.numpy) for leaf in leaves])
    except (IndexError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ArgumentError(
            f"un.debug.{name}: {template!r} does not fit {len(values)} value(s) and the names {sorted(named)}: "
            f"{error}"
        ) from error
    return text
