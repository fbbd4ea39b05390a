"""Ours and native alternately in one process, as medians over rounds, so that a busy neighbour hits both."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable

ROUNDS = 21
Clock = Callable[[], float]


def cpu_seconds() -> float:
    """Of this process, all its threads and the children it has waited for: what a busy machine does not change."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime  # os.times() has steps of 10 ms


def seconds(function: Callable[[], object], calls: int, clock: Clock = time.perf_counter) -> float:
    """Per call, over ``calls`` of them."""
    started = clock()
    for _ in range(calls):
        function()
    return (clock() - started) / calls


def paired(
    ours: Callable[[], object],
    native: Callable[[], object],
    calls: tuple[int, int],
    clock: Clock = time.perf_counter,
) -> tuple[float, float, float]:
    """Median seconds of both, and the median of the pairwise ratios."""
    ours(), native()
    pairs = [(seconds(ours, calls[0], clock), seconds(native, calls[1], clock)) for _ in range(ROUNDS)]
    ratio = statistics.median(a / b for a, b in pairs)
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs), ratio
