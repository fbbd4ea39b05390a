"""The static path on JAX: ``jax.jit`` over flat lists, state that changes donated."""

from __future__ import annotations

import contextlib

import jax
import jax.numpy as jnp
from jax._src.core import trace_ctx

from unified.backends.jax.dtype import enable_x64, is_wide, wide
from unified.backends.protocol import held_elsewhere


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
        for position in held_elsewhere(natives, shared):
            natives[position] = jnp.copy(natives[position])

    def number(self, value, wide):
        if not wide:
            return jnp.asarray(value)
        with enable_x64(True):
            return jnp.asarray(value)

    def as_number(self, traced):
        return traced
