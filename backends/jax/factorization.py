"""Factorizations of matrices on JAX."""

# ruff: noqa: N803, N806 - matrices have the capital letters of PyTorch's signatures
from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.lax import linalg

from unified.backends.protocol import Natives

natives = Natives()


def adjoint(input):
    return jnp.conj(jnp.swapaxes(input, -1, -2))


natives(conjugate_transpose=adjoint)


def _eye(rows, columns, like):
    return jnp.eye(rows, columns, dtype=like.dtype)


def _wide(batch, *arrays):
    """Arrays of matrices with their batches broadcast."""
    return [jnp.broadcast_to(array, (*batch, *array.shape[-2:])) for array in arrays]


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def hermitian(A, lower):
    """The Hermitian matrix of one triangle of ``A``, whose gradient goes to both triangles, as in PyTorch."""
    strict = jnp.tril(A, -1) if lower else jnp.triu(A, 1)
    return strict + adjoint(strict) + jnp.real(A).astype(A.dtype) * _eye(*A.shape[-2:], A)


@hermitian.defjvp
def _hermitian_jvp(lower, primals, tangents):
    (A,), (dA,) = primals, tangents
    return hermitian(A, lower), (dA + adjoint(dA)) / 2


@natives
def linalg_solve_triangular(A, B, upper, left, unitriangular):
    batch = jnp.broadcast_shapes(A.shape[:-2], B.shape[:-2])
    A, B = _wide(batch, A, B)
    if not B.size:
        return B
    return linalg.triangular_solve(A, B, left_side=left, lower=not upper, unit_diagonal=unitriangular)


# ---- Cholesky, LU and LDL ------------------------------------------------------------------------------------------


@natives
def linalg_cholesky_ex(A, upper):
    factor = linalg.cholesky(hermitian(A, not upper), symmetrize_input=False)
    failed = jnp.isnan(jnp.diagonal(factor, axis1=-2, axis2=-1).real)
    info = jnp.where(failed.any(-1), 1, 0).astype(jnp.int32)
    return (adjoint(factor) if upper else factor), info


@natives
def linalg_lu_factor_ex(A, pivot):
    if not A.size:
        return A, jnp.zeros((*A.shape[:-2], min(A.shape[-2:])), jnp.int32), jnp.zeros(A.shape[:-2], jnp.int32)
    packed, pivots, _ = linalg.lu(A)
    return packed, pivots.astype(jnp.int32) + 1, first_zero(packed)


def first_zero(packed):
    """The place, from 1, of the first 0 on the diagonal; 0 if there is none."""
    zero = jnp.diagonal(packed, axis1=-2, axis2=-1) == 0
    if not zero.shape[-1]:
        return jnp.zeros(zero.shape[:-1], jnp.int32)
    return jnp.where(zero.any(-1), jnp.argmax(zero, -1) + 1, 0).astype(jnp.int32)


@natives
def lu_permutation(pivots, size):
    if not pivots.size:
        return jnp.broadcast_to(jnp.arange(size, dtype=jnp.int32), (*pivots.shape[:-1], size))
    return linalg.lu_pivots_to_permutation(pivots.astype(jnp.int32) - 1, size)


# ---- QR ------------------------------------------------------------------------------------------------------------


@natives
def linalg_qr(A, mode):
    rows, columns = A.shape[-2:]
    if mode == "r":
        return jnp.zeros((0,), A.dtype), jax.lax.stop_gradient(linalg.qr(A, full_matrices=False)[1])
    if mode == "complete" and rows > columns:
        return linalg.qr(A, full_matrices=True)
    if rows >= columns:
        return linalg.qr(A, full_matrices=False)
    Q, R = linalg.qr(A[..., :rows], full_matrices=False)
    return Q, jnp.concatenate([R, adjoint(Q) @ A[..., rows:]], -1)


@natives
def geqrf(input):
    packed, tau = jnp.linalg.qr(input, mode="raw")
    return jnp.swapaxes(packed, -1, -2), tau


# ---- eigenvalues and singular values -------------------------------------------------------------------------------


@jax.custom_jvp
def linalg_eig(A):
    return tuple(linalg.eig(A, compute_left_eigenvectors=False))


natives(linalg_eig=linalg_eig)


