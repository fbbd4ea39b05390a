"""Compiled training steps against what a good user of the framework writes by hand: forward, backward and AdamW.

Run it as ``OMP_NUM_THREADS=1 python -m tests.benchmarks.compile [gpt] [resnet] [lstm] [torch] [jax] [tensorflow]``;
:mod:`tests.benchmarks.timing` says how it measures. Times are CPU seconds, which busy neighbours do not change.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import unified as un
import unified.nn.functional as F
from tests.benchmarks import native_gpt, native_lstm, native_resnet, native_training
from tests.benchmarks.native_training import Step
from tests.benchmarks.timing import cpu_seconds, paired, seconds
from tests.twins import in_torch
from unified import nn, optim
from unified.models import GPT, GPTConfig, LSTMClassifier, ResNet

os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # its workers would compile on a clock of their own
os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"

TARGETS = {"torch": 1.0, "jax": 1.03, "tensorflow": 1.05}
"""The ratio of step times to stay under, against the fastest of the native ones."""

FIRST_CALL = {"torch": 1.25}
"""The ratio of first calls, against the slowest of the native ones to compile."""

IDIOM = 1 / 1.2
"""The ratio to stay under against JAX with ``x @ w`` for linear layers."""


class Case(NamedTuple):
    """A model and its batch."""

    model: Callable[[], nn.Module]
    batch: tuple[np.ndarray, np.ndarray]
    classes: int
    native: Callable[[str, dict[str, np.ndarray], tuple[np.ndarray, np.ndarray]], dict[str, Callable[[], Step]]]
    """By the framework's name, from weights and batch: native steps by what they are."""


def our_step(case: Case, model: nn.Module) -> Any:
    """The compiled function, and a call of it."""
    optimizer = optim.AdamW(
        model.parameters(), native_training.LR, native_training.BETAS, weight_decay=native_training.DECAY
    )
    x, y = un.tensor(case.batch[0]), un.tensor(case.batch[1])

    @un.compile
    def step(x: un.Tensor, y: un.Tensor) -> un.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x).reshape(-1, case.classes), y)
        loss.backward()
        optimizer.step()
        return loss

    return lambda: float(step(x, y).item())


def gpt() -> Case:
    """GPT-small, 8 sequences of 64 tokens."""
    config = GPTConfig.small()
    tokens = np.random.default_rng(0).integers(0, config.vocabulary, (8, config.context + 1)).astype(np.int32)
    return Case(
        lambda: GPT(config), (tokens[:, :-1].copy(), tokens[:, 1:].reshape(-1)), config.vocabulary, _native_gpt
    )


def _native_gpt(
    framework: str, weights: dict[str, np.ndarray], batch: tuple[np.ndarray, np.ndarray]
) -> dict[str, Callable[[], Step]]:
    config = GPTConfig.small()
    sizes = (config.heads, config.layers)
    if framework == "torch":
        module = in_torch("gpt")
        return _native_torch(module.GPT(module.GPTConfig.small()), weights, batch, config.vocabulary)
    x, y = batch
    if framework == "jax":
        import jax.numpy as jnp

        def step(product: Callable[[Any, Any], Any]) -> Step:
            ids, targets = jnp.asarray(x), jnp.asarray(y)
            params = {name: jnp.array(value) for name, value in weights.items()}
            return native_training.jax_step(
                lambda p, state: (native_gpt.jax_loss(p, ids, targets, *sizes, product), state), params, {}
            )

        return {
            "jit, flat products": lambda: step(native_gpt.flat_product),
            "jit, x @ w": lambda: step(native_gpt.batched_product),
        }
    import tensorflow as tf

    return native_training.tensorflow_steps(
        lambda p: native_gpt.tensorflow_loss(p, tf.constant(x), tf.constant(y), *sizes),
        lambda: {name: tf.Variable(value) for name, value in weights.items()},
    )


