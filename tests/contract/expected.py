"""What the contract's rows are known not to do, published. A row here must fail; one that passes fails the suite."""

from __future__ import annotations

from typing import NamedTuple

PENDING: frozenset[str] = frozenset()
"""Features that are not in this tree yet; every row that needs one is expected to fail everywhere."""

EVERYWHERE = ("torch", "jax", "tensorflow")
BOTH = ("eager", "compiled")


class Known(NamedTuple):
    """Rows that fail on these backends in these modes, and why."""

    reason: str
    backends: tuple[str, ...]
    modes: tuple[str, ...]
    rows: tuple[str, ...]


_ON_THE_TAPE = ("jax", "tensorflow")

KNOWN: tuple[Known, ...] = (
    Known(
        "our tape opens a window on the one graph: what was computed before or after the block counts too",
        EVERYWHERE, BOTH,
        ("outside_of_a_tape_nothing_is_recorded", "a_target_with_many_elements_is_summed"),
    ),
    Known(
        "a node of the tape keeps its operands whatever its op, and releases them",
        _ON_THE_TAPE, BOTH,
        ("a_graph_that_saved_nothing_may_be_walked_again",),
    ),
    Known(
        "a pullback is an op of all that its primal took, so that what it does not depend on has zeros and not None",
        _ON_THE_TAPE, BOTH,
        ("a_second_order_of_a_linear_function_is_unused",),
    ),
)  # fmt: skip
