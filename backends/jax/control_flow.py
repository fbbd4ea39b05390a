"""Control flow as constructs of JAX's: ``lax.cond``, ``lax.switch``, ``lax.while_loop`` and ``lax.scan``."""

from __future__ import annotations

import jax


class JaxControlFlow:
    """Satisfies ``protocol.ControlFlow``."""

    def switch(self, index, branches, operands):
        taken = [lambda *given, branch=branch: _typed(branch(list(given))) for branch in branches]
        if index.dtype == bool:
            return list(jax.lax.cond(index, taken[1], taken[0], *operands))
        return list(jax.lax.switch(index, taken, *operands))

    def while_loop(self, condition, body, carry, constants):
        return list(
            jax.lax.while_loop(
                lambda given: condition([*given, *constants])[0],
                lambda given: _typed(body([*given, *constants])),
                _typed(carry),
            )
        )

    def scan(self, body, carry, xs, constants, length, reverse):
        def step(given, slices):
            results = _typed(body([*given, *slices, *constants]))
            return results[: len(carry)], results[len(carry) :]

        final, stacked = jax.lax.scan(step, _typed(carry), list(xs), length=length, reverse=reverse)
        return list(final), list(stacked)


def _typed(natives):
    """The same with strong types, which a loop's carry must keep."""
    return [jax.lax.convert_element_type(native, native.dtype) for native in natives]
