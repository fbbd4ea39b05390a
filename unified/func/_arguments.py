"""Arguments and results of transformed functions: which are differentiated, flat lists, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unified import _structure
from unified._dispatch import backends_by_type, tracing
from unified._selection import current_backend
from unified._tensor import Tensor
from unified.errors import ArgumentError, BackendMismatchError, DTypeError, FunctionTransformError, OperandError

Argnums = int | tuple[int, ...]


def name_of(func: Callable[..., Any]) -> str:
    """What errors call a function."""
    return getattr(func, "__name__", repr(func))


def flatten(value: Any) -> tuple[list[Tensor], Any]:
    """The Tensors in ``value`` and the structure around them; what traces is told that they are used."""
    leaves: list[Tensor] = []
    structure = _structure.flatten(value, leaves)
    tracer = tracing()
    if tracer is not None:
        for leaf in leaves:
            tracer.touch(leaf)
    return leaves, structure


def unflatten(structure: Any, leaves: Sequence[Any]) -> Any:
    """``leaves`` in that structure."""
    return _structure.unflatten(structure, leaves)


def representative(transform: str, tensors: Sequence[Tensor]) -> Tensor:
    """A Tensor whose backend is that of all: the one whose transforms are used.

    Raises:
        OperandError: there is none.
        BackendMismatchError: they live on several backends.
    """
    if not tensors:
        raise OperandError(f"{transform}: at least one Tensor is needed, on {current_backend().name} or elsewhere")
    names = sorted({backends_by_type[type(tensor._native)].name for tensor in tensors})
    if len(names) > 1:
        raise BackendMismatchError(
            f"{transform}: arguments live on several backends, {' and '.join(names)}; "
            f"move them to one with x.to(backend={names[0]!r})"
        )
    return tensors[0]


def positions(transform: str, argnums: Argnums, count: int) -> tuple[int, ...]:
    """``argnums`` as positions among ``count`` arguments.

    Raises:
        ArgumentError: one is out of range, or named twice.
        OperandError: they are no ints.
    """
    given = (argnums,) if isinstance(argnums, int) else argnums
    if not isinstance(given, tuple) or not all(isinstance(n, int) and not isinstance(n, bool) for n in given):
        raise OperandError(f"{transform}: argnums must be an int or a tuple of ints, not {argnums!r}")
    if not given:
        raise ArgumentError(f"{transform}: argnums must not be empty")
    for number in given:
        if not -count <= number < count:
            raise ArgumentError(f"{transform}: argnums={argnums} is out of range for {count} positional argument(s)")
    found = tuple(number % count for number in given)
    if len(set(found)) < len(found):
        raise ArgumentError(f"{transform}: argnums={argnums} names an argument twice")
    return found


def selected(args: Sequence[Any], argnums: Argnums, places: Sequence[int]) -> Any:
    """The arguments at ``places``: one by itself for a single argnum, else a tuple."""
    return args[places[0]] if isinstance(argnums, int) else tuple(args[place] for place in places)


def replaced(args: Sequence[Any], argnums: Argnums, places: Sequence[int], new: Any) -> list[Any]:
    """``args`` with ``new``, as :func:`selected` gives it, in their places."""
    changed = list(args)
    for place, value in zip(places, (new,) if isinstance(argnums, int) else new, strict=True):
        changed[place] = value
    return changed


def differentiable(transform: str, what: str, tensors: Sequence[Tensor]) -> None:
    """Raises DTypeError for one that is neither floating nor complex, OperandError where there is none."""
    if not tensors:
        raise OperandError(f"{transform}: {what} must contain at least one Tensor")
    for tensor in tensors:
        if not tensor.dtype.is_inexact:
            raise DTypeError(
                f"{transform}: {what} must be floating or complex Tensors, not one of {tensor.dtype.name} "
                f"{tuple(tensor.shape)}"
            )


def with_aux(transform: str, output: Any, has_aux: bool) -> tuple[Any, Any]:
    """The output and what comes beside it; raises FunctionTransformError where ``has_aux`` finds no pair."""
    if not has_aux:
        return output, None
    if not isinstance(output, tuple) or len(output) != 2:
        raise FunctionTransformError(f"{transform}: with has_aux=True the function must return a tuple (output, aux)")
    return output


def only_tensors(transform: str, output: Any) -> tuple[list[Tensor], Any]:
    """``output`` flat.

    Raises:
        FunctionTransformError: it has something else than Tensors, or nothing.
    """
    leaves, structure = flatten(output)
    other = _statics(structure)
    if other or not leaves:
        found = type(other[0].value).__name__ if other else "nothing"
        raise FunctionTransformError(f"{transform}: the function must return Tensors only, but it returned {found}")
    return leaves, structure


def _statics(structure: Any) -> list[_structure.Static]:
    if isinstance(structure, _structure.Static):
        return [structure]
    if isinstance(structure, tuple) and len(structure) > 1:
        return [static for member in structure[-1] for static in _statics(member)]
    return []
