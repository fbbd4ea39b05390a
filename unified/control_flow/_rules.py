"""The constructs as rules with derivatives of their own: a derivative of a loop is a loop of derivatives.

So the backends' constructs never have to be differentiable, and orders and kinds of derivatives nest freely. Each
rule is a ``_custom.Rule``, applied by whichever engine differentiates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unified._custom import RuleCall
from unified._dispatch import tracing
from unified._engine import engine_of
from unified._levels import active
from unified._tape import grad_mode
from unified._tensor import Tensor
from unified.control_flow import _primitives
from unified.control_flow._derivatives import Body, pulled, pushed
from unified.errors import AutogradError

Maybe = Sequence[Tensor | None]


def recorded(tensors: Sequence[Tensor]) -> bool:
    """Whether a derivative by one of the Tensors may be asked for."""
    return grad_mode.enabled and any(engine_of(tensor).requires_grad(tensor) for tensor in tensors)


def _applied(rule: Any, inputs: list[Tensor]) -> list[Tensor]:
    tracer = tracing()
    if tracer is not None:
        tracer.at_end(rule.release)
        for tensor in inputs:
            tracer.touch(tensor)
    if recorded(inputs) or active():
        return engine_of(inputs[0]).custom(RuleCall(rule), inputs)
    return rule.forward(inputs)[0]  # type: ignore[no-any-return]


def _inexact(tensors: Sequence[Tensor]) -> list[int]:
    return [place for place, tensor in enumerate(tensors) if tensor.dtype.is_inexact]


def _carries(results: Sequence[Tensor]) -> list[bool]:
    return [result.dtype.is_inexact for result in results]


def _spread(found: Sequence[Tensor], places: Sequence[int], length: int) -> list[Tensor | None]:
    """``found`` at ``places`` of a list."""
    by_place = dict(zip(places, found, strict=True))
    return [by_place.get(place) for place in range(length)]


def _put(given: Sequence[Tensor], values: Maybe) -> list[Tensor | None]:
    """``given`` in the places of the values that are there."""
    iterator = iter(given)
    return [None if value is None else next(iterator) for value in values]


def _there(values: Maybe) -> list[Tensor]:
    return [value for value in values if value is not None]


def _over(inputs: list[Tensor]) -> list[Tensor]:
    raise AssertionError("the trace that this body belongs to is over")


class _Switch:
    """Inputs: the index, then the operands."""

    name = "switch"

    def __init__(self, branches: Sequence[Body]) -> None:
        self._branches = branches

    def release(self) -> None:
        """Lets go of what the branches hold, when the trace that they belong to is over."""
        self._branches = ()

    def forward(self, inputs: list[Tensor]) -> tuple[list[Tensor], list[Tensor], list[bool]]:
        results = _primitives.switch(inputs[0], self._branches, inputs[1:])
        return results, list(inputs), _carries(results)

    def backward(self, saved: Sequence[Tensor], cotangents: Maybe, wanted: Sequence[bool]) -> list[Tensor | None]:
        index, *operands = saved
        places = [place for place in _inexact(operands) if wanted[place + 1]]
        given = _there(cotangents)
        count = len(operands)

        def pull(branch: Body) -> Body:
            return lambda inputs: pulled(branch, inputs[:count], places, _put(inputs[count:], cotangents))

        found = switch(index, [pull(branch) for branch in self._branches], [*operands, *given])
        return [None, *_spread(found, places, count)]

    def jvp(self, saved: Sequence[Tensor], tangents: Maybe) -> list[Tensor | None]:
        index, *operands = saved
        moving = tangents[1:]
        count = len(operands)
        kinds: list[bool] = []

        def push(branch: Body) -> Body:
            def both(inputs: list[Tensor]) -> list[Tensor]:
                _, moved = pushed(branch, inputs[:count], _put(inputs[count:], moving))
                kinds[:] = [tangent is not None for tangent in moved]
                return _there(moved)

            return both

        found = iter(switch(index, [push(branch) for branch in self._branches], [*operands, *_there(moving)]))
        return [next(found) if kind else None for kind in kinds]


def switch(index: Tensor, branches: Sequence[Body], operands: list[Tensor]) -> list[Tensor]:
    """As :func:`_primitives.switch`, differentiable by ``operands``."""
    return _applied(_Switch(branches), [index, *operands])


class _While:
    """Inputs: the carry, then the constants."""

    name = "while_loop"

    def __init__(self, condition: Body, body: Body, count: int, hint: str) -> None:
        self._condition, self._body, self._count, self._hint = condition, body, count, hint

    def release(self) -> None:
        """As that of a switch."""
        self._condition = self._body = _over

    def forward(self, inputs: list[Tensor]) -> tuple[list[Tensor], list[Tensor], list[bool]]:
        count = self._count
        results = _primitives.while_loop(self._condition, self._body, inputs[:count], inputs[count:])
        return results, list(inputs), _carries(results)

    def backward(self, saved: Sequence[Tensor], cotangents: Maybe, wanted: Sequence[bool]) -> list[Tensor | None]:
        raise AutogradError(
            "while_loop: backward through a compiled loop without a bound, whose trips cannot be kept; "
            f"{self._hint}, or use un.scan"
        )

    def jvp(self, saved: Sequence[Tensor], tangents: Maybe) -> list[Tensor | None]:
        count, carry = self._count, list(saved[: self._count])
        places = _inexact(carry)
        constants = [*saved[count:], *_there(tangents[count:])]
        moving = [_zeros(carry[place]) if tangents[place] is None else tangents[place] for place in places]
        width, size = count + len(places), len(saved)

        def parts(inputs: list[Tensor]) -> list[Tensor]:
            return [*inputs[:count], *inputs[width : width + size - count]]

        def push(inputs: list[Tensor]) -> list[Tensor]:
            directions = [
                *_spread(inputs[count:width], places, count),
                *_put(inputs[width + size - count :], tangents[count:]),
            ]
            outputs, moved = pushed(self._body, parts(inputs), directions)
            return [*outputs, *_there([moved[place] for place in places])]

        def holds(inputs: list[Tensor]) -> list[Tensor]:
            return self._condition(parts(inputs))

        results = while_loop(holds, push, [*carry, *_there(moving)], constants, self._hint)
        return _spread(results[count:], places, count)


def while_loop(condition: Body, body: Body, carry: list[Tensor], constants: list[Tensor], hint: str) -> list[Tensor]:
    """As :func:`_primitives.while_loop`, differentiable in forward mode; ``hint`` is the way out for others."""
    return _applied(_While(condition, body, len(carry), hint), [*carry, *constants])


class _Scan:
    """Inputs: carry, xs, constants. With ``history`` the carry that each step started from is stacked as well.

    At the places ``inert`` of the carry is what has no derivative.
    """

    name = "scan"

    def __init__(
        self, body: Body, counts: tuple[int, int], length: int, reverse: bool, history: bool, inert: Sequence[int]
    ) -> None:
        self._body, self._length, self._reverse, self._history = body, length, reverse, history
        self._carry, self._end, self._inert = counts[0], counts[0] + counts[1], inert
        self._step = self._remembering if history else body

    def release(self) -> None:
        """As that of a switch."""
        self._body = self._step = _over

    def _remembering(self, inputs: list[Tensor]) -> list[Tensor]:
        return [*self._body(inputs), *[held.clone() for held in inputs[: self._carry]]]

    def forward(self, inputs: list[Tensor]) -> tuple[list[Tensor], list[Tensor], list[bool]]:
        start, end = self._carry, self._end
        final, stacked = _primitives.scan(
            self._step, inputs[:start], inputs[start:end], inputs[end:], self._length, self._reverse
        )
        results = [*final, *stacked]
        kept = stacked[len(stacked) - start :] if self._history else []
        carries = _carries(results)
        for place in self._inert:
            carries[place] = False
            if self._history:
                carries[place - start] = False
        return results, [*inputs, *kept], carries

    def _moving(self, carry: Sequence[Tensor]) -> list[int]:
        return [place for place in _inexact(carry) if place not in self._inert]

    def backward(self, saved: Sequence[Tensor], cotangents: Maybe, wanted: Sequence[bool]) -> list[Tensor | None]:
        count, end = self._carry, self._end
        width = len(wanted)
        carry, xs, constants, history = saved[:count], saved[count:end], saved[end:width], saved[width:]
        moving = self._moving(carry)
        slices = [count + place for place in _inexact(xs) if wanted[count + place]]
        closed = [end + place for place in _inexact(constants) if wanted[end + place]]
        places = [*moving, *slices, *closed]
        given = cotangents[count:]
        arrived = [_zeros(carry[i]) if cotangents[i] is None else cotangents[i] for i in moving]
        sums = [_zeros(saved[i]) for i in closed]
        state, stacks = len(moving) + len(closed), len(xs) + count

        def pull(inputs: list[Tensor]) -> list[Tensor]:
            held, rest = inputs[:state], inputs[state:]
            at, slices_of, outside = rest[len(xs) : stacks], rest[: len(xs)], rest[len(rest) - len(constants) :]
            coming = [
                *_spread(held[: len(moving)], moving, count),
                *_put(rest[stacks : len(rest) - len(constants)], given),
            ]
            found = pulled(self._step, [*at, *slices_of, *outside], places, coming)
            before, beside, more = (
                found[: len(moving)],
                found[len(moving) : len(moving) + len(slices)],
                found[len(moving) + len(slices) :],
            )
            totals = [total + part for total, part in zip(held[len(moving) :], more, strict=True)]
            return [*before, *totals, *beside]

        start: list[Any] = [*arrived, *sums]
        final, stacked = scan(
            pull, start, [*xs, *history, *_there(given)], list(constants), self._length, not self._reverse
        )
        return _spread([*final[: len(moving)], *stacked, *final[len(moving) :]], places, width)

    def jvp(self, saved: Sequence[Tensor], tangents: Maybe) -> list[Tensor | None]:
        count, end, width = self._carry, self._end, len(tangents)
        carry = list(saved[:count])
        moving = self._moving(carry)
        start = [_zeros(carry[i]) if tangents[i] is None else tangents[i] for i in moving]
        along_xs, along_constants = tangents[count:end], tangents[end:]
        kinds: list[bool] = []
        sizes = (count, len(moving), end - count, len(_there(along_xs)), width - end)

        def push(inputs: list[Tensor]) -> list[Tensor]:
            parts = []
            rest = list(inputs)
            for size in sizes:
                parts.append(rest[:size])
                rest = rest[size:]
            at, directions, slices, of_slices, outside = parts
            outputs, moved = pushed(
                self._step,
                [*at, *slices, *outside],
                [*_spread(directions, moving, count), *_put(of_slices, along_xs), *_put(rest, along_constants)],
            )
            kinds[:] = [tangent is not None for tangent in moved[count:]]
            return [*outputs[:count], *_there([*[moved[place] for place in moving], *moved[count:]])]

        final, stacked = scan(
            push,
            [*carry, *_there(start)],
            [*saved[count:end], *_there(along_xs)],
            [*saved[end:width], *_there(along_constants)],
            self._length,
            self._reverse,
        )
        found = iter(stacked)
        return [*_spread(final[count:], moving, count), *[next(found) if kind else None for kind in kinds]]


def scan(
    body: Body, carry: list[Tensor], xs: list[Tensor], constants: list[Tensor], length: int, reverse: bool,
    inert: Sequence[int] = (),
) -> tuple[list[Tensor], list[Tensor]]:  # fmt: skip
    """As :func:`_primitives.scan`, differentiable by all operands but those at the places ``inert`` of ``carry``."""
    inputs = [*carry, *xs, *constants]
    history = recorded(inputs)
    results = _applied(_Scan(body, (len(carry), len(xs)), length, reverse, history, inert), inputs)
    count = len(carry)
    return results[:count], results[count : len(results) - count if history else len(results)]


def _zeros(tensor: Tensor) -> Tensor:
    zeros: Tensor = tensor.detach().zeros_like()
    return zeros
