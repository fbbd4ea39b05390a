"""What operands of linear algebra must satisfy: matrices in the last two dimensions, and matching batches."""

# ruff: noqa: N803 - matrices have the capital letters of PyTorch's signatures
from __future__ import annotations

from typing import Any

from unified.errors import ArgumentError, DTypeError, ShapeError
from unified.ops import _checks

_TAKEN = ("float32", "float64", "complex64", "complex128")


def matrices(A: Any, *_: Any) -> None:
    """``A (..., m, n)`` of 32 or 64-bit floating-point or complex elements."""
    if len(A.shape) < 2:
        raise ShapeError(f"needs at least 2 dimensions (..., m, n), but the shape is {tuple(A.shape)}")
    if A.dtype.name not in _TAKEN:
        raise DTypeError(
            f"needs float32, float64 or complex elements, not {A.dtype.name}; convert with x.to(un.float32)"
        )


def square(A: Any, *_: Any) -> None:
    """``A (..., n, n)`` as :func:`matrices`."""
    matrices(A)
    if A.shape[-1] != A.shape[-2]:
        raise ShapeError(f"needs square matrices (..., n, n), but the shape is {tuple(A.shape)}")


def pivoted(A: Any, pivot: bool, *_: Any) -> None:
    """An LU factorization, which no CPU kernel of PyTorch's computes without pivots."""
    matrices(A)
    if not pivot:
        raise ArgumentError("LU without pivoting is not taken: it is unstable; leave out pivot=False")


def solved(A: Any, B: Any, left: bool = True, *_: Any) -> None:
    """``A (..., n, n)`` and ``B (..., n, k)`` (``(..., k, n)`` where not ``left``) with batches that broadcast."""
    square(A)
    matrices(B)
    _checks.same_dtype(A=A, B=B)
    if B.shape[-2 if left else -1] != A.shape[-1]:
        raise ShapeError(f"right-hand sides {tuple(B.shape)} do not fit matrices {tuple(A.shape)}")
    _checks.broadcast_shapes(A.shape[:-2], B.shape[:-2])


def is_vector(A: Any, B: Any) -> bool:
    """Whether ``B`` is a (batch of a) vector as the right-hand side of ``A``, by PyTorch's rule."""
    return len(B.shape) == 1 or tuple(B.shape) == tuple(A.shape[:-1])


def solved_or_vector(A: Any, B: Any, left: bool = True, *_: Any) -> None:
    """As :func:`solved`, where ``B`` may also be a vector ``(..., n)``."""
    square(A)
    if not B.shape:
        raise ShapeError("B must have at least one dimension")
    if not is_vector(A, B):
        solved(A, B, left)
        return
    if not left:
        raise ArgumentError("left=False takes matrices B (..., k, n), not vectors")
    _checks.same_dtype(A=A, B=B)
    if B.shape[-1] != A.shape[-1]:
        raise ShapeError(f"a vector of shape {tuple(B.shape)} does not fit matrices {tuple(A.shape)}")


def factored(LU: Any, pivots: Any, B: Any, left: bool = True, *_: Any) -> None:
    """The operands of a solve with a factorization that brings pivots ``(..., n)``."""
    solved(LU, B, left)
    _pivots(LU, pivots)
    if LU.shape[-1] != pivots.shape[-1]:
        raise ShapeError(f"pivots {tuple(pivots.shape)} do not fit matrices {tuple(LU.shape)}")


def unpacked(LU: Any, pivots: Any, *_: Any) -> None:
    """A packed factorization ``(..., m, n)`` and its pivots ``(..., min(m, n))``."""
    matrices(LU)
    _pivots(LU, pivots)
    if pivots.shape[-1] != min(LU.shape[-2:]):
        raise ShapeError(f"pivots {tuple(pivots.shape)} do not fit matrices {tuple(LU.shape)}")


def _pivots(LU: Any, pivots: Any) -> None:
    if pivots.dtype.name not in ("int32", "int64"):
        raise DTypeError(f"pivots must be int32, not {pivots.dtype.name}")
    if tuple(pivots.shape[:-1]) != tuple(LU.shape[:-2]):
        raise ShapeError(f"pivots {tuple(pivots.shape)} and matrices {tuple(LU.shape)} have different batches")


def reflectors(input: Any, tau: Any, *_: Any) -> None:
    """Householder vectors ``(..., m, n)`` with ``m >= n`` and their scales ``tau (..., k)`` with ``k <= n``."""
    matrices(input)
    _checks.same_dtype(input=input, tau=tau)
    if input.shape[-2] < input.shape[-1]:
        raise ShapeError(f"input {tuple(input.shape)} must have at least as many rows as columns")
    if tuple(tau.shape[:-1]) != tuple(input.shape[:-2]) or tau.shape[-1] > input.shape[-1]:
        raise ShapeError(f"tau {tuple(tau.shape)} does not fit input {tuple(input.shape)}")


def reflected(input: Any, tau: Any, other: Any, left: bool = True, *_: Any) -> None:
    """The operands of a product with Householder reflectors."""
    matrices(input)
    matrices(other)
    _checks.same_dtype(input=input, tau=tau, other=other)
    rows = other.shape[-2 if left else -1]
    if input.shape[-2] != rows:
        raise ShapeError(f"other {tuple(other.shape)} does not fit input {tuple(input.shape)}")
    if not tau.shape or tau.shape[-1] != min(rows, input.shape[-1]):
        raise ShapeError(f"tau {tuple(tau.shape)} must have {min(rows, input.shape[-1])} elements a matrix")
    if not tuple(input.shape[:-2]) == tuple(tau.shape[:-1]) == tuple(other.shape[:-2]):
        raise ShapeError("input, tau and other must have the same batch dimensions")
