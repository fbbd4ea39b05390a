"""A million uniforms and normals: our Philox, eager and compiled, against the generator each framework brings."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import unified as un
from tests.benchmarks.timing import paired

COUNT = 1 << 20
LIMITS = {
    ("torch", "eager"): 5.0, ("jax", "eager"): 1.5, ("tensorflow", "eager"): 1.5,
    ("torch", "compiled"): 1.5, ("jax", "compiled"): 1.5, ("tensorflow", "compiled"): 1.5,
}  # fmt: skip
"""Ratio of times to stay under, for uniforms."""


def native(backend: str, what: str, mode: str) -> Callable[[], Any]:
    """The framework's own draw, waited for. Theirs are compiled where ours are."""
    if backend == "torch":
        import torch

        torch.set_num_threads(1)
        draw = torch.rand if what == "uniform" else torch.randn
        return torch.compile(lambda: draw(COUNT)) if mode == "compiled" else lambda: draw(COUNT)
    if backend == "jax":
        import jax

        key = jax.random.key(0)
        draw = jax.random.uniform if what == "uniform" else jax.random.normal
        function = jax.jit(lambda key: draw(key, (COUNT,))) if mode == "compiled" else lambda key: draw(key, (COUNT,))
        return lambda: function(key).block_until_ready()
    import tensorflow as tf

    if mode == "eager":
        draw = tf.random.uniform if what == "uniform" else tf.random.normal
        return lambda: draw((COUNT,)).numpy()
    draw = tf.random.stateless_uniform if what == "uniform" else tf.random.stateless_normal
    program = tf.function(lambda seed: draw((COUNT,), seed), jit_compile=True)
    seed = tf.constant([1, 2])
    return lambda: program(seed).numpy()


def ours(what: str, mode: str) -> Callable[[], Any]:
    """The same with the current backend's default Generator."""
    draw = un.rand if what == "uniform" else un.randn
    function = un.compile(lambda: draw(COUNT)) if mode == "compiled" else lambda: draw(COUNT)
    return lambda: function().numpy()


def main() -> None:
    for backend in sys.argv[1:] or un.available_backends():
        with un.backend(backend):
            for what in ("uniform", "normal"):
                for mode in ("eager", "compiled"):
                    mine, theirs, ratio = paired(ours(what, mode), native(backend, what, mode), (3, 3))
                    limit = f", target {LIMITS[backend, mode]}" if what == "uniform" else ""
                    print(f"{backend:11s} {what} {mode:8s}  ours {mine * 1e3:6.2f} ms  "
                          f"native {theirs * 1e3:6.2f} ms  ratio {ratio:.2f}{limit}")  # fmt: skip


if __name__ == "__main__":
    main()
