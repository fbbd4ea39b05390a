"""Kinks of the special functions and of the running extremes and sums."""

from __future__ import annotations

from tests.kinks.probe import INF, NAN, TIES, ZEROS, Probe

UNIT = [0.0, 1.0, 0.25, -1.0, 2.0]
CORNERS = [[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 2.0], [0.0, 1.0, -1.0, 0.0, -1.0, NAN, INF, 2.0]]

PROBES: list[Probe] = [
    ("lgamma at poles", lambda L, x: L.lgamma(x), [[0.0, -1.0, -2.0, INF, 1.0]]),
    ("digamma at 0 and -0", lambda L, x: L.digamma(x), [[0.0, -0.0, 1.0]]),
    ("digamma below 0", lambda L, x: L.digamma(x), [[-1.0, -0.5, -3.25]]),
    ("trigamma below 0", lambda L, x: x.polygamma(1), [[0.0, -0.5, -3.25, 0.5]]),
    ("polygamma 2 at poles", lambda L, x: x.polygamma(2), [[0.0, -1.0, -2.5]]),
    ("polygamma 3 at poles", lambda L, x: x.polygamma(3), [[0.0, -1.0, 1.5]]),
    ("i0 at 0", lambda L, x: L.i0(x), [ZEROS]),
    ("i0e at 0", lambda L, x: L.special.i0e(x), [ZEROS]),
    ("i1 at 0", lambda L, x: L.special.i1(x), [ZEROS]),
    ("i1e at 0", lambda L, x: L.special.i1e(x), [ZEROS]),
    ("erfinv at its ends", lambda L, x: L.erfinv(x), [[0.0, 1.0, -1.0, 2.0]]),
    ("erfc, extremes", lambda L, x: L.erfc(x), [[-20.0, 20.0, 0.0, 3.0]]),
    ("erfcx, extremes", lambda L, x: L.special.erfcx(x), [[-20.0, 0.0, 1.0, -INF]]),
    ("ndtri at its ends", lambda L, x: L.special.ndtri(x), [UNIT]),
    ("ndtri in the tail", lambda L, x: L.special.ndtri(x), [[1e-5, 0.5, 0.1353, 0.1354]]),
    ("log_ndtr, extremes", lambda L, x: L.special.log_ndtr(x), [[-1.0, 0.0, 10.0, INF]]),
    ("ndtr, extremes", lambda L, x: L.special.ndtr(x), [[-40.0, 0.0, 40.0]]),
    ("entr at 0", lambda L, x: L.special.entr(x), [UNIT]),
    ("entr of nan", lambda L, x: L.special.entr(x), [[NAN, 1.0]]),
    ("logit outside", lambda L, x: L.logit(x), [UNIT]),
    ("logit at its limits", lambda L, x: L.logit(x, 0.25), [[0.25, 0.75, 0.0, 1.0, 0.5]]),
    ("sinc at 0", lambda L, x: L.sinc(x), [[0.0, -0.0, 0.5, 1.0]]),
    ("xlogy, 0 times an infinity", lambda L, x, y: L.xlogy(x, y), CORNERS),
    ("xlog1py, 0 times an infinity", lambda L, x, y: L.special.xlog1py(x, y), CORNERS),
    ("igamma at 0", lambda L, x: L.igamma(L.ones_like(x.detach()) * 2, x), [[0.0, 1.0, 3.0, -1.0]]),
    ("igammac at 0", lambda L, x: L.igammac(L.ones_like(x.detach()) * 2, x), [[0.0, 1.0, 3.0, -1.0]]),
    ("igamma of order 0", lambda L, x: L.igamma(L.zeros_like(x.detach()), x), [[0.0, 1.0]]),
    ("zeta at poles", lambda L, x: L.special.zeta(3.0, x), [[0.0, -1.0, 1.0, -0.5]]),
    ("zeta of order 1", lambda L, x: L.special.zeta(1.0, x), [[1.0, 0.5]]),
    ("cummax, ties", lambda L, x: x.cummax(0)[0], [TIES]),
    ("cummax, nan", lambda L, x: x.cummax(0)[0], [[1.0, NAN, 5.0, NAN, 2.0]]),
    ("cummin, ties", lambda L, x: x.cummin(0)[0], [[1.0, 0.0, -0.0, 2.0]]),
    ("logcumsumexp, one -inf", lambda L, x: x.logcumsumexp(0), [[0.0, -INF, 1.0]]),
    ("logcumsumexp, nothing but -inf first", lambda L, x: x.logcumsumexp(0), [[-INF, -INF, 0.0, 1.0]]),
    ("logcumsumexp, inf", lambda L, x: x.logcumsumexp(0), [[INF, 0.0]]),
    ("logcumsumexp, huge", lambda L, x: x.logcumsumexp(0), [[1000.0, 1000.0]]),
]
