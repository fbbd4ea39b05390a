"""The tiny GPT as a good user of each framework writes it by hand, for the benchmarks to compare with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

HEADS, LAYERS = 2, 2


def relu(backend: str, a: Any) -> Callable[[], Any]:
    """The framework's own relu of ``a``."""
    if backend == "torch":
        import torch

        return lambda: torch.relu(a)
    if backend == "jax":
        import jax

        return lambda: jax.nn.relu(a)
    import tensorflow as tf

    return lambda: tf.nn.relu(a)


def step(kind: str, weights: dict[str, np.ndarray], tokens: np.ndarray) -> Callable[[], float]:
    """Forward and backward in eager mode; returns the loss. "torch functions" is torch without its Modules."""
    return {
        "torch": _torch, "torch functions": _torch_functions, "jax": _jax, "tensorflow": _tensorflow,
    }[kind](weights, tokens)  # fmt: skip


def _torch(weights: dict[str, np.ndarray], tokens: np.ndarray) -> Callable[[], float]:
    import torch
    import torch.nn.functional as F

    from tests.benchmarks.native_torch_gpt import GPT

    torch.set_num_threads(1)  # at this size its threads wait for each other, 3 to 20 times as long as they compute
    (vocabulary, width), context = weights["tokens.weight"].shape, len(weights["positions.weight"])
    model = GPT(vocabulary, width, LAYERS, HEADS, context)
    model.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    x, y = torch.tensor(tokens[:, :-1]), torch.tensor(tokens[:, 1:].reshape(-1))

    def run() -> float:
        model.zero_grad()
        loss = F.cross_entropy(model(x).reshape(-1, vocabulary), y)
        loss.backward()
        return loss.item()

    return run


