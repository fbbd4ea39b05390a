"""Linear systems and functions of matrices on TensorFlow."""

# ruff: noqa: N803, N806 - matrices have the capital letters of PyTorch's signatures
from __future__ import annotations

import math

import tensorflow as tf

from unified.backends.protocol import Natives
from unified.backends.tensorflow.factorization import (
    adjoint,
    broadcast,
    differentiable,
    each,
    factored,
    first_zero,
    hermitian,
    reordered,
    unpacked_ldl,
)

natives = Natives()


def _solved(A, B):
    """The solution by our own LU factorization, which singular matrices do not stop, and the first pivot of 0."""
    batch, rows = math.prod(A.shape[:-2]), A.shape[-1]
    packed, _, order = factored(tf.reshape(A, (batch, rows, rows)))
    right = reordered(tf.reshape(B, (batch, *B.shape[-2:])), order)
    unit = tf.linalg.set_diag(packed, tf.ones((batch, rows), A.dtype))
    inner = tf.linalg.triangular_solve(unit, right)
    solution = tf.linalg.triangular_solve(packed, inner, lower=False)
    return tf.reshape(solution, B.shape), tf.reshape(first_zero(packed), A.shape[:-2])


@natives.having("program", "unjitted")
def linalg_solve_ex(A, B, left, check_errors):
    vector = B.shape.rank == 1 or B.shape == A.shape[:-1]
    right = B[..., None] if vector else B
    matrices, right = (A, right) if left else (tf.linalg.matrix_transpose(A), tf.linalg.matrix_transpose(right))
    matrices, right = broadcast(matrices, right)
    if check_errors:  # this kernel raises
        solution, info = tf.linalg.solve(matrices, right), tf.zeros(A.shape[:-2], tf.int32)
    else:
        solution, info = _solved(matrices, right)
    solution = solution if left else tf.linalg.matrix_transpose(solution)
    return (solution[..., 0] if vector else solution), info


@natives.having("program", "unjitted")
def linalg_inv_ex(A, check_errors):
    if check_errors:  # this kernel raises
        return tf.linalg.inv(A), tf.zeros(A.shape[:-2], tf.int32)
    return _solved(A, tf.eye(A.shape[-1], batch_shape=A.shape[:-2], dtype=A.dtype))


@natives.having("program", "unjitted")
def linalg_ldl_solve(LD, pivots, B, hermitian):
    batch = tf.broadcast_static_shape(LD.shape[:-2], B.shape[:-2])
    LD, B = broadcast(LD, B)
    pivots = tf.broadcast_to(tf.cast(pivots, tf.int32), batch + pivots.shape[-1:])
    if not math.prod(B.shape):
        return B

    def solve(packed, exchanged, right):
        lower, blocks, order = unpacked_ldl(packed, exchanged, hermitian)
        right = tf.linalg.triangular_solve(lower, tf.gather(right, order))
        right = tf.linalg.solve(blocks, right)
        upper = adjoint(lower) if hermitian else tf.transpose(lower)
        solution = tf.linalg.triangular_solve(upper, right, lower=False)
        return tf.gather(solution, tf.argsort(order))

    return each(solve, [LD, pivots, B], tf.TensorSpec(B.shape[-2:], B.dtype))


@natives.having("program", "unjitted")
def linalg_pinv(A, atol, rtol, hermitian_):
    real = A.dtype.real_dtype
    atol = tf.cast(0 if atol is None else atol, real)
    if rtol is None:
        rtol = tf.where(atol > 0, 0.0, real.as_numpy_dtype(_epsilon(real) * max(A.shape[-2:])))
    rtol = tf.cast(rtol, real)
    return _pseudo_inverse(hermitian(A, True) if hermitian_ else A, atol, rtol, hermitian_)


def _epsilon(dtype):
    return 2.0 ** (-52 if dtype == tf.float64 else -23)


def _pseudo_inverse(A, atol, rtol, is_hermitian):
    def forward(A):
        if is_hermitian:
            values, right = tf.linalg.eigh(A)
            left, sizes = right, tf.abs(values)
        else:
            values, left, right = tf.linalg.svd(A)
            sizes = values
        largest = tf.reduce_max(sizes, -1) if sizes.shape[-1] else tf.zeros(sizes.shape[:-1], sizes.dtype)
        kept = sizes > tf.maximum(atol, rtol * largest)[..., None]
        inverted = tf.where(kept, 1 / tf.where(kept, values, tf.ones_like(values)), tf.zeros_like(values))
        return tf.matmul(right * tf.cast(inverted, A.dtype)[..., None, :], left, adjoint_b=True)

    def backward(A, P, cotangents):
        """At constant rank (Golub and Pereyra 1973, https://doi.org/10.1137/0710036)."""
        (cotangent,) = cotangents
        PH, flipped = adjoint(P), adjoint(cotangent)
        columns, rows = flipped @ P @ PH, PH @ P @ flipped
        return columns - A @ (P @ columns) + rows - (rows @ P) @ A - PH @ cotangent @ PH

    return differentiable(forward, backward)(A)


# ---- determinants and exponentials ---------------------------------------------------------------------------------


def _adjugate_of_singular(A):
    """``det(U Vh) U diag(products of the other singular values) Vh``: the adjugate's adjoint without a division."""
    S, U, V = tf.linalg.svd(A)
    others = tf.linalg.set_diag(tf.repeat(S[..., None, :], S.shape[-1], -2), tf.ones_like(S))
    products = tf.cast(tf.reduce_prod(others, -1), A.dtype)
    phase = tf.linalg.det(U) * tf.math.conj(tf.linalg.det(V))
    return phase[..., None, None] * tf.matmul(U * products[..., None, :], V, adjoint_b=True)


def _det_backward(A, value, cotangents):
    (cotangent,) = cotangents
    scale = (cotangent * tf.math.conj(value))[..., None, None]
    singular = (value == 0)[..., None, None]
    eye = tf.eye(A.shape[-1], dtype=A.dtype)

    def regular():
        return scale * adjoint(tf.linalg.inv(A))

    def some_singular():
        safe = scale * adjoint(tf.linalg.inv(tf.where(singular, eye, A)))
        return tf.where(singular, cotangent[..., None, None] * _adjugate_of_singular(A), safe)

    return tf.cond(tf.reduce_any(singular), some_singular, regular)


_det = differentiable(tf.linalg.det, _det_backward)


@natives.having("program", "unjitted")
def linalg_det(A):
    return _det(A)


def _slogdet_backward(A, factors, cotangents):
    """The sign of a complex determinant turns by ``Im tr(A^-1 dA)``."""
    sign, _ = factors
    gsign, glog = cotangents
    scale = tf.cast(glog, A.dtype)
    if A.dtype.is_complex:
        turn = tf.math.imag(tf.math.conj(gsign) * sign)
        scale -= tf.complex(tf.zeros_like(turn), turn)
    return scale[..., None, None] * adjoint(tf.linalg.inv(A))


_slogdet = differentiable(lambda A: _split_logarithm(*tf.linalg.slogdet(A)), _slogdet_backward)


def _split_logarithm(sign, logarithm):
    return sign, tf.math.real(logarithm)


@natives.having("program", "unjitted")
def linalg_slogdet(A):
    return _slogdet(A)


@natives.having("program", "unjitted")
def matrix_exp(A):
    half = A.dtype in (tf.bfloat16, tf.float16)
    return tf.cast(tf.linalg.expm(tf.cast(A, tf.float32) if half else A), A.dtype)
