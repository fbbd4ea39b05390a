"""Reverse mode: ``grad``, ``value_and_grad`` and ``vjp``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from unified._levels import entered
from unified._recording import recording
from unified._tensor import Tensor
from unified._transforms import transforms_of
from unified.errors import FunctionTransformError, ShapeError
from unified.func._arguments import (
    Argnums,
    differentiable,
    flatten,
    name_of,
    only_tensors,
    positions,
    replaced,
    representative,
    selected,
    unflatten,
    with_aux,
)


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """``func(*primals)`` and the function that takes cotangents of it to those of ``primals``.

    Args:
        func: returns Tensors in any nesting or, with ``has_aux``, a pair of that and anything else.
        primals: Tensors, floating or complex, in any nesting.
        has_aux: whether the second of what ``func`` returns is not differentiated but handed on.

    Returns:
        ``(output, vjp_fn)`` or ``(output, vjp_fn, aux)``. ``vjp_fn(cotangents)``, given what has the structure of
        ``output``, returns a tuple with one entry for each primal, in its structure; it may be called repeatedly.

    Example: with ``_, pull = vjp(un.sin, x)``, ``pull(un.ones_like(x))`` is ``(x.cos(),)``.

    Raises:
        DTypeError: a primal or an output is neither floating nor complex.
        FunctionTransformError: ``func`` returned something else than Tensors.
    """
    output, pull, aux = pulled_back("vjp", func, primals, tuple(range(len(primals))), has_aux, {})

    def vjp_fn(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        return pull(cotangents)

    return (output, vjp_fn, aux) if has_aux else (output, vjp_fn)


def pulled_back(
    transform: str, func: Callable[..., Any], args: tuple[Any, ...], argnums: Argnums, has_aux: bool,
    kwargs: dict[str, Any],
) -> tuple[Any, Callable[[Any], Any], Any]:  # fmt: skip
    """Output, pullback and aux, differentiated by the arguments that ``argnums`` names."""
    places = positions(transform, argnums, len(args))
    primals, structure = flatten(selected(args, argnums, places))
    differentiable(transform, "primals", primals)
    chosen = representative(transform, primals)
    level = transforms_of(chosen).reverse()
    with recording(True), entered(level):
        inputs = [level.put(primal) for primal in primals]
        result = func(*replaced(args, argnums, places, unflatten(structure, inputs)), **kwargs)
        result, aux = with_aux(transform, result, has_aux)
        roots, form = only_tensors(transform, result)
        differentiable(transform, "outputs", roots)
        outputs = [level.take(root) for root in roots]
        beside, aux_form = flatten(aux)
        aux = unflatten(aux_form, [level.take(tensor) for tensor in beside])

    def pull(cotangents: Any) -> Any:
        given, given_form = flatten(cotangents)
        if given_form != form:
            raise FunctionTransformError(
                f"{transform}: the cotangents of {name_of(func)} must have the structure of its output"
            )
        for cotangent, root in zip(given, outputs, strict=True):
            if cotangent.shape != root.shape:
                raise ShapeError(
                    f"{transform}: a cotangent of shape {tuple(cotangent.shape)} does not fit an output of shape "
                    f"{tuple(root.shape)}"
                )
        found = level.gradients(roots, given, inputs)
        whole = [p.detach().zeros_like() if g is None else g for g, p in zip(found, primals, strict=True)]
        return unflatten(structure, whole)

    return unflatten(form, outputs), pull, aux


def value_and_grad(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """As :func:`grad`, of a function that returns ``(value, gradients)``, or ``((value, aux), gradients)``.

    Example: ``value_and_grad(lambda x: (x * x).sum())(x)`` is ``((x * x).sum(), 2 * x)``.
    """

    @functools.wraps(func)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        value, gradients, aux = _value_and_gradients("value_and_grad", func, argnums, has_aux, args, kwargs)
        return ((value, aux) if has_aux else value), gradients

    return differentiated


def grad_and_value(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """As :func:`grad`, of a function that returns ``(gradients, value)``, or ``(gradients, (value, aux))``."""

    @functools.wraps(func)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        value, gradients, aux = _value_and_gradients("grad_and_value", func, argnums, has_aux, args, kwargs)
        return gradients, ((value, aux) if has_aux else value)

    return differentiated


def grad(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The function that computes the gradient of ``func``, which returns a single element.

    Args:
        func: returns a Tensor without dimensions or, with ``has_aux``, a pair of that and anything else.
        argnums: the positional argument to differentiate by, or a tuple of several. An argument may be Tensors in any
            nesting.
        has_aux: whether the second of what ``func`` returns is handed on.

    Returns:
        A function of the same arguments. Its result has the structure of the argument, or is a tuple of such where
        ``argnums`` is one; with ``has_aux``, ``(gradients, aux)``. An argument that was not used has zeros.

    Example: ``grad(un.sin)(x)`` is ``x.cos()`` and ``grad(grad(un.sin))(x)`` is ``-x.sin()``.

    Raises:
        FunctionTransformError: ``func`` did not return a single element.
        DTypeError: an argument that is differentiated by is neither floating nor complex.
        ArgumentError: ``argnums`` is out of range.
    """

    @functools.wraps(func)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        _, gradients, aux = _value_and_gradients("grad", func, argnums, has_aux, args, kwargs)
        return (gradients, aux) if has_aux else gradients

    return differentiated


def _value_and_gradients(
    transform: str, func: Callable[..., Any], argnums: Argnums, has_aux: bool, args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[Tensor, Any, Any]:  # fmt: skip
    def single(*arguments: Any, **keywords: Any) -> Any:
        result = func(*arguments, **keywords)
        value, _ = with_aux(transform, result, has_aux)
        if not isinstance(value, Tensor) or value.ndim:
            found = f"one of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise FunctionTransformError(
                f"{transform}: the function must return a Tensor without dimensions, not {found}; reduce it, or use "
                "un.func.vjp or un.func.jacrev"
            )
        return result

    value, pull, aux = pulled_back(transform, single, args, argnums, has_aux, kwargs)
    return value, pull(value.detach().ones_like()), aux
