"""The three constructs on single values: they compute, and record nothing.

On plain Tensors they are the backend's (``protocol.ControlFlow``); on those of a ``vmap``, constructs of the Tensors
inside, where a branch is chosen for each example after all have run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unified._dispatch import backends_by_type, tracing, wrap
from unified._engine import engine_of
from unified._recording import recording
from unified._tensor import Tensor
from unified.backends.protocol import ControlFlow, Native, Section
from unified.control_flow._batches import Operands, deepest_level
from unified.control_flow._derivatives import Body
from unified.control_flow._region import RegionTracer, installed
from unified.ops.indexing import where


def _constructs(tensor: Tensor) -> ControlFlow:
    return backends_by_type[type(tensor._native)].compiler.control_flow


def _section(body: Body) -> Section:
    def of_natives(natives: list[Native]) -> list[Native]:
        with recording(False), installed(RegionTracer(tracing(), None)):
            return [engine_of(result).detach(result) for result in body([wrap(native) for native in natives])]

    return of_natives


def _natives(tensors: Sequence[Tensor]) -> list[Native]:
    return [engine_of(tensor).detach(tensor) for tensor in tensors]


def switch(index: Tensor, branches: Sequence[Body], operands: list[Tensor]) -> list[Tensor]:
    """The results of the branch at ``index``, an integer or a bool."""
    level = deepest_level([index, *operands])
    if level is None:
        taken = [_section(branch) for branch in branches]
        found = _constructs(index).switch(engine_of(index).detach(index), taken, _natives(operands))
        return [wrap(native) for native in found]
    if level.varies(index):
        return select(index, [branch(list(operands)) for branch in branches])
    given = Operands(level, operands)
    results = switch(level.lower(index), [given.body(branch) for branch in branches], given.outside)
    return [level.put(result, 0) for result in results]


def select(index: Tensor, results: Sequence[list[Tensor]]) -> list[Tensor]:
    """Of each result that of the branch at ``index``, where all have run."""
    chosen = results[0]
    for number, candidates in enumerate(results[1:], 1):
        beyond: Any = index if index.dtype.kind == "b" else index >= number
        chosen = [where(beyond, candidate, held) for candidate, held in zip(candidates, chosen, strict=True)]
    return chosen


def while_loop(condition: Body, body: Body, carry: list[Tensor], constants: list[Tensor]) -> list[Tensor]:
    """``carry`` after ``body`` has been applied while ``condition`` holds; of a batch, while it holds for some."""
    level = deepest_level([*carry, *constants])
    if level is None:
        found = _constructs(carry[0]).while_loop(
            _section(condition), _section(body), _natives(carry), _natives(constants)
        )
        return [wrap(native) for native in found]
    count = len(carry)
    given = Operands(level, [*carry, *constants], [True] * count + [level.varies(tensor) for tensor in constants])

    def goes_on(tensors: list[Tensor]) -> list[Tensor]:
        return [given.body(condition)(tensors)[0].any()]

    def advance(tensors: list[Tensor]) -> list[Tensor]:
        inside = given.inside(tensors)
        lasts = condition(inside)[0]
        return [level.take(where(lasts, new, old)) for new, old in zip(body(inside), inside[:count], strict=True)]

    results = while_loop(goes_on, advance, given.outside[:count], given.outside[count:])
    return [level.put(result, 0) for result in results]


def scan(
    body: Body, carry: list[Tensor], xs: list[Tensor], constants: list[Tensor], length: int, reverse: bool
) -> tuple[list[Tensor], list[Tensor]]:
    """The last carry, and what ``body`` gave beside it for each slice of ``xs``, stacked."""
    operands = [*carry, *xs, *constants]
    level = deepest_level(operands)
    if level is None:
        final, stacked = _constructs(operands[0]).scan(
            _section(body), _natives(carry), _natives(xs), _natives(constants), length, reverse
        )
        return [wrap(native) for native in final], [wrap(native) for native in stacked]
    start, end = len(carry), len(carry) + len(xs)
    given = Operands(level, operands, [True] * start + [level.varies(tensor) for tensor in operands[start:]])
    slices = [
        x.movedim(1, 0) if there else x
        for x, there in zip(given.outside[start:end], given.varies[start:end], strict=True)
    ]
    last, found = scan(given.body(body), given.outside[:start], slices, given.outside[end:], length, reverse)
    return [level.put(tensor, 0) for tensor in last], [level.put(y, 1) for y in found]
