"""The static path on JAX: ``jax.jit`` over flat lists, state that changes donated."""

from __future__ import annotations

import contextlib
import sys

import jax
import jax.numpy as jnp
from jax._src.core import trace_ctx

from unified.backends.jax.dtype import enable_x64, is_wide, wide


class JaxCompiler:
    """Satisfies ``protocol.Compiler``."""

    description = "jax.jit"
    donates = True

    def discover(self, function, leaves):
        if wide.used:
            with enable_x64(any(is_wide(leaf) for leaf in leaves)):
                jax.eval_shape(function, leaves)
        else:
            jax.eval_shape(function, leaves)

    def abstract(self, native):
        return native

    def build(self, function, leaves, donated, kept):
        jitted = jax.jit(function, donate_argnums=(1,))

        def program(leaves, donated, kept):
            if wide.used and (is_wide(leaves) or is_wide(donated) or is_wide(kept)):
                with enable_x64(True):
                    return jitted(leaves, donated, kept)
            return jitted(leaves, donated, kept)

        return program

    def is_traced(self, native):
        return isinstance(native, jax.core.Tracer)

    def scope(self):
        return trace_ctx.trace

    def within(self, scope):
        return contextlib.nullcontext()

    def made_in(self, native, scope):
        return isinstance(native, jax.core.Tracer) and native._trace is scope

    def stop_gradient(self, native):
        return jax.lax.stop_gradient(native)

    def signature(self, native):
        return (native.shape, native.dtype, native.weak_type)

    def claim(self, natives, shared):
        for i, count in enumerate(map(sys.getrefcount, natives)):
            if count > _EXCLUSIVE or shared[i]:
                natives[i] = jnp.copy(natives[i])

    def number(self, value, wide):
        if not wide:
            return jnp.asarray(value)
        with enable_x64(True):
            return jnp.asarray(value)

    def as_number(self, traced):
        return traced


class _Holder:
    __slots__ = ("native",)


def _references():
    """How many references the loop in ``claim`` counts to what one slot and its list hold; Pythons differ."""
    holder = _Holder()
    holder.native = object()
    natives = [holder.native]
    return next(iter(map(sys.getrefcount, natives)))


_EXCLUSIVE = _references()
