"""A classifier of sequences by one LSTM as a good user of JAX and of TensorFlow writes it by hand."""

from __future__ import annotations

from typing import Any

Arrays = dict[str, Any]


def jax_loss(p: Arrays, x: Any, y: Any) -> Any:
    """One product for the inputs of all steps, then ``lax.scan``; weights are ``(4 * hidden, in)`` as PyTorch's."""
    import jax
    import jax.numpy as jnp

    embedded = p["embedding.weight"][x].swapaxes(0, 1)
    steps, batch, width = embedded.shape
    inputs = embedded.reshape(-1, width) @ p["lstm.weight_ih_l0"].T + p["lstm.bias_ih_l0"]
    start = jnp.zeros((batch, p["lstm.weight_hh_l0"].shape[1]))

    def step(state: Any, now: Any) -> Any:
        hidden, cell = state
        gates = now + hidden @ p["lstm.weight_hh_l0"].T + p["lstm.bias_hh_l0"]
        kept, forgotten, new, shown = jnp.split(gates, 4, -1)
        cell = jax.nn.sigmoid(forgotten) * cell + jax.nn.sigmoid(kept) * jnp.tanh(new)
        return (jax.nn.sigmoid(shown) * jnp.tanh(cell), cell), None

    (last, _), _ = jax.lax.scan(step, (start, start), inputs.reshape(steps, batch, -1))
    logits = last @ p["head.weight"].T + p["head.bias"]
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], -1).mean()


def tensorflow_loss(p: Arrays, x: Any, y: Any) -> Any:
    """The same by ``tf.while_loop``, as Keras loops over time."""
    import tensorflow as tf

    embedded = tf.transpose(tf.gather(p["embedding.weight"], x), (1, 0, 2))
    steps, batch, width = embedded.shape
    inputs = tf.matmul(tf.reshape(embedded, (-1, width)), p["lstm.weight_ih_l0"], transpose_b=True)
    inputs = tf.reshape(inputs + p["lstm.bias_ih_l0"], (steps, batch, -1))
    start = tf.zeros((batch, p["lstm.weight_hh_l0"].shape[1]))

    def step(t: Any, hidden: Any, cell: Any) -> Any:
        gates = inputs[t] + tf.matmul(hidden, p["lstm.weight_hh_l0"], transpose_b=True) + p["lstm.bias_hh_l0"]
        kept, forgotten, new, shown = tf.split(gates, 4, -1)
        cell = tf.sigmoid(forgotten) * cell + tf.sigmoid(kept) * tf.tanh(new)
        return t + 1, tf.sigmoid(shown) * tf.tanh(cell), cell

    _, last, _ = tf.while_loop(
        lambda t, *_: t < steps, step, (tf.constant(0), start, start), maximum_iterations=steps
    )
    logits = tf.matmul(last, p["head.weight"], transpose_b=True) + p["head.bias"]
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
