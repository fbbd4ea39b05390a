"""Probes of order statistics, sums without NaN, statistics and masked reductions."""

from __future__ import annotations

import importlib
from typing import Any

from tests.kinks.probe import INF, NAN, TIES, Probe

PROBES: list[Probe] = [
    ("median over all, ties", lambda L, x: L.median(x), [[1.0, 2.0, 2.0, 3.0]]),
    ("median over all, an even count", lambda L, x: L.median(x), [[4.0, 1.0, 3.0, 2.0]]),
    ("median over all, nan", lambda L, x: L.median(x), [[1.0, NAN, 2.0]]),
    ("median over all, inf", lambda L, x: L.median(x), [[1.0, INF, INF]]),
    ("median over all, -inf", lambda L, x: L.median(x), [[-INF, -INF, 1.0]]),
    ("median along dim, an even count", lambda L, x: L.median(x, 0)[0], [[4.0, 1.0, 3.0, 2.0]]),
    ("median along dim, nan", lambda L, x: L.median(x, 0)[0], [[1.0, NAN, 2.0, NAN]]),
    ("nanmedian over all, ties and nan", lambda L, x: L.nanmedian(x), [[2.0, NAN, 2.0, 3.0]]),
    ("nanmedian along dim, one nan", lambda L, x: L.nanmedian(x, 0)[0], [[1.0, NAN, 2.0, 3.0]]),
    ("nanmedian along dim, all nan", lambda L, x: L.nanmedian(x, 0)[0], [[NAN, NAN]]),
    ("kthvalue of the last", lambda L, x: L.kthvalue(x, 3, 0)[0], [[3.0, 1.0, 2.0]]),
    ("mode, ties", lambda L, x: L.mode(x, 0)[0], [TIES]),
    ("mode, several", lambda L, x: L.mode(x, 0)[0], [[2.0, 1.0, 2.0, 1.0]]),
    ("quantile at both ends", lambda L, x, q: L.quantile(x, q), [[3.0, 1.0, 2.0], [0.0, 1.0]]),
    ("quantile on an element", lambda L, x, q: L.quantile(x, q), [[3.0, 1.0, 2.0], [0.5]]),
    ("quantile, nearest to two", lambda L, x: L.quantile(x, 0.5, interpolation="nearest"), [[3.0, 1.0, 2.0, 4.0]]),
    ("quantile, nan", lambda L, x: L.quantile(x, 0.5, 0), [[3.0, NAN, 2.0]]),
    ("nanquantile, nan", lambda L, x: L.nanquantile(x, 0.25, 0), [[3.0, NAN, 2.0, 5.0]]),
    ("nanquantile, all nan", lambda L, x: L.nanquantile(x, 0.25, 0), [[NAN, NAN]]),
    ("aminmax, ties", lambda L, x: sum(L.aminmax(x)), [[1.0, 3.0, 3.0, 1.0, 1.0]]),
    ("nansum of nan", lambda L, x: L.nansum(x), [[NAN, 1.0, NAN]]),
    ("nanmean of nan", lambda L, x: L.nanmean(x), [[NAN, 1.0, 3.0]]),
    ("std_mean of a constant", lambda L, x: L.std_mean(x)[0], [[2.0, 2.0, 2.0]]),
    ("trapezoid of one sample", lambda L, x: L.trapezoid(x), [[2.0]]),
    ("masked logsumexp of nothing", lambda L, x: _of(L).logsumexp(x, 0, mask=x > 9), [[1.0, 2.0]]),
    ("masked amax, ties", lambda L, x: _of(L).amax(x, 0, mask=x < 4), [[3.0, 3.0, 5.0]]),
    ("masked softmax, one left out", lambda L, x: _of(L).softmax(x, 0, mask=x < 4) ** 2, [[1.0, 2.0, 5.0]]),
    ("masked normalize of zeros", lambda L, x: _of(L).normalize(x, 2.0, 0), [[0.0, 0.0]]),
]


def _of(library: Any) -> Any:
    """The namespace of masked reductions, which ``import torch`` alone does not load."""
    return importlib.import_module(f"{library.__name__}.masked")
