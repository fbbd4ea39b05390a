"""Probes of joins, splits, diagonals and reductions at positions.

Positions are written out in the probes: only float32 leaves are given to them.
"""

from __future__ import annotations

from typing import Any

from tests.kinks.probe import INF, NAN, Probe


def _reduced(reduce: str, positions: list[int], include_self: bool = True) -> Any:
    def probe(L: Any, x: Any, src: Any) -> Any:
        return x.scatter_reduce(0, L.tensor(positions), src, reduce, include_self=include_self)

    return probe


def _index_reduced(reduce: str, positions: list[int], include_self: bool = True) -> Any:
    def probe(L: Any, x: Any, src: Any) -> Any:
        return x.index_reduce(0, L.tensor(positions), src, reduce, include_self=include_self)

    return probe


PROBES: list[Probe] = [
    ("scatter_reduce amax, ties with self", _reduced("amax", [0, 0, 1]), [[3.0, 1.0, 5.0], [3.0, 3.0, 0.0]]),
    ("scatter_reduce amin, ties among src", _reduced("amin", [0, 0, 0]), [[3.0, 1.0], [2.0, 2.0, 4.0]]),
    ("scatter_reduce amax without self", _reduced("amax", [0, 0, 1], False), [[9.0, 1.0, 5.0], [3.0, 3.0, -INF]]),
    ("scatter_reduce amax, self ties but is left out", _reduced("amax", [0, 0], False), [[3.0, 1.0], [3.0, 2.0]]),
    ("scatter_reduce amax, nan", _reduced("amax", [0, 1]), [[NAN, 1.0], [3.0, NAN]]),
    ("scatter_reduce amin, inf", _reduced("amin", [0, 1], False), [[1.0, 1.0], [INF, -INF]]),
    ("scatter_reduce prod, self is 0", _reduced("prod", [0, 0]), [[0.0, 2.0], [3.0, 4.0]]),
    ("scatter_reduce prod, one 0", _reduced("prod", [0, 0, 1]), [[2.0, 5.0], [0.0, 4.0, 3.0]]),
    ("scatter_reduce prod, two 0", _reduced("prod", [0, 0, 0]), [[2.0, 5.0], [0.0, 0.0, 3.0]]),
    ("scatter_reduce prod without self", _reduced("prod", [0, 0], False), [[0.0, 0.0], [0.0, 4.0]]),
    ("scatter_reduce mean", _reduced("mean", [0, 0, 2]), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
    ("scatter_reduce mean without self", _reduced("mean", [0, 0, 2], False), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
    ("scatter_reduce sum without self", _reduced("sum", [0, 0], False), [[NAN, 2.0], [4.0, 5.0]]),
    ("index_reduce amax, ties", _index_reduced("amax", [0, 0]), [[1.0, 2.0], [1.0, 1.0]]),
    ("index_reduce prod, one 0", _index_reduced("prod", [1, 1]), [[1.0, 2.0], [0.0, 3.0]]),
    ("index_reduce mean without self", _index_reduced("mean", [1, 1], False), [[1.0, 2.0], [0.0, 3.0]]),
    (
        "scatter, one place twice with one value",
        lambda L, x, s: x.scatter(0, L.tensor([1, 1]), s),
        [[1.0, 2.0], [5.0, 5.0]],
    ),
    (
        "index_put, one place twice with one value",
        lambda L, x, s: L.index_put(x, (L.tensor([1, 1]),), s),
        [[1.0, 2.0], [5.0, 5.0]],
    ),
    ("index_fill, one place twice", lambda L, x, v: x.index_fill(0, L.tensor([1, 1]), v), [[1.0, 2.0], 5.0]),
    (
        "index_add, one place twice",
        lambda L, x, s: x.index_add(0, L.tensor([1, 1]), s, alpha=3),
        [[1.0, 2.0], [5.0, INF]],
    ),
    ("masked_fill over nan", lambda L, x: x.masked_fill(L.isnan(x), 0.0), [[NAN, 1.0, INF]]),
    (
        "masked_scatter over nan",
        lambda L, x, s: x.masked_scatter(L.isnan(x), s),
        [[NAN, 1.0, NAN], [5.0, 6.0, NAN]],
    ),
    ("tril of inf", lambda L, x: x.tril(), [[[1.0, INF], [NAN, 2.0]]]),
    ("diag_embed of nan", lambda L, x: L.diag_embed(x, 1), [[NAN, INF]]),
    (
        "put, one place twice with one value",
        lambda L, x, s: x.put(L.tensor([0, 0]), s, accumulate=True),
        [[1.0, 2.0], [3.0, 3.0]],
    ),
]
