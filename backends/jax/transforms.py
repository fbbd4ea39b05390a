"""Ops derived from others on JAX: pushforwards by ``jax.jvp``, batched ops by ``jax.vmap``."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unified.backends.protocol import SHAPE_BY_VALUE, errors


def batched(function, op):
    """The op with a batch dimension in front of the operands in its mask, and of every output."""

    def batch(*operands):
        def each(*masked):
            result = inner(*masked)
            return tuple(result) if isinstance(result, list) else result

        inner = op.of_chosen(function, operands)
        try:
            return jax.vmap(each)(*op.chosen(operands))
        except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError) as error:
            raise errors.FunctionTransformError(SHAPE_BY_VALUE) from error

    return batch


def pushforward(function, op):
    """(*arguments, tangents) -> outputs, then their tangents.

    A native with a reverse rule of its own (``jax.custom_vjp``) has no jvp; there it is the transpose of the vjp.
    JAX says so only when a program is lowered, so it is looked for in the trace.
    """

    def push(*args):
        *operands, tangents = args
        masked = op.chosen(operands)
        tangents = [t.astype(m.dtype) for t, m in zip(tangents, masked, strict=True)]

        def flat(*values):
            result = op.of_chosen(function, operands)(*values)
            return list(result) if isinstance(result, (tuple, list)) else [result]

        forward = _transposed if _has_reverse_rule(jax.make_jaxpr(flat)(*masked).jaxpr) else jax.jvp
        outputs, moved = forward(flat, masked, tangents)
        return [*outputs, *[None if m is None or m.dtype == jax.dtypes.float0 else m for m in moved]]

    return push


def _has_reverse_rule(jaxpr):
    return any(
        "custom_vjp" in equation.primitive.name or any(map(_has_reverse_rule, _within(equation)))
        for equation in jaxpr.eqns
    )


def _within(equation):
    """The programs that an equation runs: branches, bodies of loops, calls."""
    for value in equation.params.values():
        for member in value if isinstance(value, (tuple, list)) else (value,):
            inner = getattr(member, "jaxpr", member)
            if hasattr(inner, "eqns"):
                yield inner


def _transposed(function, masked, tangents):
    """By the derivative of the pullback at 0: a rule may look at its cotangents, which a transposition may not."""
    places = []

    def inexact(*values):
        outputs = function(*values)
        places[:] = [i for i, o in enumerate(outputs) if o is not None and jnp.issubdtype(o.dtype, jnp.inexact)]
        return [outputs[i] for i in places], outputs

    found, back, outputs = jax.vjp(inexact, *masked, has_aux=True)
    _, forth = jax.vjp(lambda *cotangents: back(list(cotangents)), *map(jnp.zeros_like, found))
    moved = forth(tuple(tangents))
    by_place = dict(zip(places, moved, strict=True))
    return outputs, [by_place.get(i) for i in range(len(outputs))]
