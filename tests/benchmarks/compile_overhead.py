"""What a call of a compiled step costs over the framework's own compiled function of the same flat list.

    python -m tests.benchmarks.compile_overhead [backend ...]

The step has 96 leaves of state, 32 parameters with two moments each, of 4 elements, all of them rewritten. So the
program itself is nearly empty, and what is left is the call.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import unified as un
from tests.benchmarks.timing import seconds

PARAMS = 32
CALLS = 3000


class Step:
    """State like an optimiser's, and an update of all of it that computes next to nothing."""

    def __init__(self) -> None:
        self.params = [un.ones(4).requires_grad_() for _ in range(PARAMS)]
        self.moments = [un.zeros(4) for _ in range(2 * PARAMS)]

    def __call__(self, x: un.Tensor) -> un.Tensor:
        with un.no_grad():
            for tensor in (*self.params, *self.moments):
                tensor.add_(1.0)
        return x + 1.0


def jax() -> Callable[[], object]:
    import jax
    import jax.numpy as jnp

    step = jax.jit(lambda x, state: (x + 1.0, [s + 1.0 for s in state]), donate_argnums=(1,))
    held: dict[str, Any] = {"state": [jnp.ones(4) for _ in range(3 * PARAMS)], "x": jnp.ones(4)}

    def call() -> None:
        _, held["state"] = step(held["x"], held["state"])

    return call


def torch() -> Callable[[], object]:
    import torch

    step = torch.compile(lambda x, *state: (x + 1.0, *[s + 1.0 for s in state]), fullgraph=True, dynamic=False)
    held: dict[str, Any] = {"state": [torch.ones(4) for _ in range(3 * PARAMS)], "x": torch.ones(4)}

    def call() -> None:
        with torch.no_grad():
            _, *held["state"] = step(held["x"], *held["state"])

    return call


def tensorflow() -> Callable[[], object]:
    import tensorflow as tf

    spec = tf.TensorSpec((4,), tf.float32)
    flat = tf.function(lambda *state: [s + 1.0 for s in state], jit_compile=True, autograph=False)
    step = flat.get_concrete_function(*[spec] * (3 * PARAMS + 1))
    held: dict[str, Any] = {"state": [tf.ones(4) for _ in range(3 * PARAMS + 1)]}

    def call() -> None:
        held["state"] = step(*held["state"])

    return call


NATIVE = {"jax": jax, "torch": torch, "tensorflow": tensorflow}


def figures(function: Callable[[], object]) -> list[float]:
    """Seconds of single calls, in order: the fast ones are those that no neighbour on the machine has met."""
    for _ in range(20):
        function()
    return sorted(seconds(function, 1) for _ in range(CALLS))


def main() -> None:
    for name in sys.argv[1:] or un.available_backends():
        with un.backend(name):
            step, x = un.compile(Step()), un.ones(4)
            step(x)
            ours, native = figures(partial(step, x)), figures(NATIVE[name]())
        for word, at in (("5th percentile", CALLS // 20), ("median", CALLS // 2)):
            a, b = ours[at] * 1e6, native[at] * 1e6
            print(f"{name:>10}  {word:>14}  ours {a:6.0f} us  native {b:6.0f} us  extra {a - b:6.0f} us")


if __name__ == "__main__":
    main()