@linalg_eig.defjvp
def _eig_jvp(primals, tangents):
    """Perturbed eigenvalues and eigenvectors of norm 1 (Boeddeker et al. 2017, sections 4.17 and 4.18)."""
    values, vectors = linalg_eig(*primals)
    (tangent,) = tangents
    inner = jnp.linalg.solve(vectors, tangent.astype(vectors.dtype) @ vectors)
    gaps = values[..., None, :] - values[..., :, None]
    identity = _eye(*vectors.shape[-2:], vectors)
    moved = vectors @ (inner * (1 - identity) / (gaps + identity))
    along = jnp.sum(jnp.conj(vectors) * moved, -2, keepdims=True).real
    return (values, vectors), (jnp.diagonal(inner, axis1=-2, axis2=-1), moved - vectors * along)


def _pulled_back(forward, backward):
    """``forward`` of one matrix with the gradient ``backward(A, outputs, cotangents)``.

    Cotangents are in PyTorch's convention, the conjugate of JAX's. A rule of cotangents, not of tangents, sees which
    of them are 0 where a factor does not exist.
    """
    function = jax.custom_vjp(forward)

    def kept(A):
        outputs = function(A)
        return outputs, (A, outputs)

    def gradient(residuals, cotangents):
        return (jnp.conj(backward(*residuals, [jnp.conj(cotangent) for cotangent in cotangents])),)

    function.defvjp(kept, gradient)
    return function


def _ratio(numerator, denominator):
    """A quotient with 0 / 0 = 0: of equal or vanishing values whose vectors nobody uses."""
    return numerator / jnp.where((denominator == 0) & (numerator == 0), 1, denominator)


def _over_gaps(numerator, values, diagonal):
    """``numerator[i, j] / (values[j] - values[i])`` beside ``diagonal``."""
    on_diagonal = jnp.eye(values.shape[-1], dtype=bool)
    gaps = jnp.where(on_diagonal, 1, values[..., None, :] - values[..., :, None])
    return jnp.where(on_diagonal, diagonal[..., None, :].astype(numerator.dtype), _ratio(numerator, gaps))


def _eigh_backward(A, factors, cotangents):
    """Boeddeker et al. 2017, https://arxiv.org/abs/1701.00392, for orthonormal eigenvectors."""
    (values, V), (gvalues, gV) = factors, cotangents
    return V @ _over_gaps(adjoint(V) @ gV, values, gvalues) @ adjoint(V)


_eigh = _pulled_back(lambda A: tuple(linalg.eigh(A, symmetrize_input=False))[::-1], _eigh_backward)


@natives
def linalg_eigh(A, UPLO):
    return tuple(_eigh(hermitian(A, UPLO in "lL")))


def _svd_backward(A, factors, cotangents):
    """As PyTorch's ``svd_backward`` (Townsend 2016, https://j-towns.github.io/papers/svd-derivative.pdf).

    The vectors' phases are free; what a loss that does not depend on them leaves of their gradient is
    ``diag(U^H gU) / 2S``.
    """
    (U, S, Vh), (gU, gS, gVh) = factors, cotangents
    left, right = adjoint(U) @ gU, Vh @ adjoint(gVh)
    left, right = left - adjoint(left), right - adjoint(right)
    diagonal = gS
    if jnp.iscomplexobj(A):
        diagonal = gS + _ratio(jnp.diagonal(left, axis1=-2, axis2=-1), 2 * S)
    gradient = U @ _over_gaps(left * S[..., None, :] + S[..., :, None] * right, S * S, diagonal) @ Vh
    rows, columns = A.shape[-2:]
    if rows > columns:
        outside = _ratio(gU, S[..., None, :])
        gradient += (outside - U @ (adjoint(U) @ outside)) @ Vh
    if rows < columns:
        outside = _ratio(gVh, S[..., :, None])
        gradient += U @ (outside - (outside @ adjoint(Vh)) @ Vh)
    return gradient


_svd = _pulled_back(lambda A: tuple(linalg.svd(A, full_matrices=False)), _svd_backward)


@natives
def thin_svd(A):
    if not A.size:
        rank = min(A.shape[-2:])
        shapes = (A.shape[-2], rank), (rank,), (rank, A.shape[-1])
        U, S, Vh = (jnp.zeros((*A.shape[:-2], *shape), A.dtype) for shape in shapes)
        return U, S.real, Vh
    return _svd(A)


# ---- LDL -----------------------------------------------------------------------------------------------------------

_GROWTH = (1 + 17**0.5) / 8
"""The threshold between pivots of size 1 and 2 that bounds the growth of elements (Bunch and Kaufman 1977)."""


def batched(function, *operands):
    """``function`` of single matrices or vectors, over the batch of the first operand's matrices."""
    for _ in range(operands[0].ndim - 2):
        function = jax.vmap(function)
    return function(*operands)


def _magnitude(values):
    """What LAPACK compares: ``|re| + |im|``."""
    return jnp.abs(values.real) + jnp.abs(values.imag) if jnp.iscomplexobj(values) else jnp.abs(values)


