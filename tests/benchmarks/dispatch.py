"""What a call through the front end costs over the framework's own, on 8x8 tensors and on the tiny GPT.

Ours and native run alternately in one process; each figure is a median over rounds, so that a busy neighbour hits
both. Run it as ``python -m tests.benchmarks.dispatch [torch] [jax] [tensorflow]``.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

import unified as un
import unified.nn.functional as F
from tests.benchmarks import native_gpt
from unified.models.gpt import GPT, GPTConfig

ROUNDS = 21


def seconds(function: Callable[[], object], calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - started) / calls


def paired(
    ours: Callable[[], object], native: Callable[[], object], calls: tuple[int, int]
) -> tuple[float, float, float]:
    """Median seconds of both, and the median of the pairwise ratios."""
    ours(), native()
    pairs = [(seconds(ours, calls[0]), seconds(native, calls[1])) for _ in range(ROUNDS)]
    ratio = statistics.median(a / b for a, b in pairs)
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs), ratio


def single_ops(backend: str) -> None:
    """add, relu and matmul without gradients, against the framework's own call."""
    with un.backend(backend):
        x, y = un.ones(8, 8), un.ones(8, 8)
    a, b = x.native, y.native
    for name, ours, native in (
        ("add", lambda: x + y, lambda: a + b),
        ("relu", lambda: un.relu(x), native_gpt.relu(backend, a)),
        ("matmul", lambda: x @ y, lambda: a @ b),
    ):
        mine, theirs, _ = paired(ours, native, (2000, 2000))
        print(f"{backend:11s} {name:7s} ours {mine * 1e6:7.2f} us  native {theirs * 1e6:7.2f} us  "
              f"difference {(mine - theirs) * 1e6:+6.2f} us")  # fmt: skip


def tiny_gpt(backend: str) -> None:
    """Forward and backward of the tiny GPT, eager, against the framework's idiomatic eager code."""
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
        native = native_gpt.step(backend, weights, tokens)
        assert abs(ours() - native()) < 1e-4, (ours(), native())
        calls = (20, 2) if backend == "jax" else (10, 10)
        mine, theirs, ratio = paired(ours, native, calls)
        print(f"{backend:11s} tiny GPT ours {mine * 1e3:7.2f} ms  native {theirs * 1e3:7.2f} ms  ratio {ratio:.3f}")
        if backend == "jax":
            reference = native_gpt.step("torch", weights, tokens)
            mine, theirs, ratio = paired(ours, reference, (20, 20))
            print(
                f"{backend:11s} tiny GPT ours {mine * 1e3:7.2f} ms  torch  {theirs * 1e3:7.2f} ms  ratio {ratio:.3f}"
            )


def main() -> None:
    for backend in sys.argv[1:] or un.available_backends():
        single_ops(backend)
        tiny_gpt(backend)


if __name__ == "__main__":
    main()