def resnet() -> Case:
    """ResNet-18 with the stem for small images, 16 of 32x32."""
    draw = np.random.default_rng(0)
    images = draw.standard_normal((16, 3, 32, 32)).astype(np.float32)
    labels = draw.integers(0, 10, 16).astype(np.int32)
    return Case(lambda: ResNet.resnet18(10, small_images=True), (images, labels), 10, _native_resnet)


def _native_resnet(
    framework: str, weights: dict[str, np.ndarray], batch: tuple[np.ndarray, np.ndarray]
) -> dict[str, Callable[[], Step]]:
    if framework == "torch":
        return _native_torch(in_torch("resnet").ResNet.resnet18(10, small_images=True), weights, batch, 10)
    x, y = np.ascontiguousarray(batch[0].transpose(0, 2, 3, 1)), batch[1]
    last = {name: native_resnet.channels_last(name, value) for name, value in weights.items()}
    params = {name: value for name, value in last.items() if "running" not in name and "num_batches" not in name}
    statistics = {name: value for name, value in last.items() if "running" in name}
    if framework == "jax":
        import jax.numpy as jnp

        def step() -> Step:
            images, labels = jnp.asarray(x), jnp.asarray(y)
            return native_training.jax_step(
                lambda p, state: native_resnet.jax_loss(p, state, images, labels),
                {name: jnp.array(value) for name, value in params.items()},
                {name: jnp.array(value) for name, value in statistics.items()},
            )

        return {"jit, NHWC": step}
    import tensorflow as tf

    running = {name: tf.Variable(value, trainable=False) for name, value in statistics.items()}
    return native_training.tensorflow_steps(
        lambda p: native_resnet.tensorflow_loss(p, running, tf.constant(x), tf.constant(y)),
        lambda: {name: tf.Variable(value) for name, value in params.items()},
    )


_TOKENS, _WIDTH, _CLASSES = 1000, 128, 10


def lstm() -> Case:
    """A classifier by one LSTM of 128 features, 32 sequences of 64 tokens."""
    draw = np.random.default_rng(0)
    tokens = draw.integers(0, _TOKENS, (32, 64)).astype(np.int32)
    labels = draw.integers(0, _CLASSES, 32).astype(np.int32)
    return Case(lambda: LSTMClassifier(_TOKENS, _WIDTH, _WIDTH, _CLASSES), (tokens, labels), _CLASSES, _native_lstm)


def _native_lstm(
    framework: str, weights: dict[str, np.ndarray], batch: tuple[np.ndarray, np.ndarray]
) -> dict[str, Callable[[], Step]]:
    if framework == "torch":
        model = in_torch("lstm").LSTMClassifier(_TOKENS, _WIDTH, _WIDTH, _CLASSES)
        return _native_torch(model, weights, batch, _CLASSES, recurrent=True)
    x, y = batch
    if framework == "jax":
        import jax.numpy as jnp

        def step() -> Step:
            tokens, labels = jnp.asarray(x), jnp.asarray(y)
            return native_training.jax_step(
                lambda p, state: (native_lstm.jax_loss(p, tokens, labels), state),
                {name: jnp.array(value) for name, value in weights.items()},
                {},
            )

        return {"jit, scan": step}
    import tensorflow as tf

    return native_training.tensorflow_steps(
        lambda p: native_lstm.tensorflow_loss(p, tf.constant(x), tf.constant(y)),
        lambda: {name: tf.Variable(value) for name, value in weights.items()},
    )


def _native_torch(
    model: Any,
    weights: dict[str, np.ndarray],
    batch: tuple[np.ndarray, np.ndarray],
    classes: int,
    recurrent: bool = False,
) -> dict[str, Callable[[], Step]]:
    import torch

    model.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    x, y = torch.tensor(batch[0]), torch.tensor(batch[1]).long()
    return native_training.torch_steps(
        model, lambda called: torch.nn.functional.cross_entropy(called(x).reshape(-1, classes), y), recurrent
    )


