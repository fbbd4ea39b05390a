"""Ours and native alternately in one process, as medians over rounds, so that a busy neighbour hits both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

ROUNDS = 21


def seconds(function: Callable[[], object], calls: int) -> float:
    """Per call, over ``calls`` of them."""
    started = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - started) / calls


def paired(
    ours: Callable[[], object], native: Callable[[], object], calls: tuple[int, int]
) -> tuple[float, float, float]:
    """Median seconds of both, and the median of the pairwise ratios."""
    ours(), native()
    pairs = [(seconds(ours, calls[0]), seconds(native, calls[1])) for _ in range(ROUNDS)]
    ratio = statistics.median(a / b for a, b in pairs)
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs), ratio
