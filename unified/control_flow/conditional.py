"""Branches: ``cond`` and ``switch``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unified import _structure as structure
from unified._dispatch import tracing
from unified._tensor import Tensor
from unified.control_flow import _rules
from unified.control_flow._nests import Nest
from unified.control_flow._primitives import select
from unified.control_flow._region import Region, compiles
from unified.control_flow._state import State, recorded
from unified.errors import (
    ArgumentError,
    DTypeError,
    FunctionTransformError,
    IndexOutOfRangeError,
    OperandError,
    ShapeError,
)


def cond(
    pred: Tensor | bool, true_fn: Callable[..., Any], false_fn: Callable[..., Any], operands: Sequence[Any] = ()
) -> Any:
    """``true_fn(*operands)`` where ``pred`` holds, else ``false_fn(*operands)``.

    Eagerly this is a Python ``if``. Inside ``un.compile`` both branches are traced and one runs; what they use from
    outside needs no mention among ``operands``, and what either rebinds (``x.add_(1)``, random state) is rebound
    after the call. Where ``pred`` differs between the examples of a ``vmap``, both run and each takes its own.

    Args:
        pred: one element, or a Python bool.
        true_fn, false_fn: return Tensors in any nesting, of one structure, with the same shapes and dtypes.
        operands: Tensors in any nesting.

    Example: ``un.cond(x.sum() > 0, lambda x: x.sqrt(), lambda x: x * 0, (x,))``.

    Raises:
        ShapeError: ``pred`` has more than one element.
        ControlFlowError: the branches return different structures, shapes or dtypes (seen where both are traced).
    """
    _callables("cond", true_fn=true_fn, false_fn=false_fn)
    if isinstance(pred, Tensor):
        pred = truth("cond", "pred", pred)
    elif not isinstance(pred, (bool, int, float)):
        raise OperandError(f"cond: pred must be a Tensor or a bool, not {type(pred).__name__}")
    else:
        pred = bool(pred)
    return _branch("cond", pred, (false_fn, true_fn), operands)


def switch(index: Tensor | int, branches: Sequence[Callable[..., Any]], operands: Sequence[Any] = ()) -> Any:
    """``branches[index](*operands)``, with the properties of :func:`cond`.

    Args:
        index: one integer, from 0 to the number of branches - 1. Eagerly another one is refused; a compiled program
            takes the nearest branch.
        branches: return Tensors in any nesting, of one structure, with the same shapes and dtypes.
        operands: Tensors in any nesting.

    Example: ``un.switch(un.tensor(1), (un.sin, un.cos), (x,))`` is ``x.cos()``.

    Raises:
        IndexOutOfRangeError: there is no such branch.
        DTypeError, ShapeError: ``index`` is no integer, or has more than one element.
        ControlFlowError: the branches return different structures, shapes or dtypes (seen where all are traced).
    """
    branches = tuple(branches)
    if not branches:
        raise ArgumentError("switch: at least one branch is needed")
    _callables("switch", **{f"branches[{i}]": branch for i, branch in enumerate(branches)})
    if isinstance(index, Tensor):
        index = single_element("switch", "index", index)
        if index.dtype.kind not in "iu":
            raise DTypeError(f"switch: index must be an integer, not {index.dtype.name}")
    elif not isinstance(index, int) or isinstance(index, bool):
        raise OperandError(f"switch: index must be an int or a Tensor, not {type(index).__name__}")
    return _branch("switch", index, branches, operands)


def _callables(what: str, **functions: Any) -> None:
    for name, function in functions.items():
        if not callable(function):
            raise OperandError(f"{what}: {name} must be a function, not {type(function).__name__}")


def single_element(what: str, name: str, tensor: Tensor) -> Tensor:
    """``tensor`` without dimensions.

    Raises:
        ShapeError: it has more than one element, or none.
    """
    if tensor.numel() != 1:
        raise ShapeError(
            f"{what}: {name} must be a single element, not of shape {tuple(tensor.shape)}; reduce it first, e.g. "
            f"with x.any() or x.all(), or choose by element with un.where"
        )
    single: Tensor = tensor.reshape(()) if tensor.ndim else tensor
    return single


def truth(what: str, name: str, tensor: Tensor) -> Tensor:
    """The one element of ``tensor`` as a bool."""
    single = single_element(what, name, tensor)
    return single if single.dtype.kind == "b" else single != 0


def _branch(what: str, index: Any, branches: Sequence[Callable[..., Any]], operands: Any) -> Any:
    if not isinstance(operands, (tuple, list)):
        raise OperandError(f"{what}: operands must be a tuple, one entry for each argument of the branches, "
                           f"not {type(operands).__name__}")  # fmt: skip
    if isinstance(index, Tensor) and tracing() is not None:
        return (_traced if compiles() else _selected)(what, index, branches, operands)
    try:
        place = int(index)
    except FunctionTransformError:  # it differs between the examples of a vmap
        return _selected(what, index, branches, operands)
    if not 0 <= place < len(branches):
        raise IndexOutOfRangeError(f"{what}: index {place} is out of range for {len(branches)} branches")
    return branches[place](*operands)


def _selected(what: str, index: Tensor, branches: Sequence[Callable[..., Any]], operands: Sequence[Any]) -> Any:
    """Every branch runs, and each example takes the results of its own."""
    found = [Nest.of(branch(*operands)) for branch in branches]
    for number, (nest, _) in enumerate(found):
        found[0][0].require(nest, what, _name(what, 0), _name(what, number))
    return structure.unflatten(found[0][0].form, select(index, [leaves for _, leaves in found]))


def _traced(what: str, index: Tensor, branches: Sequence[Callable[..., Any]], operands: Sequence[Any]) -> Any:
    leaves: list[Tensor] = []
    form = structure.flatten(tuple(operands), leaves)
    regions = []
    for number, branch in enumerate(branches):
        regions.append(Region(f"{what}, {_name(what, number)}", branch, form, leaves, index))
        regions[0].result.require(regions[number].result, what, _name(what, 0), _name(what, number))
    state = State(regions)
    changed = state.changed
    count = len(leaves)

    def body(region: Region) -> _rules.Body:
        def run(inputs: list[Tensor]) -> list[Tensor]:
            results, left = region.run(inputs[:count], state.captured, inputs[count:])
            return [*results, *[left[place] for place in changed]]

        return run

    results = _rules.switch(index, [body(region) for region in regions], [*leaves, *state.captured])
    width = len(results) - len(changed)
    state.write(results[width:])
    kept = [any(region.requires[place] for region in regions) for place in range(width)]
    return structure.unflatten(regions[0].result.form, recorded(results[:width], kept))


def _name(what: str, number: int) -> str:
    return (
        ("false_fn's result", "true_fn's result")[number] if what == "cond" else f"the result of branches[{number}]"
    )
