"""Probes of factorizations, solves and functions of matrices: singular, repeated, empty and triangular ones."""

from __future__ import annotations

from tests.kinks.probe import Probe

PAIR = [[4.0, 2.0], [2.0, 5.0]]
LOPSIDED = [[4.0, 9.0], [2.0, 5.0]]
RANK_ONE = [[1.0, 2.0], [2.0, 4.0]]
ZERO = [[0.0, 0.0], [0.0, 0.0]]
UNIT = [[1.0, 0.0], [0.0, 1.0]]
TALL = [[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]]
WIDE = [[3.0, 1.0, 2.0], [1.0, 2.0, 1.0]]

PROBES: list[Probe] = [
    ("det of 0", lambda L, x: L.linalg.det(x), [ZERO]),
    ("det of the identity", lambda L, x: L.linalg.det(x), [UNIT]),
    ("det of one element", lambda L, x: L.linalg.det(x), [[[0.0]]]),
    ("det of a batch, one of it 0", lambda L, x: L.linalg.det(x), [[ZERO, PAIR]]),
    ("logdet of a negative determinant", lambda L, x: L.logdet(x)[None].isnan() * 1.0 + x.sum(), [LOPSIDED[::-1]]),
    ("cholesky reads one triangle", lambda L, x: L.linalg.cholesky(x), [LOPSIDED]),
    ("cholesky reads the other triangle", lambda L, x: L.linalg.cholesky(x, upper=True), [[[4.0, 2.0], [9.0, 5.0]]]),
    ("eigvalsh reads one triangle", lambda L, x: L.linalg.eigvalsh(x), [LOPSIDED]),
    ("eigvalsh reads the other triangle", lambda L, x: L.linalg.eigvalsh(x, "U"), [LOPSIDED]),
    ("eigenvalues, repeated", lambda L, x: L.linalg.eigvalsh(x).sum(), [UNIT]),
    ("singular values, repeated", lambda L, x: L.linalg.svdvals(x).sum(), [UNIT]),
    ("smallest singular value", lambda L, x: L.linalg.svdvals(x)[1], [[[3.0, 0.0], [0.0, 2.0], [0.0, 0.0]]]),
    ("singular values of rank one, tall", lambda L, x: L.linalg.svdvals(x)[0], [TALL]),
    ("pinv of a singular matrix", lambda L, x: L.linalg.pinv(x), [RANK_ONE]),
    ("pinv of a singular tall matrix", lambda L, x: L.linalg.pinv(x), [TALL]),
    ("pinv of 0", lambda L, x: L.linalg.pinv(x), [ZERO]),
    ("pinv of the identity", lambda L, x: L.linalg.pinv(x), [UNIT]),
    ("pinv with an absolute tolerance", lambda L, x: L.linalg.pinv(x, atol=3.5), [[[4.0, 0.0], [0.0, 3.0]]]),
    ("solve_triangular, unit diagonal",
     lambda L, x, b: L.linalg.solve_triangular(x, b, upper=False, unitriangular=True), [LOPSIDED, PAIR]),
    ("eigenvalues of eigh, repeated", lambda L, x: L.linalg.eigh(x)[0].sum(), [UNIT]),
    ("singular values of svd, repeated", lambda L, x: L.linalg.svd(x)[1].sum(), [UNIT]),
    ("LU of a singular matrix", lambda L, x: L.linalg.lu_factor_ex(x)[0].detach() + x, [RANK_ONE]),
    ("LU pivots on ties", lambda L, x: L.linalg.lu_factor(x)[0], [[[1.0, 2.0], [1.0, 5.0]]]),
    ("QR of a wide matrix", lambda L, x: L.linalg.qr(x)[1], [WIDE]),
    ("lstsq of a singular matrix", lambda L, x, b: L.linalg.lstsq(x, b)[0], [TALL, [[1.0], [0.0], [2.0]]]),
    ("matrix_exp of 0", lambda L, x: L.linalg.matrix_exp(x), [ZERO]),
    ("matrix_power of 0", lambda L, x: L.linalg.matrix_power(x, 0) + x, [RANK_ONE]),
    ("householder_product, tau of 0", lambda L, x, t: L.linalg.householder_product(x, t), [PAIR, [0.0, 0.0]]),
]  # fmt: skip
