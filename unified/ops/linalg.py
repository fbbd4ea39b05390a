"""Products of matrices and vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unified._dispatch import composite, op
from unified._dtype import Number, float32
from unified._tensor import Tensor
from unified.errors import ShapeError
from unified.ops import _checks, _subscripts
from unified.ops.creation import full_like
from unified.ops.elementwise import add, eq, mul, where
from unified.ops.reduction import sum
from unified.ops.shape import diagonal, reshape, unsqueeze

__all__ = [
    "addmm", "addmv", "baddbmm", "bmm", "dot", "einsum", "ger", "matmul", "mm", "mv", "outer",
]  # fmt: skip

Scalar = Number


def _of_ranks(*ranks: int) -> Callable[..., None]:
    """A check that the operands have these numbers of dimensions and that the product exists."""

    def check(*operands: Any) -> None:
        for index, (operand, rank) in enumerate(zip(operands, ranks, strict=False)):
            if len(operand.shape) != rank:
                raise ShapeError(
                    f"operand {index} must have {rank} dimensions, but its shape is {tuple(operand.shape)}"
                )
        _checks.matmul(operands[0], operands[1])
        if ranks[0] == 3 and operands[0].shape[0] != operands[1].shape[0]:
            raise ShapeError(f"batches of {operands[0].shape[0]} and {operands[1].shape[0]} matrices do not match")

    return check


def _adds(*ranks: int) -> Callable[..., None]:
    """A check of ``input + a @ b``: the product's, and that ``input`` broadcasts to its result."""
    product = _of_ranks(*ranks)

    def check(input: Any, first: Any, second: Any, *_: Any) -> None:
        product(first, second)
        result = (*first.shape[:-1], *(second.shape[-1:] if ranks[1] > 1 else ()))
        fits_into(input, result)
        _checks.same_dtype(input=input, mat1=first, mat2=second)

    return check


def fits_into(input: Any, result: Sequence[int]) -> None:
    """``input`` broadcasts to the product's shape; raises ShapeError."""
    if tuple(_checks.broadcast_shapes(input.shape, result)) != tuple(result):
        raise ShapeError(f"input {tuple(input.shape)} does not broadcast to the product's shape {tuple(result)}")


def precise(input: Tensor) -> Tensor:
    """16-bit floats as float32, for more than one operation in a row; all else as it is."""
    return input.to(float32) if input.dtype.is_floating_point and input.dtype.itemsize < 4 else input


def weighted(input: Tensor, beta: Scalar, product: Tensor, alpha: Scalar) -> Tensor:
    """``beta * input + alpha * product``, where a ``beta`` of 0 keeps even NaN in ``input`` out of the result.

    The factors are rounded to the operands' dtype first, as in PyTorch: integers take their integer part.
    """
    factors = [precise(full_like(input, factor)) for factor in (beta, alpha)]
    kept = where(eq(factors[0], 0), factors[0], precise(input))
    return add(mul(kept, factors[0]), mul(precise(product), factors[1])).to(input.dtype)


@op(methods=("matmul", "__matmul__", "__rmatmul__"), check=_checks.matmul)
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """Matrix product over the last two dimensions, the others broadcast; vectors as in ``torch.matmul``.

    Example: shapes ``(b, n, k) @ (k, m) -> (b, n, m)``.
    """


@composite(methods=("bmm",), check=_of_ranks(3, 3))
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Batched product: ``(b, n, k), (b, k, m) -> (b, n, m)``."""
    return matmul(input, mat2)


@composite(methods=("mm",), check=_of_ranks(2, 2))
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """Product of two matrices: ``(n, k), (k, m) -> (n, m)``."""
    return matmul(input, mat2)


@composite(methods=("mv",), check=_of_ranks(2, 1))
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """Matrix times vector: ``(n, k), (k) -> (n)``."""
    return matmul(input, vec)


@composite(methods=("dot",), check=_of_ranks(1, 1))
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Sum of the products of two vectors: ``(n), (n) -> ()``."""
    return sum(mul(input, tensor))


