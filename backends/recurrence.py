"""How the weights of a layer over time lie, on every backend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def by_direction(weights: Sequence[Any], bidirectional: bool) -> Iterator[tuple[int, Any, Any, tuple[Any, Any, Any]]]:
    """The weights of a recurrent layer in PyTorch's order, by direction.

    Yields:
        The direction (1 is backwards), weight and bias of the input, and (weight, bias, projection) of the hidden
        state; None for what the layer has not.
    """
    each = len(weights) // (1 + bidirectional)
    for direction in range(1 + bidirectional):
        matrices = list(weights[direction * each : (direction + 1) * each])
        projection = matrices.pop() if each in (3, 5) else None
        weight, hidden_weight, bias, hidden_bias = matrices if each >= 4 else (*matrices, None, None)
        yield direction, weight, bias, (hidden_weight, hidden_bias, projection)
