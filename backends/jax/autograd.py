"""How an op becomes callables on JAX: one cached ``jax.jit`` for its value and one for each pullback.

A pullback recomputes the forward inside its own program instead of carrying residuals out of ``jit(vjp)``: XLA
drops what the derivative does not need, flat arguments stay on jit's C++ path, and the forward is shared with calls
that record nothing. On the small GPT that took 51 to 54 ms where residuals took 62 to 70 (docs/design.md).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unified.backends.jax.dtype import WIDE, enable_x64, is_wide, wide


def compiled(function, op):
    """``function`` as one jitted program per static arguments and shapes; 64-bit operands get their scope."""
    return scoped(jax.jit(function, static_argnums=op.static, inline=True), op)


def scoped(function, op):
    """``function`` with 64 bits switched on for a call that has 64-bit operands, or asks for such a result."""

    def narrow_or_wide(*args):
        if wide.used:
            for arg in args:
                if arg.dtype in WIDE if isinstance(arg, jax.Array) else arg.__class__ is list and is_wide(arg):
                    with enable_x64(True):
                        return function(*args)
        return function(*args)

    position = next((i for i, parameter in enumerate(op.parameters) if parameter.name == "dtype"), None)
    if position is None:
        return narrow_or_wide

    def by_dtype(*args):
        asked = args[position]
        if asked is not None and asked.is_wide:
            wide.used = True
            with enable_x64(True):
                return function(*args)
        return narrow_or_wide(*args)

    return by_dtype


def pullback(function, op):
    """(*arguments, cotangents) -> cotangents of the operands in the op's mask, by ``jax.vjp`` of ``function``."""

    def pull(*args):
        *operands, cotangents = args
        of_operands = op.of_chosen(function, operands)
        outputs, back = jax.vjp(lambda *masked: _inexact(of_operands(*masked)), *op.chosen(operands))
        return [_conjugate(gradient) for gradient in back(_fill(outputs, cotangents))]

    return pull


def _inexact(result):
    """The outputs that can carry a cotangent; None in place of the others."""
    if not isinstance(result, (tuple, list)):
        return [result]
    return [r if r is not None and jnp.issubdtype(r.dtype, jnp.inexact) else None for r in result]


def _conjugate(array):
    """Between JAX's convention for complex gradients and PyTorch's, which is its conjugate."""
    return jnp.conj(array) if jnp.iscomplexobj(array) else array


def _fill(outputs, cotangents):
    return [
        None
        if output is None
        else jnp.zeros_like(output)
        if cotangent is None
        else _conjugate(cotangent.astype(output.dtype))
        for output, cotangent in zip(outputs, cotangents, strict=True)
    ]
