"""Linear systems and functions of matrices on JAX."""

# ruff: noqa: N803, N806 - matrices have the capital letters of PyTorch's signatures
from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.lax import linalg

from unified.backends.jax.factorization import adjoint, batched, first_zero, hermitian, unpacked_ldl
from unified.backends.protocol import Natives

natives = Natives()


def _info(A):
    """The first pivot of an LU factorization that is 0, from 1."""
    return first_zero(linalg.lu(jax.lax.stop_gradient(A))[0]) if A.size else jnp.zeros(A.shape[:-2], jnp.int32)


@natives
def linalg_solve_ex(A, B, left, check_errors):
    vector = B.ndim == 1 or B.shape == A.shape[:-1]
    right = B[..., None] if vector else B
    matrices, right = (A, right) if left else (jnp.swapaxes(A, -1, -2), jnp.swapaxes(right, -1, -2))
    batch = jnp.broadcast_shapes(A.shape[:-2], right.shape[:-2])
    if right.size:
        solution = jnp.linalg.solve(matrices, right)
    else:
        solution = jnp.zeros((*batch, *right.shape[-2:]), right.dtype)
    solution = solution if left else jnp.swapaxes(solution, -1, -2)
    return (solution[..., 0] if vector else solution), _info(A)


@natives
def linalg_inv_ex(A, check_errors):
    return (jnp.linalg.inv(A) if A.size else A), _info(A)


@natives
def linalg_pinv(A, atol, rtol, hermitian_):
    if not A.size:
        return jnp.swapaxes(A, -1, -2)
    real = jnp.finfo(A.dtype).dtype
    if rtol is None:
        default = jnp.finfo(A.dtype).eps * max(A.shape[-2:])
        rtol = default if atol is None else jnp.where(jnp.asarray(atol) > 0, 0, default)
    bounds = jnp.asarray(0 if atol is None else atol, real), jnp.asarray(rtol, real)
    return _pinv(A, *map(jax.lax.stop_gradient, bounds), hermitian_)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _pinv(A, atol, rtol, is_hermitian):
    if is_hermitian:
        vectors, values = linalg.eigh(hermitian(A, True), symmetrize_input=False)
        sizes = jnp.abs(values)
        left, right = vectors, adjoint(vectors)
    else:
        U, values, Vh = linalg.svd(A, full_matrices=False)
        sizes, left, right = values, adjoint(Vh), adjoint(U)
    kept = sizes > jnp.maximum(atol, rtol * sizes.max(-1))[..., None]
    inverted = jnp.where(kept, 1 / jnp.where(kept, values, 1), 0)
    return (left * inverted[..., None, :].astype(A.dtype)) @ right


@_pinv.defjvp
def _pinv_jvp(is_hermitian, primals, tangents):
    """At constant rank (Golub and Pereyra 1973, https://doi.org/10.1137/0710036)."""
    A, atol, rtol = primals
    dA = tangents[0]
    if is_hermitian:
        A, dA = hermitian(A, True), (dA + adjoint(dA)) / 2
    P = _pinv(A, atol, rtol, is_hermitian)
    PH, dAH = adjoint(P), adjoint(dA)
    columns = P @ PH @ dAH
    rows = dAH @ PH @ P
    return P, -P @ dA @ P + columns - columns @ A @ P + rows - P @ A @ rows


# ---- determinants and exponentials ---------------------------------------------------------------------------------


@natives
def linalg_det(A):
    return jnp.linalg.det(A) if A.size else jnp.ones(A.shape[:-2], A.dtype)


@natives
def linalg_slogdet(A):
    if not A.size:
        return jnp.ones(A.shape[:-2], A.dtype), jnp.zeros(A.shape[:-2], jnp.finfo(A.dtype).dtype)
    return tuple(jnp.linalg.slogdet(A))


@natives
def matrix_exp(A):
    if not A.size:
        return A
    half = A.dtype in (jnp.bfloat16, jnp.float16)
    return jax.scipy.linalg.expm(A.astype(jnp.float32) if half else A).astype(A.dtype)


@natives
def linalg_ldl_solve(LD, pivots, B, hermitian):
    batch = jnp.broadcast_shapes(LD.shape[:-2], B.shape[:-2])
    B = jnp.broadcast_to(B, (*batch, *B.shape[-2:]))
    if not B.size:
        return B
    LD = jnp.broadcast_to(LD, (*batch, *LD.shape[-2:]))
    pivots = jnp.broadcast_to(pivots, (*batch, pivots.shape[-1]))

    def solve(packed, exchanged, right):
        lower, blocks, order = unpacked_ldl(packed, exchanged, hermitian)
        right = linalg.triangular_solve(lower, right[order], left_side=True, lower=True, unit_diagonal=True)
        right = jnp.linalg.solve(blocks, right)
        solution = linalg.triangular_solve(
            lower, right, left_side=True, lower=True, transpose_a=True, conjugate_a=hermitian, unit_diagonal=True
        )
        return jnp.zeros_like(solution).at[order].set(solution)

    return batched(solve, LD, pivots, B)