def _torch_functions(weights: dict[str, np.ndarray], tokens: np.ndarray) -> Callable[[], float]:
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(1)
    p = {name: torch.tensor(value, requires_grad=True) for name, value in weights.items()}
    x, y = torch.tensor(tokens[:, :-1]), torch.tensor(tokens[:, 1:].reshape(-1))
    batch, length = x.shape

    def run() -> float:
        for value in p.values():
            value.grad = None
        h = F.embedding(x, p["tokens.weight"]) + p["positions.weight"][:length]
        d = h.shape[-1]
        for i in range(LAYERS):
            b = f"blocks.{i}."
            z = F.layer_norm(h, (d,), p[b + "norm1.weight"], p[b + "norm1.bias"])
            q, k, v = F.linear(z, p[b + "attention.qkv.weight"], p[b + "attention.qkv.bias"]).reshape(
                batch, length, 3, HEADS, d // HEADS).permute(2, 0, 3, 1, 4).unbind(0)  # fmt: skip
            a = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(batch, length, d)
            h = h + F.linear(a, p[b + "attention.projection.weight"], p[b + "attention.projection.bias"])
            z = F.layer_norm(h, (d,), p[b + "norm2.weight"], p[b + "norm2.bias"])
            z = F.gelu(F.linear(z, p[b + "expand.weight"], p[b + "expand.bias"]), approximate="tanh")
            h = h + F.linear(z, p[b + "contract.weight"], p[b + "contract.bias"])
        h = F.layer_norm(h, (d,), p["norm.weight"], p["norm.bias"])
        loss = F.cross_entropy(F.linear(h, p["head.weight"]).reshape(batch * length, -1), y)
        loss.backward()
        return loss.item()

    return run


def _jax(weights: dict[str, np.ndarray], tokens: np.ndarray) -> Callable[[], float]:
    import jax
    import jax.numpy as jnp

    params = {name: jnp.asarray(value) for name, value in weights.items()}
    x, y = jnp.asarray(tokens[:, :-1]), jnp.asarray(tokens[:, 1:].reshape(-1))
    batch, length = x.shape

    def norm(h: Any, weight: Any, bias: Any) -> Any:
        mean = h.mean(-1, keepdims=True)
        variance = ((h - mean) ** 2).mean(-1, keepdims=True)
        return (h - mean) * jax.lax.rsqrt(variance + 1e-5) * weight + bias

    def loss(p: dict[str, Any]) -> Any:
        h = p["tokens.weight"][x] + p["positions.weight"][:length]
        d = h.shape[-1]
        mask = jnp.tril(jnp.ones((length, length), bool))
        for i in range(LAYERS):
            b = f"blocks.{i}."
            z = (
                norm(h, p[b + "norm1.weight"], p[b + "norm1.bias"]) @ p[b + "attention.qkv.weight"].T
                + p[b + "attention.qkv.bias"]
            )
            q, k, v = z.reshape(batch, length, 3, HEADS, d // HEADS).transpose(2, 0, 3, 1, 4)
            scores = jnp.where(mask, q @ k.swapaxes(-1, -2) / (d // HEADS) ** 0.5, -jnp.inf)
            a = (jax.nn.softmax(scores) @ v).swapaxes(1, 2).reshape(batch, length, d)
            h = h + a @ p[b + "attention.projection.weight"].T + p[b + "attention.projection.bias"]
            z = norm(h, p[b + "norm2.weight"], p[b + "norm2.bias"]) @ p[b + "expand.weight"].T + p[b + "expand.bias"]
            h = h + jax.nn.gelu(z, approximate=True) @ p[b + "contract.weight"].T + p[b + "contract.bias"]
        logits = (norm(h, p["norm.weight"], p["norm.bias"]) @ p["head.weight"].T).reshape(batch * length, -1)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], -1).mean()

    value_and_grad = jax.value_and_grad(loss)
    return lambda: float(jax.block_until_ready(value_and_grad(params))[0])


def _tensorflow(weights: dict[str, np.ndarray], tokens: np.ndarray) -> Callable[[], float]:
    import tensorflow as tf

    p = {name: tf.Variable(value) for name, value in weights.items()}
    x, y = tf.constant(tokens[:, :-1]), tf.constant(tokens[:, 1:].reshape(-1))
    batch, length = x.shape
    mask = tf.constant(np.tril(np.ones((length, length), bool)))

    def linear(h: Any, weight: Any, bias: Any) -> Any:
        flat = tf.matmul(tf.reshape(h, (-1, h.shape[-1])), weight, transpose_b=True) + bias
        return tf.reshape(flat, (*h.shape[:-1], weight.shape[0]))

    def norm(h: Any, weight: Any, bias: Any) -> Any:
        mean, variance = tf.nn.moments(h, -1, keepdims=True)
        return tf.nn.batch_normalization(h, mean, variance, bias, weight, 1e-5)

    def forward() -> Any:
        h = tf.gather(p["tokens.weight"], x) + p["positions.weight"][:length]
        d = h.shape[-1]
        for i in range(LAYERS):
            b = f"blocks.{i}."
            z = linear(
                norm(h, p[b + "norm1.weight"], p[b + "norm1.bias"]),
                p[b + "attention.qkv.weight"],
                p[b + "attention.qkv.bias"],
            )
            z = tf.transpose(tf.reshape(z, (batch, length, 3, HEADS, d // HEADS)), (2, 0, 3, 1, 4))
            q, k, v = tf.unstack(z)
            scores = tf.where(mask, tf.matmul(q, k, transpose_b=True) / (d // HEADS) ** 0.5, -np.inf)
            a = tf.reshape(tf.transpose(tf.nn.softmax(scores) @ v, (0, 2, 1, 3)), (batch, length, d))
            h = h + linear(a, p[b + "attention.projection.weight"], p[b + "attention.projection.bias"])
            z = linear(
                norm(h, p[b + "norm2.weight"], p[b + "norm2.bias"]), p[b + "expand.weight"], p[b + "expand.bias"]
            )
            h = h + linear(tf.nn.gelu(z, approximate=True), p[b + "contract.weight"], p[b + "contract.bias"])
        h = norm(h, p["norm.weight"], p["norm.bias"])
        logits = tf.matmul(tf.reshape(h, (-1, d)), p["head.weight"], transpose_b=True)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))

    def run() -> float:
        with tf.GradientTape() as tape:
            loss = forward()
        tape.gradient(loss, p)
        return float(loss)

    return run
