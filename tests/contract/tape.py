"""``GradientTape``, against TensorFlow's: gradients of what ran within a block, by the Tensors it watched."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import unified as un
from tests.contract.row import A, B, Run, Theme, refusal


@functools.cache
def tensorflow() -> Any:
    """The oracle."""
    import tensorflow as tf  # here, so that the rows of the other files do not wait for it

    return SimpleNamespace(
        constant=tf.constant, variable=tf.Variable, total=tf.reduce_sum, exp=tf.exp, tape=tf.GradientTape,
        zero=tf.UnconnectedGradients.ZERO,
    )  # fmt: skip


row = Theme(__name__, needs="GradientTape", reference=tensorflow)


def spelled(lib: Any) -> Any:
    """TensorFlow's names for what the rows use, of either library."""
    if lib is not un:
        return lib
    return SimpleNamespace(
        constant=un.tensor, variable=lambda values: un.tensor(values, requires_grad=True), total=un.sum, exp=un.exp,
        tape=lambda **options: un.autograd.GradientTape(**options), zero="zero",
    )  # fmt: skip


@row
def a_tape_watches_variables(lib: Any, run: Run) -> Any:
    """What requires grad is watched by itself."""
    lib = spelled(lib)
    x = lib.variable(A)

    def derive() -> Any:
        with lib.tape() as tape:
            y = lib.total(x * x)
        return tape.gradient(y, x)

    return run(derive)()


@row
def a_constant_is_watched_if_asked(lib: Any, run: Run) -> Any:
    """``watch`` includes a Tensor that does not require grad; one that is not watched has no gradient."""
    lib = spelled(lib)
    x, y = lib.constant(A), lib.constant(B)

    def derive() -> Any:
        with lib.tape() as tape:
            tape.watch(x)
            z = lib.total(x * x * y)
        return tape.gradient(z, [x, y])

    return run(derive)()


@row
def the_gradient_has_the_structure_of_its_sources(lib: Any, run: Run) -> Any:
    """A list gives a list, a dict a dict."""
    lib = spelled(lib)
    x, y = lib.variable(A), lib.variable(B)

    def derive() -> Any:
        with lib.tape() as tape:
            z = lib.total(x * y)
        return tape.gradient(z, {"x": x, "pair": [y, x]})

    return run(derive)()


@row
def a_target_with_many_elements_is_summed(lib: Any, run: Run) -> Any:
    """``output_gradients`` weights it."""
    lib = spelled(lib)
    x, weights = lib.variable(A), lib.constant(B)

    def derive() -> Any:
        with lib.tape(persistent=True) as tape:
            y = x * x
        return tape.gradient(y, x), tape.gradient(y, x, output_gradients=weights), tape.gradient([y, y * 1], x)

    return run(derive)()


@row
def an_unconnected_source_is_none_or_zero(lib: Any, run: Run) -> Any:
    """``unconnected_gradients`` says which."""
    lib = spelled(lib)
    x, y = lib.variable(A), lib.variable(B)

    def derive() -> Any:
        with lib.tape(persistent=True) as tape:
            z = lib.total(x * x)
        return tape.gradient(z, y), tape.gradient(z, y, unconnected_gradients=lib.zero)

    return run(derive)()


@row
def a_tape_is_used_once(lib: Any, run: Run) -> Any:
    """A second ``gradient`` of a tape that is not persistent is refused."""
    lib = spelled(lib)
    x = lib.variable(A)

    def derive() -> Any:
        with lib.tape() as tape:
            y = lib.total(x * x)
        first = tape.gradient(y, x)
        return first, refusal(lambda: tape.gradient(y, x))

    return run(derive)()


@row
def a_persistent_tape_is_used_often(lib: Any, run: Run) -> Any:
    """``persistent=True`` keeps what was recorded."""
    lib = spelled(lib)
    x = lib.variable(A)

    def derive() -> Any:
        with lib.tape(persistent=True) as tape:
            y = x * x
            z = lib.total(y * y)
        return tape.gradient(z, x), tape.gradient(z, y), tape.gradient(y, x)

    return run(derive)()


@row
def tapes_nest(lib: Any, run: Run) -> Any:
    """A gradient taken within an outer tape is recorded by it."""
    lib = spelled(lib)
    x = lib.variable(A)

    def derive() -> Any:
        with lib.tape() as outer:
            with lib.tape() as inner:
                y = lib.total(x * x * x)
            g = inner.gradient(y, x)
            z = lib.total(g * g)
        return g, outer.gradient(z, x)

    return run(derive)()


@row
def a_tape_gives_jacobians(lib: Any, run: Run) -> Any:
    """``jacobian``: the target's dimensions come first."""
    lib = spelled(lib)
    x = lib.variable(A[0])

    def derive() -> Any:
        with lib.tape() as tape:
            y = lib.exp(x) * lib.total(x)
        return tape.jacobian(y, x)

    return run(derive)()


@row
def a_tape_gives_jacobians_of_a_batch(lib: Any, run: Run) -> Any:
    """``batch_jacobian``: one for each sample."""
    lib = spelled(lib)
    x = lib.variable(A)

    def derive() -> Any:
        with lib.tape() as tape:
            y = lib.exp(x) * x
        return tape.batch_jacobian(y, x)

    return run(derive)()


@row
def recording_may_be_stopped(lib: Any, run: Run) -> Any:
    """Within ``stop_recording`` nothing is recorded."""
    lib = spelled(lib)
    x = lib.variable(A)

    def derive() -> Any:
        with lib.tape() as tape:
            y = lib.total(x * x)
            with tape.stop_recording():
                z = lib.total(x * 3)
            total = y * z
        return tape.gradient(total, x)

    return run(derive)()


@row
def a_tape_may_start_again(lib: Any, run: Run) -> Any:
    """``reset`` forgets what was recorded and watched."""
    lib = spelled(lib)
    x = lib.variable(A)

    def derive() -> Any:
        with lib.tape() as tape:
            y = lib.total(x * x)
            tape.reset()
            z = lib.total(x * 3)
        return tape.gradient(z, x), [t is x for t in tape.watched_variables()], y is None

    return run(derive)()


@row
def variables_are_not_watched_if_so_asked(lib: Any, run: Run) -> Any:
    """``watch_accessed_variables=False`` leaves watching to ``watch``."""
    lib = spelled(lib)
    x, y = lib.variable(A), lib.variable(B)

    def derive() -> Any:
        with lib.tape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            z = lib.total(x * y)
        return tape.gradient(z, [x, y])

    return run(derive)()


@row
def outside_of_a_tape_nothing_is_recorded(lib: Any, run: Run) -> Any:
    """What ran before the block is a constant to it."""
    lib = spelled(lib)
    x = lib.variable(A)

    def derive() -> Any:
        y = x * x
        with lib.tape() as tape:
            z = lib.total(y * x)
        return tape.gradient(z, x)

    return run(derive)()
