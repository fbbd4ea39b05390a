"""Forward mode: ``jvp`` and ``linearize``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unified._levels import entered
from unified._transforms import transforms_of
from unified.errors import DTypeError, FunctionTransformError, OperandError, ShapeError
from unified.func._arguments import differentiable, flatten, only_tensors, representative, unflatten, with_aux
from unified.func.reverse import vjp


def jvp(
    func: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...], *, strict: bool = False,
    has_aux: bool = False,
) -> Any:  # fmt: skip
    """``func(*primals)`` and its derivative along ``tangents``.

    Args:
        func: returns Tensors in any nesting or, with ``has_aux``, a pair of that and anything else.
        primals: the arguments, a tuple of Tensors in any nesting.
        tangents: in the structure, shapes and dtypes of ``primals``.
        strict: refuse an output that does not depend on ``primals``, whose derivative would be zeros.
        has_aux: whether the second of what ``func`` returns is handed on.

    Returns:
        ``(output, output_tangents)`` or ``(output, output_tangents, aux)``.

    Example: ``jvp(un.sin, (x,), (t,))`` is ``(x.sin(), x.cos() * t)``.

    Raises:
        OperandError, ShapeError, DTypeError: ``tangents`` do not fit ``primals``.
        FunctionTransformError: ``func`` returned something else than Tensors, or see ``strict``.
    """
    for name, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, tuple):
            raise OperandError(
                f"jvp: {name} must be a tuple, one entry for each argument, not {type(value).__name__}"
            )
    points, structure = flatten(primals)
    directions, form = flatten(tangents)
    if form != structure:
        raise FunctionTransformError("jvp: tangents must have the structure of primals")
    differentiable("jvp", "primals", points)
    for point, direction in zip(points, directions, strict=True):
        if point.shape != direction.shape:
            raise ShapeError(
                f"jvp: a tangent of shape {tuple(direction.shape)} does not fit a primal of {tuple(point.shape)}"
            )
        if point.dtype is not direction.dtype:
            raise DTypeError(f"jvp: a tangent of {direction.dtype.name} does not fit a primal of {point.dtype.name}")
    level = transforms_of(representative("jvp", [*points, *directions])).dual()
    with entered(level):
        inputs = [level.put(point, direction) for point, direction in zip(points, directions, strict=True)]
        result, aux = with_aux("jvp", func(*unflatten(structure, inputs)), has_aux)
        duals, out_form = only_tensors("jvp", result)
        pairs = [level.take(dual) for dual in duals]
        beside, aux_form = flatten(aux)
        aux = unflatten(aux_form, [level.take(tensor)[0] for tensor in beside])
    if strict and any(tangent is None for _, tangent in pairs):
        raise FunctionTransformError("jvp: with strict=True every output must depend on primals, and one does not")
    moved = [value.detach().zeros_like() if tangent is None else tangent for value, tangent in pairs]
    output = unflatten(out_form, [value for value, _ in pairs])
    return (output, unflatten(out_form, moved), aux) if has_aux else (output, unflatten(out_form, moved))


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """``func(*primals)`` and its derivative there, a linear function that computes nothing of ``func`` again.

    The derivative is the pullback of the pullback: that is linear in its cotangents, and its transpose is the
    pushforward.

    Returns:
        ``(output, jvp_fn)``; ``jvp_fn(*tangents)`` is the tangent of ``output``, in its structure.

    Example: with ``y, f = linearize(un.sin, x)``, ``f(t)`` is ``x.cos() * t``.

    Raises:
        DTypeError: a primal or an output is neither floating nor complex.
        FunctionTransformError: ``func`` returned something else than Tensors.
    """
    output, pull = vjp(func, *primals)
    points, structure = flatten(primals)
    outputs, form = flatten(output)
    zeros = unflatten(form, [value.detach().zeros_like() for value in outputs])
    _, transpose = vjp(pull, zeros)

    def jvp_fn(*tangents: Any) -> Any:
        directions, given = flatten(tangents)
        if given != structure:
            raise FunctionTransformError("linearize: tangents must have the structure of primals")
        for point, direction in zip(points, directions, strict=True):
            if point.shape != direction.shape:
                raise ShapeError(
                    f"linearize: a tangent of shape {tuple(direction.shape)} does not fit a primal of shape "
                    f"{tuple(point.shape)}"
                )
        return transpose(tangents)[0]

    return output, jvp_fn
