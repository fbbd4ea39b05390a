"""How much memory a sequence of operations needs at once, where no compiler tells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Step(NamedTuple):
    """One value of a program, in the order in which it is computed.

    Attributes:
        size: its bytes.
        operands: the earlier steps that it is computed from.
        alias: it has no memory of its own but is a view of its operands'.
    """

    size: int
    operands: Sequence[int]
    alias: bool = False


def peak(steps: Sequence[Step], arguments: Iterable[int], results: Iterable[int]) -> int:
    """The most bytes that are alive at once: each value from its step to the last one that uses it.

    Arguments and results live to the end, as their memory is not the program's to give up. An upper bound for a
    compiler that fuses, which never stores many of the values, and a lower one for an allocator that leaves holes.

    Example:
        >>> peak([Step(4, []), Step(8, [0]), Step(2, [1])], arguments=[0], results=[2])
        14
    """
    end = len(steps)
    last = list(range(end))
    owners: list[set[int]] = []
    for place, step in enumerate(steps):
        behind = set().union(*(owners[operand] for operand in step.operands)) if step.alias else {place}
        owners.append(behind)
        for operand in step.operands:
            for owner in owners[operand]:
                last[owner] = place
    for place in (*arguments, *results):
        for owner in owners[place]:
            last[owner] = end
    born = set(arguments)
    alive = most = sum(steps[place].size for place in born)
    dying: dict[int, int] = {}
    for place, step in enumerate(steps):
        if not step.alias:
            if place not in born:
                alive += step.size
            dying[last[place]] = dying.get(last[place], 0) + step.size
        most = max(most, alive)
        alive -= dying.pop(place, 0)
    return most
