"""Whole derivatives: ``jacrev`` by rows, ``jacfwd`` by columns, ``hessian`` by columns of rows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from unified._dispatch import table
from unified._tensor import Tensor
from unified.errors import ArgumentError
from unified.func._arguments import (
    Argnums,
    differentiable,
    flatten,
    positions,
    replaced,
    selected,
    unflatten,
    with_aux,
)
from unified.func.batching import vmap
from unified.func.forward import jvp
from unified.func.reverse import pulled_back


def jacrev(
    func: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False, chunk_size: int | None = None
) -> Callable[..., Any]:
    """The function that computes the Jacobian of ``func`` in reverse mode: a :func:`vmap` of pullbacks.

    Args:
        func: returns Tensors in any nesting or, with ``has_aux``, a pair of that and anything else.
        argnums: the positional argument to differentiate by, or a tuple of several.
        has_aux: whether the second of what ``func`` returns is handed on.
        chunk_size: how many rows are computed at a time; None for all.

    Returns:
        A function of the same arguments. Its result has the structure of the output and, within, that of the
        argument: each Tensor has the shape of the output followed by that of the input. With ``has_aux``, a pair.

    Example: ``jacrev(un.sin)(x)`` is ``x.cos().diag()`` for a vector ``x``.

    Raises:
        DTypeError: an input or output is neither floating nor complex.
        ArgumentError: ``argnums`` is out of range or ``chunk_size`` not positive.
    """
    if chunk_size is not None and chunk_size < 1:
        raise ArgumentError(f"jacrev: chunk_size must be None or at least 1, not {chunk_size}")

    @functools.wraps(func)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        output, pull, aux = pulled_back("jacrev", func, args, argnums, has_aux, kwargs)
        outputs, form = flatten(output)
        inputs, structure = flatten(selected(args, argnums, positions("jacrev", argnums, len(args))))
        pullback = vmap(lambda *rows: flatten(pull(unflatten(form, rows)))[0], chunk_size=chunk_size)
        rows = pullback(*_basis(outputs))
        jacobians = []
        start = 0
        for value in outputs:
            count = value.numel()
            blocks = [
                r.narrow(0, start, count).reshape((*value.shape, *i.shape)) for r, i in zip(rows, inputs, strict=True)
            ]
            jacobians.append(unflatten(structure, blocks))
            start += count
        jacobian = unflatten(form, jacobians)
        return (jacobian, aux) if has_aux else jacobian

    return differentiated


def jacfwd(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Callable[..., Any]:
    """The function that computes the Jacobian of ``func`` in forward mode: a :func:`vmap` of :func:`jvp`.

    Arguments, result and errors are those of :func:`jacrev`; ``randomness`` is that of :func:`vmap`.

    Example: ``jacfwd(un.sin)(x)`` is ``x.cos().diag()`` for a vector ``x``.
    """

    @functools.wraps(func)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        places = positions("jacfwd", argnums, len(args))
        inputs, structure = flatten(selected(args, argnums, places))
        differentiable("jacfwd", "inputs", inputs)
        forms: list[Any] = []

        def of_inputs(*values: Any) -> Any:
            result = func(*replaced(args, argnums, places, unflatten(structure, values)), **kwargs)
            output, aux = with_aux("jacfwd", result, has_aux)
            return output, aux

        def push(*tangents: Tensor) -> Any:
            _, moved, aux = jvp(of_inputs, tuple(inputs), tangents, has_aux=True)
            flat, form = flatten(moved)
            beside, aux_form = flatten(aux)
            forms[:] = [form, aux_form]
            return flat, beside

        moved, beside = vmap(push, randomness=randomness)(*_basis(inputs))
        columns: list[list[Tensor]] = []
        for whole in moved:
            start = 0
            blocks = []
            for value in inputs:
                count = value.numel()
                block = whole.narrow(0, start, count).movedim(0, -1)
                blocks.append(block.reshape((*whole.shape[1:], *value.shape)))
                start += count
            columns.append(unflatten(structure, blocks))
        jacobian = unflatten(forms[0], columns)
        return (jacobian, unflatten(forms[1], [whole[0] for whole in beside])) if has_aux else jacobian

    return differentiated


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The function that computes the second derivatives of ``func``: ``jacfwd(jacrev(func))``.

    Example: ``hessian(lambda x: (x ** 3).sum())(x)`` is ``(6 * x).diag()`` for a vector ``x``.

    Raises:
        DTypeError: an input or output is neither floating nor complex.
        ArgumentError: ``argnums`` is out of range.
    """
    return jacfwd(jacrev(func, argnums), argnums)


def _basis(tensors: Sequence[Tensor]) -> list[Tensor]:
    """For each Tensor one for every element of all of them, along dimension 0, that is 1 there and 0 elsewhere."""
    total = sum(tensor.numel() for tensor in tensors)
    parts = []
    start = 0
    for tensor in tensors:
        count = tensor.numel()
        flat: Tensor = tensor.detach().reshape((count,))
        eye: Tensor = flat.ones_like().diag_embed()
        above, below = eye.new_zeros((start, count)), eye.new_zeros((total - start - count, count))
        pieces = [piece for piece in (above, eye, below) if piece.shape[0]]
        whole: Tensor = pieces[0] if len(pieces) == 1 else table["cat"].caller(pieces, 0)  # type: ignore[misc]
        parts.append(whole.reshape((total, *tensor.shape)))
        start += count
    return parts
