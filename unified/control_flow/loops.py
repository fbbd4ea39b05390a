"""Loops by a condition or a count: ``while_loop`` and ``fori_loop``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unified import _structure as structure
from unified._dispatch import tracing
from unified._dtype import bool_, int32
from unified._levels import outside
from unified._tensor import Tensor
from unified.control_flow import _rules
from unified.control_flow._nests import Nest, backend_of
from unified.control_flow._primitives import select
from unified.control_flow._region import Region, compiles, settled
from unified.control_flow._state import State, recorded
from unified.control_flow.conditional import cond, single_element, truth
from unified.control_flow.scans import scan
from unified.errors import ArgumentError, ControlFlowError, DTypeError, FunctionTransformError, OperandError
from unified.ops.creation import arange, ones
from unified.ops.creation import tensor as make

_BOUND = "say how many there are at most with un.while_loop(..., max_trips=n)"


def while_loop(
    cond_fn: Callable[[Any], Any], body_fn: Callable[[Any], Any], init: Any, *, max_trips: int | None = None
) -> Any:
    """``carry = body_fn(carry)``, from ``init`` on, while ``cond_fn(carry)`` holds.

    Eagerly this is a Python ``while``, differentiable like any other code. Inside ``un.compile`` it is a loop of the
    compiler's, whose trips nobody counts beforehand: forward mode (``un.func.jvp``) differentiates it, ``backward``
    cannot. With ``max_trips`` it ends after that many trips even if ``cond_fn`` still holds, and has gradients
    everywhere; a compiled one then always makes ``max_trips`` trips, of which those at the end change nothing.

    Args:
        cond_fn: carry to one element, or a Python bool. It changes no Tensor.
        body_fn: carry to the next one, of the structure, shapes and dtypes of ``init``.
        init: Tensors in any nesting.
        max_trips: the largest number of trips.

    Example: ``un.while_loop(lambda x: x < 10, lambda x: x * 2, un.tensor(3))`` is 12.

    Raises:
        ControlFlowError: a carry of another structure, shape or dtype; or ``cond_fn`` gives more than one element.
        AutogradError: a gradient is asked for of a compiled loop without ``max_trips``.
    """
    if max_trips is not None and (not isinstance(max_trips, int) or isinstance(max_trips, bool) or max_trips < 0):
        raise ArgumentError(f"while_loop: max_trips must be an int that is not negative, or None, not {max_trips!r}")
    if tracing() is not None:
        if max_trips is None:
            return _traced("while_loop", cond_fn, body_fn, init)
        return _bounded(cond_fn, body_fn, init, max_trips)
    return _looped(cond_fn, body_fn, init, max_trips)


def fori_loop(lower: int | Tensor, upper: int | Tensor, body_fn: Callable[[Tensor, Any], Any], init: Any) -> Any:
    """``carry = body_fn(i, carry)`` for each ``i`` from ``lower`` on and below ``upper``.

    Inside ``un.compile`` bounds that are Python ints make a :func:`scan`, which has gradients; bounds that are
    Tensors make a :func:`while_loop`, which has those of forward mode alone.

    Args:
        lower, upper: ints, or integer Tensors of one element.
        body_fn: (0-d integer Tensor, carry) to the next carry, of the structure, shapes and dtypes of ``init``.
        init: Tensors in any nesting.

    Example: ``un.fori_loop(0, 4, lambda i, x: x * 2, un.tensor(1.0))`` is 16.

    Raises:
        ControlFlowError: a carry of another structure, shape or dtype.
        DTypeError, ShapeError: a bound is no integer, or has more than one element.
        AutogradError: a gradient is asked for of a compiled loop between bounds that are Tensors.
    """
    bounds = [_bound("lower", lower), _bound("upper", upper)]
    dynamic = [bound for bound in bounds if isinstance(bound, Tensor)]
    if tracing() is None or not dynamic:
        try:
            first, last = int(bounds[0]), int(bounds[1])
        except FunctionTransformError:  # they differ between the examples of a vmap
            pass
        else:
            with backend_of(init):
                counts = arange(first, max(first, last))
            return scan(lambda carry, i: (body_fn(i, carry), None), init, counts)[0]
    with backend_of(dynamic):
        start = bounds[0] if isinstance(bounds[0], Tensor) else make(bounds[0], dtype=int32)
    pair = (start, init)
    condition, advance = (lambda state: state[0] < bounds[1]), (lambda state: (state[0] + 1, body_fn(*state)))
    if tracing() is None:
        return _looped(condition, advance, pair, None)[1]
    return _traced("fori_loop", condition, advance, pair, "give Python ints as bounds")[1]


def _bound(name: str, bound: Any) -> Any:
    if isinstance(bound, Tensor):
        single = single_element("fori_loop", name, bound)
        if bound.dtype.kind not in "iu":
            raise DTypeError(f"fori_loop: {name} must be an integer, not {bound.dtype.name}")
        return single
    if not isinstance(bound, int) or isinstance(bound, bool):
        raise OperandError(f"fori_loop: {name} must be an int or an integer Tensor, not {type(bound).__name__}")
    return bound


def _holds(value: Any) -> Any:
    if isinstance(value, Tensor):
        return truth("while_loop", "the result of cond_fn", value)
    if not isinstance(value, bool):
        raise ControlFlowError(f"while_loop: cond_fn must return a Tensor or a bool, not {type(value).__name__}")
    return value


def _looped(cond_fn: Callable[[Any], Any], body_fn: Callable[[Any], Any], init: Any, max_trips: int | None) -> Any:
    """As a Python loop; of a batch, until no example goes on, and each keeps what it ended with."""
    start = Nest.of(init)[0]
    carry, trips = init, 0
    while max_trips is None or trips < max_trips:
        holds = _holds(cond_fn(carry))
        apart = False
        try:
            going = bool(holds)
        except FunctionTransformError:  # it differs between the examples of a vmap
            apart = True
            going = bool(outside(holds).any())
        if not going:
            break
        after = body_fn(carry)
        nest, leaves = Nest.of(after)
        start.require(nest, "while_loop", "init", "the carry")
        if apart:
            after = structure.unflatten(nest.form, select(holds, [Nest.of(carry)[1], leaves]))
        carry = after
        trips += 1
    return carry


def _bounded(cond_fn: Callable[[Any], Any], body_fn: Callable[[Any], Any], init: Any, max_trips: int) -> Any:
    """As a scan, each trip of which takes place if no condition before has failed."""
    with backend_of(init):
        going = ones((), dtype=bool_)

    def trip(state: tuple[Tensor, Any], _: None) -> tuple[tuple[Tensor, Any], None]:
        going, carry = state
        going = cond(going, lambda: going & _holds(cond_fn(carry)), lambda: going & False)
        return (going, cond(going, body_fn, lambda carry: carry, (carry,))), None

    return scan(trip, (going, init), length=max_trips)[0][1]


def _traced(what: str, cond_fn: Callable[..., Any], body_fn: Callable[..., Any], init: Any, hint: str = "") -> Any:
    """As one construct of the compiler's."""
    start, carry = Nest.of(init)
    if not compiles():
        raise FunctionTransformError(
            f"{what}: within a transform of unified.func, this backend compiles no loop that values end; "
            f"{hint or _BOUND}, or compile the transformed function's parts"
        )
    if not carry:
        raise OperandError(f"{what}: init has no Tensor, so nothing could change from trip to trip")
    form = (tuple, (start.form,))
    condition = Region(f"{what}, cond_fn", lambda c: _as_tensor(_holds(cond_fn(c)), carry[0]), form, carry, carry[0])
    body = settled(f"{what}, body_fn", body_fn, form, carry, (), carry[0])
    start.require(body.result, what, "init", "the carry")
    if any(condition.rebound):
        raise ControlFlowError(f"{what}: cond_fn changes a Tensor from outside; change it in body_fn")
    state = State([condition, body])
    count, moved = len(carry), len(state.changed)

    def parts(inputs: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        return inputs[:count], state.ordered(inputs[count : count + moved], inputs[count + moved :])

    def holds(inputs: list[Tensor]) -> list[Tensor]:
        arguments, held = parts(inputs)
        return condition.run(arguments, state.captured, held)[0]

    def advance(inputs: list[Tensor]) -> list[Tensor]:
        arguments, held = parts(inputs)
        results, left = body.run(arguments, state.captured, held)
        return [*results, *[left[place] for place in state.changed]]

    final = _rules.while_loop(
        holds, advance, [*carry, *state.of(state.changed)], state.of(state.read),
        hint or _BOUND,
    )  # fmt: skip
    state.write(final[count:])
    return structure.unflatten(start.form, recorded(final[:count], body.requires))


def _as_tensor(value: Any, like: Tensor) -> Tensor:
    if isinstance(value, Tensor):
        return value
    with backend_of(like):
        return make(value)
