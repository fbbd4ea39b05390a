"""Forward and backward in eager mode: time on the tiny GPT, and the memory that backward holds on a deep MLP.

Run it as ``python -m tests.benchmarks.autograd [torch] [jax] [tensorflow]``; :mod:`tests.benchmarks.timing` and
:mod:`tests.benchmarks.memory` say how it measures.
"""

from __future__ import annotations

import sys

import numpy as np

import unified as un
import unified.nn.functional as F
from tests.benchmarks import memory, native_gpt
from tests.benchmarks.timing import paired
from unified.models.gpt import GPT, GPTConfig

REFERENCES = {
    "torch": [("torch", "torch", 1.08), ("torch functions", "torch without its Modules", None)],
    "jax": [("jax", "jax.value_and_grad without jit", 1 / 25), ("torch", "torch eager", 2.0)],
    "tensorflow": [("tensorflow", "tf.GradientTape", 1.1)],
}
"""For each backend, whose native code it is compared with, what that is, and the ratio of times to stay under."""

PEAK = 1.1
"""The ratio to native PyTorch's peak to stay under, where the tape keeps what PyTorch does."""


def tiny_gpt(backend: str) -> None:
    """Against the framework's idiomatic eager code."""
    with un.backend(backend):
        un.manual_seed(0)
        model = GPT(GPTConfig.tiny())
        tokens = np.random.default_rng(0).integers(0, 100, (2, 17))
        x = un.tensor(tokens[:, :-1])
        y = un.tensor(tokens[:, 1:].reshape(-1))

        def ours() -> float:
            model.zero_grad()
            loss = F.cross_entropy(model(x).reshape(-1, 100), y)
            loss.backward()
            return loss.item()

        weights = {name: p.detach().numpy().copy() for name, p in model.named_parameters()}
        for framework, what, target in REFERENCES[backend]:
            native = native_gpt.step(framework, weights, tokens)
            assert abs(ours() - native()) < 1e-4, (ours(), native())
            calls = (20, 2) if framework == "jax" else (20, 20)
            mine, theirs, ratio = paired(ours, native, calls)
            limit = "" if target is None else f", target {target:.2f}"
            print(f"{backend:11s} tiny GPT  ours {mine * 1e3:6.2f} ms  {what} {theirs * 1e3:.2f} ms  "
                  f"ratio {ratio:.3f} (1/{1 / ratio:.1f}){limit}")  # fmt: skip


def peak_memory(backend: str) -> None:
    """Against native PyTorch's curve."""
    shape = memory.Shape()
    for activation in ("relu", "tanh"):
        mine, theirs = memory.ours(backend, activation, shape), memory.native(activation, shape)
        middle = mine.samples[shape.layers // 2]
        print(f"{backend:11s} {shape.layers} x Linear+{activation}  saved {mine.saved / 1e6:.2f} MB  "
              f"peak {mine.peak / 1e6:.2f}  half-way {middle / 1e6:.2f}  last {mine.samples[-1] / 1e6:.2f}  "
              f"torch {theirs.peak / 1e6:.2f}  ratio {mine.peak / theirs.peak:.3f}, target {PEAK}")  # fmt: skip


def main() -> None:
    for backend in sys.argv[1:] or un.available_backends():
        tiny_gpt(backend)
        peak_memory(backend)


if __name__ == "__main__":
    main()