@composite(methods=("addmm",), inplace=True, check=_adds(2, 2))
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)`` for matrices; ``input`` broadcasts to ``(n, m)``."""
    return weighted(input, beta, matmul(mat1, mat2), alpha)


@composite(methods=("addmv",), inplace=True, check=_adds(2, 1))
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
    """``beta * input + alpha * (mat @ vec)``; ``input`` broadcasts to ``(n)``."""
    return weighted(input, beta, matmul(mat, vec), alpha)


@composite(methods=("baddbmm",), inplace=True, check=_adds(3, 3))
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
    """``beta * input + alpha * (batch1 @ batch2)``; ``input`` broadcasts to ``(b, n, m)``."""
    return weighted(input, beta, matmul(batch1, batch2), alpha)


@op(name="einsum")
def _einsum(equation: str, operands: Sequence[Tensor]) -> Tensor:
    """Sums of products; each operand has a letter for each dimension, and no letter twice."""


def einsum(equation: str | Tensor, *operands: Any) -> Tensor:
    """Sums of products over named dimensions, as in ``torch.einsum``; the order of contraction is optimised.

    Example: ``einsum("bij,bjk->bik", a, b)`` is ``bmm(a, b)``; ``"ii"`` is a trace, ``"..."`` stands for any dims.
    The sublist format names dimensions by ints: ``einsum(a, [0, 1], b, [1, 2], [0, 2])``.

    Raises:
        ArgumentError: the equation does not name the operands' dimensions.
        ShapeError: a letter has two lengths.
    """
    if not isinstance(equation, str):
        equation, operands = _of_sublists((equation, *operands))
    tensors: list[Tensor] = []
    for operand in operands:
        tensors += [operand] if isinstance(operand, Tensor) else operand
    plan = _subscripts.explicit(equation, tuple([tuple(tensor.shape) for tensor in tensors]))
    _checks.same_dtype(**{f"operand {index}": tensor for index, tensor in enumerate(tensors)})
    plain = [_plain(tensor, term, plan) for tensor, term in zip(tensors, plan.terms, strict=True)]
    return _einsum(f"{','.join(term for _, term in plain)}->{plan.result}", [tensor for tensor, _ in plain])


def _of_sublists(arguments: tuple[Any, ...]) -> tuple[str, tuple[Tensor, ...]]:
    """``(a, [0, 1], b, [1, 2], [0, 2])`` as an equation and its operands."""
    paired = len(arguments) // 2 * 2
    equation = ",".join(_subscripts.of_sublist(sublist) for sublist in arguments[1:paired:2])
    if paired < len(arguments):
        equation += f"->{_subscripts.of_sublist(arguments[-1])}"
    return equation, arguments[:paired:2]


def _plain(operand: Tensor, term: str, plan: _subscripts.Contraction) -> tuple[Tensor, str]:
    """An operand and its letters without those that are repeated, or stand for a length of 1 to be broadcast."""
    shape = tuple(operand.shape)
    kept = [length != 1 or plan.lengths[letter] == 1 for letter, length in zip(term, shape, strict=True)]
    if not all(kept):
        operand = reshape(operand, tuple(length for length, keep in zip(shape, kept, strict=True) if keep))
        term = "".join(letter for letter, keep in zip(term, kept, strict=True) if keep)
    for letter in sorted(set(term)):
        while term.count(letter) > 1:
            first = term.index(letter)
            second = term.index(letter, first + 1)
            operand = diagonal(operand, 0, first, second)
            term = term[:first] + term[first + 1 : second] + term[second + 1 :] + letter
    return operand, term


def _two_vectors(input: Any, vec2: Any) -> None:
    if len(input.shape) != 1 or len(vec2.shape) != 1:
        raise ShapeError(f"operands must be vectors, not of shapes {tuple(input.shape)} and {tuple(vec2.shape)}")


@composite(methods=("outer", "ger"), check=_two_vectors)
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """All products of two vectors' elements: ``(n), (m) -> (n, m)``."""
    return mul(unsqueeze(input, 1), vec2)


ger = outer
