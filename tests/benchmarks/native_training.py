"""One AdamW step around a loss, compiled as a good user of each framework does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LR, BETAS, EPS, DECAY = 1e-3, (0.9, 0.999), 1e-8, 0.01

Step = Callable[[], float]
Arrays = dict[str, Any]


def torch_steps(model: Any, loss: Callable[[Any], Any], recurrent: bool = False) -> dict[str, Callable[[], Step]]:
    """``loss`` of a model; the update is PyTorch's fused kernel, outside of what is compiled.

    ``torch.compile`` leaves a recurrent layer to the eager kernels: its first call compiles next to nothing. With
    ``allow_rnn`` it writes the layer out step by step. Nobody would train so, for a step takes twice as long; it is
    here for its first call, the only one of ``torch.compile`` after which an LSTM is compiled.
    """
    import copy

    import torch

    def step(compiled: Callable[[Any], Any]) -> Step:
        own = copy.deepcopy(model)
        called = compiled(own)
        optimizer = torch.optim.AdamW(own.parameters(), LR, BETAS, EPS, DECAY, fused=True)

        def run() -> float:
            optimizer.zero_grad()
            value = loss(called)
            value.backward()
            optimizer.step()
            return float(value.item())

        return run

    def whole() -> Step:
        torch._dynamo.reset()  # it would take what the other has compiled of the same code
        run: Step = torch._dynamo.config.patch(allow_rnn=True)(step(torch.compile))
        return run

    steps = {"torch.compile(model)": lambda: step(torch.compile), "eager": lambda: step(lambda own: own)}
    if recurrent:
        steps["torch.compile(model), allow_rnn"] = whole
    return steps


def jax_step(loss: Callable[[Arrays, Arrays], tuple[Any, Arrays]], params: Arrays, state: Arrays) -> Step:
    """``loss(params, state)`` gives the loss and the next state; all that changes is donated."""
    import jax
    import optax

    optimizer = optax.adamw(LR, *BETAS, EPS, weight_decay=DECAY)

    def step(params: Arrays, state: Arrays, moments: Any) -> Any:
        (value, state), gradients = jax.value_and_grad(loss, has_aux=True)(params, state)
        updates, moments = optimizer.update(gradients, moments, params)
        return value, optax.apply_updates(params, updates), state, moments

    jitted = jax.jit(step, donate_argnums=(0, 1, 2))
    held = [params, state, optimizer.init(params)]

    def run() -> float:
        value, *held[:] = jitted(*held)
        return float(value)

    return run


def tensorflow_steps(loss: Callable[[Arrays], Any], params: Callable[[], Arrays]) -> dict[str, Callable[[], Step]]:
    """``loss`` of Variables, which ``params`` makes; the update is Keras's, and one written by hand."""
    import keras
    import tensorflow as tf

    def by_keras() -> Step:
        variables = params()
        optimizer = keras.optimizers.AdamW(LR, DECAY, *BETAS, EPS)
        optimizer.build(list(variables.values()))

        @tf.function(jit_compile=True)
        def step() -> Any:
            with tf.GradientTape() as tape:
                value = loss(variables)
            gradients = tape.gradient(value, variables)
            optimizer.apply([gradients[name] for name in variables], list(variables.values()))
            return value

        return lambda: float(step())

    def by_hand() -> Step:
        variables = params()
        first = {name: tf.Variable(tf.zeros_like(value)) for name, value in variables.items()}
        second = {name: tf.Variable(tf.zeros_like(value)) for name, value in variables.items()}
        count = tf.Variable(0.0)

        @tf.function(jit_compile=True)
        def step() -> Any:
            with tf.GradientTape() as tape:
                value = loss(variables)
            gradients = tape.gradient(value, variables)
            count.assign_add(1.0)
            size = LR / (1 - BETAS[0] ** count)
            root = tf.sqrt(1 - BETAS[1] ** count)
            for name, variable in variables.items():
                gradient = tf.convert_to_tensor(gradients[name])
                first[name].assign_add((gradient - first[name]) * (1 - BETAS[0]))
                second[name].assign_add((gradient * gradient - second[name]) * (1 - BETAS[1]))
                change = first[name] / (tf.sqrt(second[name]) / root + EPS) * size
                variable.assign(variable * (1 - LR * DECAY) - change)
            return value

        return lambda: float(step())

    return {"by hand": by_hand, "Keras": by_keras}
