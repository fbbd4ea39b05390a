"""The GPT as a good user of each framework writes it by hand, for the benchmarks to compare with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

TINY = (2, 2)
"""Heads and layers."""

Parameters = dict[str, Any]


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

    from tests.twins import in_torch

    torch.set_num_threads(1)  # at this size its threads wait for each other, 3 to 20 times as long as they compute
    (vocabulary, width), context = weights["tokens.weight"].shape, len(weights["positions.weight"])
    heads, layers = TINY
    module = in_torch("gpt")
    model = module.GPT(module.GPTConfig(vocabulary, width, layers, heads, context))
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

    torch.set_num_threads(1)
    p = {name: torch.tensor(value, requires_grad=True) for name, value in weights.items()}
    x, y = torch.tensor(tokens[:, :-1]), torch.tensor(tokens[:, 1:].reshape(-1))

    def run() -> float:
        for value in p.values():
            value.grad = None
        loss = torch_loss(p, x, y)
        loss.backward()
        return float(loss.item())

    return run


def torch_loss(p: Parameters, x: Any, y: Any) -> Any:
    """Of the tiny GPT."""
    import torch.nn.functional as F

    heads, layers = TINY
    batch, length = x.shape
    h = F.embedding(x, p["tokens.weight"]) + p["positions.weight"][:length]
    d = h.shape[-1]
    for i in range(layers):
        b = f"blocks.{i}."
        z = F.layer_norm(h, (d,), p[b + "norm1.weight"], p[b + "norm1.bias"])
        q, k, v = F.linear(z, p[b + "attention.qkv.weight"], p[b + "attention.qkv.bias"]).reshape(
            batch, length, 3, heads, d // heads).permute(2, 0, 3, 1, 4).unbind(0)  # fmt: skip
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(batch, length, d)
        h = h + F.linear(a, p[b + "attention.projection.weight"], p[b + "attention.projection.bias"])
        z = F.layer_norm(h, (d,), p[b + "norm2.weight"], p[b + "norm2.bias"])
        z = F.gelu(F.linear(z, p[b + "expand.weight"], p[b + "expand.bias"]), approximate="tanh")
        h = h + F.linear(z, p[b + "contract.weight"], p[b + "contract.bias"])
    h = F.layer_norm(h, (d,), p["norm.weight"], p["norm.bias"])
    return F.cross_entropy(F.linear(h, p["head.weight"]).reshape(batch * length, -1), y)


def _jax(weights: dict[str, np.ndarray], tokens: np.ndarray) -> Callable[[], float]:
    import jax
    import jax.numpy as jnp

    params = {name: jnp.asarray(value) for name, value in weights.items()}
    x, y = jnp.asarray(tokens[:, :-1]), jnp.asarray(tokens[:, 1:].reshape(-1))
    value_and_grad = jax.value_and_grad(lambda p: jax_loss(p, x, y, *TINY))
    return lambda: float(jax.block_until_ready(value_and_grad(params))[0])


def batched_product(x: Any, weight: Any) -> Any:
    return x @ weight.T


def flat_product(x: Any, weight: Any) -> Any:
    """``x @ weight.T`` of a matrix of rows, by someone who knows that XLA on the CPU is slow on a batch of them."""
    return (x.reshape(-1, x.shape[-1]) @ weight.T).reshape(*x.shape[:-1], -1)


def jax_loss(
    p: Parameters, x: Any, y: Any, heads: int, layers: int, product: Callable[[Any, Any], Any] = batched_product
) -> Any:
    """``product`` is how a linear layer multiplies."""
    import jax
    import jax.numpy as jnp

    def norm(h: Any, weight: Any, bias: Any) -> Any:
        mean = h.mean(-1, keepdims=True)
        variance = ((h - mean) ** 2).mean(-1, keepdims=True)
        return (h - mean) * jax.lax.rsqrt(variance + 1e-5) * weight + bias

    def linear(h: Any, layer: str) -> Any:
        return product(h, p[layer + ".weight"]) + p[layer + ".bias"]

    batch, length = x.shape
    h = p["tokens.weight"][x] + p["positions.weight"][:length]
    d = h.shape[-1]
    mask = jnp.tril(jnp.ones((length, length), bool))
    for i in range(layers):
        b = f"blocks.{i}."
        z = linear(norm(h, p[b + "norm1.weight"], p[b + "norm1.bias"]), b + "attention.qkv")
        q, k, v = z.reshape(batch, length, 3, heads, d // heads).transpose(2, 0, 3, 1, 4)
        scores = jnp.where(mask, q @ k.swapaxes(-1, -2) / (d // heads) ** 0.5, -jnp.inf)
        a = (jax.nn.softmax(scores) @ v).swapaxes(1, 2).reshape(batch, length, d)
        h = h + linear(a, b + "attention.projection")
        z = linear(norm(h, p[b + "norm2.weight"], p[b + "norm2.bias"]), b + "expand")
        h = h + linear(jax.nn.gelu(z, approximate=True), b + "contract")
    logits = product(norm(h, p["norm.weight"], p["norm.bias"]), p["head.weight"]).reshape(batch * length, -1)
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], -1).mean()


def _tensorflow(weights: dict[str, np.ndarray], tokens: np.ndarray) -> Callable[[], float]:
    import tensorflow as tf

    p = {name: tf.Variable(value) for name, value in weights.items()}
    x, y = tf.constant(tokens[:, :-1]), tf.constant(tokens[:, 1:].reshape(-1))

    def run() -> float:
        with tf.GradientTape() as tape:
            loss = tensorflow_loss(p, x, y, *TINY)
        tape.gradient(loss, p)
        return float(loss)

    return run


def tensorflow_loss(p: Parameters, x: Any, y: Any, heads: int, layers: int) -> Any:
    """Its products are of matrices, as Keras's are."""
    import tensorflow as tf

    def product(h: Any, weight: Any) -> Any:
        return tf.matmul(tf.reshape(h, (-1, h.shape[-1])), weight, transpose_b=True)

    def linear(h: Any, layer: str) -> Any:
        flat = product(h, p[layer + ".weight"]) + p[layer + ".bias"]
        return tf.reshape(flat, (*h.shape[:-1], flat.shape[-1]))

    def norm(h: Any, weight: Any, bias: Any) -> Any:
        mean, variance = tf.nn.moments(h, -1, keepdims=True)
        return tf.nn.batch_normalization(h, mean, variance, bias, weight, 1e-5)

    batch, length = x.shape
    mask = tf.constant(np.tril(np.ones((length, length), bool)))
    h = tf.gather(p["tokens.weight"], x) + p["positions.weight"][:length]
    d = h.shape[-1]
    for i in range(layers):
        b = f"blocks.{i}."
        z = linear(norm(h, p[b + "norm1.weight"], p[b + "norm1.bias"]), b + "attention.qkv")
        z = tf.transpose(tf.reshape(z, (batch, length, 3, heads, d // heads)), (2, 0, 3, 1, 4))
        q, k, v = tf.unstack(z)
        scores = tf.where(mask, tf.matmul(q, k, transpose_b=True) / (d // heads) ** 0.5, -np.inf)
        a = tf.reshape(tf.transpose(tf.nn.softmax(scores) @ v, (0, 2, 1, 3)), (batch, length, d))
        h = h + linear(a, b + "attention.projection")
        z = linear(norm(h, p[b + "norm2.weight"], p[b + "norm2.bias"]), b + "expand")
        h = h + linear(tf.nn.gelu(z, approximate=True), b + "contract")
    logits = product(norm(h, p["norm.weight"], p["norm.bias"]), p["head.weight"])
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