def compare(name: str, case: Case, backend: str) -> None:
    """Prints one line a native step."""
    with un.backend(backend):
        un.manual_seed(0)
        model = case.model()
        weights = {key: np.array(value.detach().numpy()) for key, value in model.state_dict().items()}
        ours = our_step(case, model)
        first, loss = _first_call(ours)
        firsts = {}
        for what, make in case.native(backend, weights, case.batch).items():  # one after the other: they share caches
            step = make()
            firsts[what], expected = _first_call(step)
            assert abs(loss - expected) < 1e-3 * abs(expected), (backend, what, loss, expected)
            calls = max(1, round(0.2 / max(_first_call(step)[0], 0.001)))
            mine, theirs, ratio = paired(ours, step, (calls, calls), cpu_seconds)
            target = IDIOM if what == "jit, x @ w" else TARGETS[backend]
            print(f"{backend:11s} {name:7s} ours {mine * 1e3:8.2f} ms  {what} {theirs * 1e3:.2f} ms  "
                  f"ratio {ratio:.3f}, target {target:.2f};  first call {first:.1f} s, theirs {firsts[what]:.1f}, "
                  f"ratio {first / firsts[what]:.2f}", flush=True)  # fmt: skip
        if backend in FIRST_CALL:
            slowest = max(firsts, key=lambda what: firsts[what])
            print(f"{backend:11s} {name:7s} first call against {slowest}: ratio {first / firsts[slowest]:.2f}, "
                  f"target {FIRST_CALL[backend]:.2f}", flush=True)  # fmt: skip


def _first_call(step: Step) -> tuple[float, float]:
    losses: list[float] = []
    taken = seconds(lambda: losses.append(step()), 1, cpu_seconds)
    return taken, losses[0]


def ranks_of_products(case: Case) -> dict[int, int]:
    """How many products our forward and backward pass has on JAX, by the rank of the left operand."""
    import jax

    with un.backend("jax"):
        model = case.model()
        x, y = un.tensor(case.batch[0]), un.tensor(case.batch[1])

        def run(x: Any, y: Any) -> Any:
            logits = model(un.from_native(x)).reshape(-1, case.classes)
            loss = F.cross_entropy(logits, un.from_native(y))
            loss.backward()
            return [loss.detach().native, *[parameter.grad.native for parameter in model.parameters()]]

        traced = jax.make_jaxpr(run)(x.native, y.native)
    found: dict[int, int] = {}
    inside = [traced.jaxpr]
    while inside:
        for equation in inside.pop().eqns:
            inside += [value.jaxpr for value in equation.params.values() if hasattr(value, "jaxpr")]
            if equation.primitive.name == "dot_general":
                rank = equation.invars[0].aval.ndim
                found[rank] = found.get(rank, 0) + 1
    return found


def warm_up(backend: str) -> None:
    """Compiles something small both ways, so that whoever is first does not pay for imports and probes of the CPU."""
    with un.backend(backend):
        un.compile(un.sin)(un.ones(3))
    if backend == "torch":
        import torch

        x = torch.ones(3, requires_grad=True)
        torch.compile(lambda x: torch.sin(x).sum())(x).backward()


CASES = {"gpt": gpt, "resnet": resnet, "lstm": lstm}


def main() -> None:
    chosen = set(sys.argv[1:])
    warm = set()
    for name, case in CASES.items():
        for backend in un.available_backends():
            if (name in chosen or not chosen & CASES.keys()) and (backend in chosen or not chosen - CASES.keys()):
                if backend not in warm:
                    warm_up(backend)
                    warm.add(backend)
                compare(name, case(), backend)
                if backend == "jax":
                    print(
                        f"{backend:11s} {name:7s} products by rank of the left operand: {ranks_of_products(case())}"
                    )


if __name__ == "__main__":
    main()
