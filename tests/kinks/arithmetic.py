"""Probes of elementwise arithmetic, comparison, rounding and complex numbers."""

from __future__ import annotations

from tests.kinks.probe import HALVES, INF, NAN, TIES, ZEROS, Probe

REAL = [0.0, -0.0, 0.0, 3.0, -2.0, 0.0]
IMAGINARY = [0.0, 0.0, -0.0, 4.0, 0.0, -1.0]

PROBES: list[Probe] = [
    ("complex abs at 0", lambda L, x, y: L.complex(x, y).abs(), [REAL, IMAGINARY]),
    ("complex angle at 0", lambda L, x, y: L.complex(x, y).angle(), [REAL, IMAGINARY]),
    ("complex sgn at 0", lambda L, x, y: L.view_as_real(L.sgn(L.complex(x, y))), [REAL, IMAGINARY]),
    ("complex sqrt off 0", lambda L, x, y: L.view_as_real(L.sqrt(L.complex(x, y))), [[3.0, -2.0], [4.0, 1.0]]),
    ("complex square", lambda L, x, y: (L.complex(x, y) ** 2).real, [REAL, IMAGINARY]),
    ("conj of a product", lambda L, x, y: (L.complex(x, y).conj() * 1j).imag, [REAL, IMAGINARY]),
    ("polar at 0", lambda L, x, y: L.view_as_real(L.polar(x, y)), [[0.0, 1.0, 3.0], [0.0, 0.0, 2.0]]),
    ("angle of reals", lambda L, x: L.angle(x) + 0 * x, [[*ZEROS, INF, -INF]]),
    ("angle of nan", lambda L, x: L.angle(x), [[NAN, 1.0]]),
    ("sgn of reals", lambda L, x: L.sgn(x) + 0 * x, [[*ZEROS, NAN]]),
    ("fmax, ties", lambda L, x, y: L.fmax(x, y), [[1.0, 2.0, 0.0], [1.0, 3.0, -0.0]]),
    ("fmin, ties", lambda L, x, y: L.fmin(x, y), [[1.0, 2.0, 0.0], [1.0, 3.0, -0.0]]),
    ("fmax, nan", lambda L, x, y: L.fmax(x, y), [[NAN, 2.0, NAN], [1.0, NAN, NAN]]),
    ("fmin, nan", lambda L, x, y: L.fmin(x, y), [[NAN, 2.0, NAN], [1.0, NAN, NAN]]),
    ("clamp_max at max", lambda L, x: L.clamp_max(x, 1.0), [TIES]),
    ("clamp_min by a tensor, ties", lambda L, x, y: L.clamp_min(x, y), [TIES, [1.0, 2.0, 4.0, -1.0]]),
    ("copysign at 0", lambda L, x, y: L.copysign(x, y), [[*ZEROS, 3.0], [-1.0, 0.0, -0.0, 2.0, -INF]]),
    ("copysign by a number", lambda L, x: L.copysign(x, -0.0), [ZEROS]),
    ("hypot at 0", lambda L, x, y: L.hypot(x, y), [[0.0, 3.0, 0.0], [0.0, 4.0, -2.0]]),
    ("hypot, huge and infinite", lambda L, x, y: L.hypot(x, y), [[3e38, INF, NAN, 1.0], [1e38, NAN, 1.0, -INF]]),
    ("nan_to_num", lambda L, x: L.nan_to_num(x), [[NAN, INF, -INF, 1.0]]),
    ("nan_to_num by numbers", lambda L, x: L.nan_to_num(x, 1.0, 2.0, -3.0), [[NAN, INF, -INF, -0.0]]),
    ("frac", lambda L, x: L.frac(x), [[*HALVES, INF]]),
    ("round to tenths", lambda L, x: L.round(x, decimals=1), [[0.25, 0.35, -1.05, INF, NAN]]),
    ("round to tens", lambda L, x: L.round(x, decimals=-1), [[5.0, 15.0, -25.0, 26.0]]),
    ("frexp at 0", lambda L, x: L.frexp(x)[0], [[*ZEROS, 6.0, 1e-30, INF, NAN]]),
    ("ldexp", lambda L, x, y: L.ldexp(x, y), [[*ZEROS, INF], [0.0, 3.0, -2.0, 0.5, 1.0]]),
    ("exp2, extremes", lambda L, x: L.exp2(x), [[-200.0, 200.0, 0.0, INF, -INF]]),
    ("log10 at 0", lambda L, x: L.log10(x), [[0.0, 1.0, -1.0, 1000.0]]),
    ("logaddexp2, -inf", lambda L, x, y: L.logaddexp2(x, y), [[-INF, 0.0, 1000.0], [0.0, -INF, 1000.0]]),
    ("acosh at 1", lambda L, x: L.acosh(x), [[1.0, 2.0, 0.0]]),
    ("atanh at 1", lambda L, x: L.atanh(x), [[1.0, -1.0, 0.0, 2.0]]),
    ("asinh, extremes", lambda L, x: L.asinh(x), [[0.0, -0.0, INF, -INF, 1e10]]),
    ("nextafter, equal", lambda L, x, y: L.nextafter(x, y), [[1.0, 1.0, -1.0, 2.0], [1.0, 2.0, 3.0, NAN]]),
    ("fill", lambda L, x: L.fill(x, 2.0) + 0 * x, [[NAN, 1.0]]),
    ("float_power of 0", lambda L, x: L.float_power(x, 0.5), [[0.0, 4.0]]),
]
