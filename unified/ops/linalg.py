"""Products of matrices and vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unified._dispatch import composite, op
from unified._dtype import Number
from unified._tensor import Tensor
from unified.errors import ArgumentError, ShapeError
from unified.ops import _checks
from unified.ops.elementwise import add, mul
from unified.ops.reduction import sum

__all__ = [
    "addmm", "addmv", "baddbmm", "bmm", "dot", "einsum", "matmul", "mm", "mv", "outer",
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
        if tuple(_checks.broadcast_shapes(input.shape, result)) != tuple(result):
            raise ShapeError(f"input {tuple(input.shape)} does not broadcast to the product's shape {tuple(result)}")
        _checks.same_dtype(input=input, mat1=first, mat2=second)

    return check


@op(methods=("matmul", "__matmul__"), check=_checks.matmul)
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


@composite(methods=("dot", "inner"), check=_of_ranks(1, 1))
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Sum of the products of two vectors: ``(n), (n) -> ()``."""
    return sum(mul(input, tensor))


@composite(methods=("addmm",), inplace=True, check=_adds(2, 2))
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)`` for matrices; ``input`` broadcasts to ``(n, m)``."""
    return add(mul(input, beta), mul(matmul(mat1, mat2), alpha))


@composite(methods=("addmv",), inplace=True, check=_adds(2, 1))
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
    """``beta * input + alpha * (mat @ vec)``; ``input`` broadcasts to ``(n)``."""
    return add(mul(input, beta), mul(matmul(mat, vec), alpha))


@composite(methods=("baddbmm",), inplace=True, check=_adds(3, 3))
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
    """``beta * input + alpha * (batch1 @ batch2)``; ``input`` broadcasts to ``(b, n, m)``."""
    return add(mul(input, beta), mul(matmul(batch1, batch2), alpha))


def _contracts(equation: str, operands: Sequence[Any]) -> None:
    """Each operand has a letter for each dimension, and a letter one length."""
    terms, _, result = equation.replace(" ", "").partition("->")
    subscripts = terms.split(",")
    if len(subscripts) != len(operands):
        raise ArgumentError(f"the equation {equation!r} names {len(subscripts)} operands, but got {len(operands)}")
    lengths: dict[str, int] = {}
    for index, (subscript, operand) in enumerate(zip(subscripts, operands, strict=True)):
        before, dots, after = subscript.partition("...")
        rank = len(operand.shape)
        if len(before) + len(after) > rank or (not dots and len(before) != rank):
            raise ShapeError(
                f"{subscript!r} in {equation!r} does not fit operand {index} of shape {tuple(operand.shape)}"
            )
        named = [*zip(before, operand.shape, strict=False)]
        if after:
            named += zip(after, operand.shape[rank - len(after) :], strict=True)
        for letter, length in named:
            held = lengths.setdefault(letter, length)
            if held == 1:
                lengths[letter] = length
            elif length not in (1, held):
                raise ShapeError(
                    f"{letter!r} in {equation!r} is {held} in one operand and {length} in operand {index}"
                )
    unknown = set(result.replace("...", "")) - set(lengths)
    if unknown:
        raise ArgumentError(f"{equation!r} has {sorted(unknown)} in its result, but in no operand")
    _checks.same_dtype(**{f"operand {index}": operand for index, operand in enumerate(operands)})


@op(name="einsum", check=_contracts)
def _einsum(equation: str, operands: Sequence[Tensor]) -> Tensor:
    """Sums of products, by letters for dimensions."""


def einsum(equation: str, *operands: Tensor | Sequence[Tensor]) -> Tensor:
    """Sums of products over named dimensions, as in ``torch.einsum``; the order of contraction is optimised.

    Example: ``einsum("bij,bjk->bik", a, b)`` is ``bmm(a, b)``; ``"ii"`` is a trace, ``"..."`` stands for any dims.

    Raises:
        ArgumentError: the equation does not name the operands' dimensions.
        ShapeError: a letter has two lengths.
    """
    tensors: list[Tensor] = []
    for operand in operands:
        tensors += [operand] if isinstance(operand, Tensor) else operand
    return _einsum(equation, tensors)


@composite(methods=("outer", "ger"))
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """All products of two vectors' elements: ``(n), (m) -> (n, m)``."""
    return _einsum("i,j->ij", (input, vec2))
