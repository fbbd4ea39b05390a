"""Probes of products, norms, distances and Fourier transforms."""

from __future__ import annotations

import math

from tests.kinks.probe import INF, NAN, Probe

_SAME = [[1.0, 2.0], [1.0, 2.0], [4.0, 6.0]]

PROBES: list[Probe] = [
    ("addmm, nan dropped by beta 0", lambda L, x, a: L.addmm(x, a, a, beta=0), [[[NAN]], [[2.0]]]),
    ("addbmm, inf dropped by beta 0", lambda L, x, a: L.addbmm(x, a, a, beta=0), [[[INF]], [[[2.0]]]]),
    ("vander at 0", lambda L, x: L.linalg.vander(x), [[0.0, 2.0, 0.0]]),
    ("einsum, a length of 1 broadcast", lambda L, x, y: L.einsum("ij,ij->j", x, y), [[[1.0], [2.0]], [[1.0, NAN]]]),
    ("vector norm -1 with a 0", lambda L, x: L.linalg.vector_norm(x, -1), [[0.0, 2.0]]),
    ("vector norm -2 of nonzeros", lambda L, x: L.linalg.vector_norm(x, -2), [[1.0, -2.0]]),
    ("vector norm 0.5 with a 0", lambda L, x: L.linalg.vector_norm(x, 0.5), [[0.0, 4.0, -1.0]]),
    ("vector norm 0", lambda L, x: x * L.linalg.vector_norm(x, 0), [[0.0, 3.0, -1.0]]),
    ("vector norm -inf, ties", lambda L, x: L.linalg.vector_norm(x, -INF), [[2.0, -2.0, 3.0]]),
    ("vector norm inf at 0", lambda L, x: L.linalg.vector_norm(x, INF), [[0.0, 0.0]]),
    ("frobenius norm at 0", lambda L, x: L.linalg.matrix_norm(x), [[[0.0, 0.0], [0.0, 0.0]]]),
    ("matrix norm 1, ties", lambda L, x: L.linalg.matrix_norm(x, 1), [[[1.0, -2.0], [2.0, 1.0]]]),
    ("matrix norm inf, ties", lambda L, x: L.linalg.matrix_norm(x, INF), [[[1.0, -2.0], [2.0, 1.0]]]),
    ("dist of equals", lambda L, x, y: L.dist(x, y), [[1.0, 2.0], [1.0, 2.0]]),
    ("dist inf, ties", lambda L, x, y: L.dist(x, y, INF), [[1.0, 2.0], [3.0, 0.0]]),
    ("cdist of equals", lambda L, x: L.cdist(x, x + 0), [_SAME]),
    ("cdist 1 of equals", lambda L, x: L.cdist(x, x + 0, 1.0), [_SAME]),
    ("cdist 1.5 of equals", lambda L, x: L.cdist(x, x + 0, 1.5), [_SAME]),
    ("cdist 3 of equals", lambda L, x: L.cdist(x, x + 0, 3.0), [_SAME]),
    ("cdist 0 of equals", lambda L, x: L.cdist(x, x + 0, 0.0), [_SAME]),
    ("cdist inf, ties", lambda L, x, y: L.cdist(x, y, INF), [[[0.0, 0.0, 0.0]], [[1.0, -1.0, 0.5]]]),
    ("cdist by a product, of equals", lambda L, x: L.cdist(x, x + 0, 2.0, "use_mm_for_euclid_dist"), [_SAME]),
    ("pdist of equals", lambda L, x: L.nn.functional.pdist(x), [_SAME]),
    ("pdist inf, ties", lambda L, x: L.nn.functional.pdist(x, INF), [[[0.0, 0.0], [1.0, 1.0]]]),
    ("renorm at the bound", lambda L, x: L.renorm(x, 2, 0, 5.0), [[[3.0, 4.0], [6.0, 8.0], [0.0, 0.0]]]),
    ("cosine similarity at 0", lambda L, x, y: L.cosine_similarity(x, y, 0), [[0.0, 0.0], [1.0, 2.0]]),
    (
        "cosine similarity below eps",
        lambda L, x, y: L.cosine_similarity(x, y, 0, 0.5),
        [[0.03, 0.04], [3.0, 4.0]],
    ),
    ("normalize at 0", lambda L, x: L.nn.functional.normalize(x, dim=0), [[0.0, 0.0]]),
    ("normalize below eps", lambda L, x: L.nn.functional.normalize(x, dim=0, eps=10.0), [[3.0, 4.0]]),
    ("pairwise distance of equals", lambda L, x, y: L.pairwise_distance(x, y, eps=0.0), [[[1.0, 2.0]], [[1.0, 2.0]]]),
    ("irfft of an odd length", lambda L, x: L.fft.irfft(L.fft.rfft(x)[:2], 3), [[1.0, 2.0, 4.0]]),
    ("irfft of an even length", lambda L, x: L.fft.irfft(L.fft.rfft(x), 4), [[1.0, 2.0, 4.0, 8.0]]),
    ("hfft of a real signal", lambda L, x: L.fft.hfft(x, 5) / math.sqrt(5), [[1.0, 2.0, 4.0]]),
]
