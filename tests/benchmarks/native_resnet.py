"""ResNet-18 for 32x32 images as a good user of JAX and of TensorFlow writes it by hand, channels last."""

from __future__ import annotations

from typing import Any

import numpy as np

Arrays = dict[str, Any]
STRIDES = {"layer1": 1, "layer2": 2, "layer3": 2, "layer4": 2}
MOMENTUM, EPS = 0.1, 1e-5


def channels_last(name: str, value: np.ndarray) -> np.ndarray:
    """A kernel ``(out, in, H, W)`` as ``(H, W, in, out)``, a matrix transposed, everything else as it is."""
    return np.ascontiguousarray(value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T)


def jax_loss(p: Arrays, statistics: Arrays, x: Any, y: Any) -> tuple[Any, Arrays]:
    """The loss of images ``x (N, H, W, 3)``, and the running statistics after it."""
    import jax
    import jax.numpy as jnp

    running = {}

    def conv(h: Any, name: str, stride: int = 1) -> Any:
        pad = p[name + ".weight"].shape[0] // 2
        return jax.lax.conv_general_dilated(
            h, p[name + ".weight"], (stride, stride), [(pad, pad)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def norm(h: Any, name: str) -> Any:
        count = h.size // h.shape[-1]
        mean, variance = h.mean((0, 1, 2)), h.var((0, 1, 2))
        for key, value in (("mean", mean), ("var", variance * count / (count - 1))):
            held = statistics[f"{name}.running_{key}"]
            running[f"{name}.running_{key}"] = (1 - MOMENTUM) * held + MOMENTUM * value
        return (h - mean) * jax.lax.rsqrt(variance + EPS) * p[name + ".weight"] + p[name + ".bias"]

    def block(h: Any, name: str, stride: int) -> Any:
        beside = h
        if name + ".downsample.0.weight" in p:
            beside = norm(conv(h, name + ".downsample.0", stride), name + ".downsample.1")
        z = jax.nn.relu(norm(conv(h, name + ".conv1", stride), name + ".bn1"))
        return jax.nn.relu(norm(conv(z, name + ".conv2"), name + ".bn2") + beside)

    h = jax.nn.relu(norm(conv(x, "conv1"), "bn1"))
    for stage, stride in STRIDES.items():
        h = block(block(h, f"{stage}.0", stride), f"{stage}.1", 1)
    logits = h.mean((1, 2)) @ p["fc.weight"] + p["fc.bias"]
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], -1).mean(), running


def tensorflow_loss(p: Arrays, statistics: Arrays, x: Any, y: Any) -> Any:
    """The loss of images ``x (N, H, W, 3)``; the running statistics are Variables and are assigned to."""
    import tensorflow as tf

    def conv(h: Any, name: str, stride: int = 1) -> Any:
        pad = p[name + ".weight"].shape[0] // 2
        return tf.nn.conv2d(h, p[name + ".weight"], stride, [[0, 0], [pad, pad], [pad, pad], [0, 0]])

    def norm(h: Any, name: str) -> Any:
        out, mean, variance, *_ = tf.compat.v1.nn.fused_batch_norm(
            h, p[name + ".weight"], p[name + ".bias"], epsilon=EPS
        )  # its variance is the unbiased one
        for key, value in (("mean", mean), ("var", variance)):
            held = statistics[f"{name}.running_{key}"]
            held.assign((1 - MOMENTUM) * held + MOMENTUM * value)
        return out

    def block(h: Any, name: str, stride: int) -> Any:
        beside = h
        if name + ".downsample.0.weight" in p:
            beside = norm(conv(h, name + ".downsample.0", stride), name + ".downsample.1")
        z = tf.nn.relu(norm(conv(h, name + ".conv1", stride), name + ".bn1"))
        return tf.nn.relu(norm(conv(z, name + ".conv2"), name + ".bn2") + beside)

    h = tf.nn.relu(norm(conv(x, "conv1"), "bn1"))
    for stage, stride in STRIDES.items():
        h = block(block(h, f"{stage}.0", stride), f"{stage}.1", 1)
    logits = tf.reduce_mean(h, (1, 2)) @ p["fc.weight"] + p["fc.bias"]
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
