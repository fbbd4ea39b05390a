"""Ops derived from others on JAX: pushforwards by ``jax.jvp``, batched ops by ``jax.vmap``."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unified.backends.protocol import errors


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
            raise errors.FunctionTransformError(
                "the result's shape depends on values, which differ between the examples of a batch"
            ) from error

    return batch


def pushforward(function, op):
    """(*arguments, tangents) -> outputs, then their tangents.

    A native with a reverse rule of its own (``jax.custom_vjp``) has no jvp; there it is the transpose of the vjp.
    """

    def push(*args):
        *operands, tangents = args
        masked = op.chosen(operands)
        tangents = [t.astype(m.dtype) for t, m in zip(tangents, masked, strict=True)]

        def flat(*values):
            result = op.of_chosen(function, operands)(*values)
            return list(result) if isinstance(result, (tuple, list)) else [result]

        try:
            outputs, moved = jax.jvp(flat, masked, tangents)
        except TypeError as error:
            if "custom_vjp" not in str(error):
                raise
            outputs, moved = _transposed(flat, masked, tangents)
        return [*outputs, *[None if m is None or m.dtype == jax.dtypes.float0 else m for m in moved]]

    return push


def _transposed(function, masked, tangents):
    places = []

    def inexact(*values):
        outputs = function(*values)
        places[:] = [i for i, o in enumerate(outputs) if o is not None and jnp.issubdtype(o.dtype, jnp.inexact)]
        return [outputs[i] for i in places], outputs

    found, back, outputs = jax.vjp(inexact, *masked, has_aux=True)
    moved = jax.linear_transpose(lambda *cotangents: back(list(cotangents)), *found)(tuple(tangents))
    by_place = dict(zip(places, moved, strict=True))
    return outputs, [by_place.get(i) for i in range(len(outputs))]
