"""The static path on JAX: ``jax.jit`` over flat lists, state that changes donated."""

from __future__ import annotations

import contextlib

import jax
import jax.numpy as jnp
from jax._src.core import trace_ctx

from unified.backends.jax.dtype import enable_x64, is_wide, to_native, wide
from unified.backends.jax.lowering import lower
from unified.backends.protocol import held_elsewhere


def _chosen(natives):
    """The same values, chosen by a condition that never holds, which XLA does not find out.

    Its barrier is no help on the CPU, where XLA drops it before it looks for what is computed twice.
    """
    sources = [native for native in natives if native.size]
    if not sources:
        return natives
    element = sources[-1].ravel()[0]  # of a cotangent: the region runs once that is there
    number = (element.real if jnp.iscomplexobj(element) else element).astype(jnp.int32)
    odd = (number * (number + 1)) & 1 == 1
    return [jnp.where(odd, jnp.zeros_like(native), native) for native in natives]


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
        return lower(function, leaves, donated, kept).compile()

    def lower(self, function, leaves, donated, kept, platform=None):
        return lower(function, leaves, donated, kept, platform)

    def placeholder(self, shape, dtype, place):
        wide.used = wide.used or dtype.is_wide
        return jax.ShapeDtypeStruct(shape, to_native(dtype))

    def barrier(self, natives):
        return jax.lax.platform_dependent(natives, cpu=_chosen, default=jax.lax.optimization_barrier)

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
            # jnp.copy would compile one program a shape
            natives[position] = jax.device_put(natives[position], may_alias=False)

    def number(self, value, wide):
        if not wide:
            return jnp.asarray(value)
        with enable_x64(True):
            return jnp.asarray(value)

    def as_number(self, traced):
        return traced