def _swapped(size, first, second):
    """The order of ``size`` rows with two of them exchanged."""
    places = jnp.arange(size)
    return jnp.where(places == first, second, jnp.where(places == second, first, places))


@natives
def linalg_ldl_factor_ex(A, hermitian):
    size = A.shape[-1]
    if not A.size:
        return A, jnp.zeros(A.shape[:-1], jnp.int32), jnp.zeros(A.shape[:-2], jnp.int32)
    A = jax.lax.stop_gradient(A)
    places = jnp.arange(size)

    def step(state):
        start, matrix, pivots, info = state
        sizes = _magnitude(matrix)
        below = jnp.where(places > start, sizes[:, start], -1)
        furthest = jnp.argmax(below)
        diagonal, column = sizes[start, start], jnp.maximum(below[furthest], 0)
        row = jnp.where((places >= start) & (places != furthest), sizes[furthest], 0).max()
        zero = jnp.maximum(diagonal, column) == 0
        stays = zero | (diagonal >= _GROWTH * column) | (diagonal * row >= _GROWTH * column * column)
        double = ~stays & (sizes[furthest, furthest] < _GROWTH * row)
        last = jnp.where(double, start + 1, start)
        pivot = jnp.where(stays, start, furthest)

        order = _swapped(size, last, pivot)
        trailing = (places[:, None] >= start) & (places >= start)
        matrix = jnp.where(trailing, matrix[order][:, order], matrix)
        block = jax.lax.dynamic_slice(jnp.pad(matrix, (0, 1)), (start, start), (2, 2))
        block = jnp.where(double, block, jnp.array([[block[0, 0], 0], [0, 1]]))
        block = jnp.where(zero, jnp.eye(2, dtype=A.dtype), block)
        columns = jax.lax.dynamic_slice(jnp.pad(matrix, ((0, 0), (0, 1))), (0, start), (size, 2))
        columns = jnp.where((places > last)[:, None] & (jnp.array([True, False]) | double), columns, 0)
        factors = columns @ jnp.linalg.inv(block)
        rest = (places[:, None] > last) & (places > last)
        update = factors @ (adjoint(columns) if hermitian else columns.T)
        matrix = jnp.where(rest, matrix - update, matrix)
        written = jnp.where(places == start, factors[:, :1], jnp.where(places == last, factors[:, 1:], matrix))
        matrix = jnp.where((places[:, None] > last) & (places >= start) & (places <= last), written, matrix)

        mark = jnp.where(double, -1, 1) * (pivot + 1)
        pivots = jnp.where((places >= start) & (places <= last), mark, pivots).astype(jnp.int32)
        info = jnp.where(zero & (info == 0), start + 1, info).astype(jnp.int32)
        return last + 1, matrix, pivots, info

    def factor(matrix):
        lower = jnp.tril(matrix, -1)
        diagonal = jnp.diag(jnp.diag(matrix.real if hermitian else matrix)).astype(A.dtype)
        symmetric = lower + diagonal + (adjoint(lower) if hermitian else lower.T)
        start = jnp.zeros((), places.dtype), symmetric, jnp.zeros(size, jnp.int32), jnp.zeros((), jnp.int32)
        _, packed, pivots, info = jax.lax.while_loop(lambda state: state[0] < size, step, start)
        return jnp.tril(packed), pivots, info

    return batched(factor, A)


def unpacked_ldl(packed, pivots, hermitian):
    """L, D and the order of rows of one factorization: ``A[order][:, order] = L D L^T``."""
    size = packed.shape[-1]
    places = jnp.arange(size)
    block = pivots < 0

    def step(place, state):
        lower, order, opened = state
        second = block[place] & opened
        swap = _swapped(size, place, jnp.where(block[place] & ~second, place, jnp.abs(pivots[place]) - 1))
        lower = jnp.where(places < jnp.where(second, place - 1, place), lower[swap], lower)
        return lower, order[swap], block[place] & ~second

    below = jnp.tril(packed, -1)
    _, starts = jax.lax.scan(lambda opened, inside: (inside & ~opened,) * 2, jnp.zeros((), bool), block)
    off = jnp.where((places[:, None] == places + 1) & starts, below, 0)
    initial = below - off, places, jnp.zeros((), bool)
    lower, order, _ = jax.lax.fori_loop(0, size, step, initial)
    diagonal = jnp.diag(jnp.diag(packed.real if hermitian else packed)).astype(packed.dtype)
    return lower + jnp.eye(size, dtype=packed.dtype), diagonal + off + (adjoint(off) if hermitian else off.T), order
