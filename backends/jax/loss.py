"""Losses on JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unified.backends.jax.elementwise import operands
from unified.backends.protocol import Natives

natives = Natives()
_IMPOSSIBLE = -1e30  # a log-probability of 0 that can be subtracted from itself


@jax.custom_jvp
def _bernoulli(input, target):
    return (target - 1) * jnp.maximum(jnp.log1p(-input), -100) - target * jnp.maximum(jnp.log(input), -100)


@_bernoulli.defjvp
def _bernoulli_rule(primals, tangents):
    input, target = primals
    slope = (input - target) / jnp.maximum(input * (1 - input), 1e-12)
    by_target = jnp.maximum(jnp.log1p(-input), -100) - jnp.maximum(jnp.log(input), -100)
    return _bernoulli(input, target), slope * tangents[0] + by_target * tangents[1]


@natives
def bernoulli_losses(input, target):
    return _bernoulli(*operands(input, target))


def _log_sum(*terms):
    largest = jax.lax.stop_gradient(jnp.maximum(jnp.maximum(terms[0], terms[1]), terms[-1]))
    return largest + jnp.log(sum(jnp.exp(term - largest) for term in terms))


@natives
def ctc_losses(log_probs, targets, input_lengths, target_lengths, blank, zero_infinity):
    steps, batch, _ = log_probs.shape
    states = 2 * targets.shape[1] + 1  # a blank before each label and after the last
    place = jnp.arange(states)
    inside = (place % 2 == 1) & (place < 2 * target_lengths[:, None])
    labels = jnp.repeat(jnp.pad(targets, ((0, 0), (0, 1))), 2, axis=1)[:, :states]
    labels = jnp.where(inside, labels, blank)
    two_back = jnp.pad(labels, ((0, 0), (2, 0)), constant_values=blank)[:, :states]
    may_skip = inside & (labels != two_back)

    emitted = jnp.take_along_axis(log_probs, labels[None], axis=2)
    emitted = jnp.where(emitted > _IMPOSSIBLE, emitted, _IMPOSSIBLE)
    running = jnp.arange(steps)[:, None] < input_lengths

    def step(alpha, now):
        emission, runs = now
        padded = jnp.pad(alpha, ((0, 0), (2, 0)), constant_values=_IMPOSSIBLE)
        skipped = jnp.where(may_skip, padded[:, :states], _IMPOSSIBLE)
        reached = _log_sum(alpha, padded[:, 1 : states + 1], skipped) + emission
        return jnp.where(runs[:, None], reached, alpha), None

    before = jnp.where(place == 0, 0.0, _IMPOSSIBLE).astype(log_probs.dtype)
    alpha, _ = jax.lax.scan(step, jnp.broadcast_to(before, (batch, states)), (emitted, running))
    last = 2 * target_lengths[:, None]
    on_blank = jnp.take_along_axis(alpha, last, axis=1)[:, 0]
    on_label = jnp.take_along_axis(alpha, jnp.maximum(last - 1, 0), axis=1)[:, 0]
    on_label = jnp.where(target_lengths > 0, on_label, _IMPOSSIBLE)
    losses = -_log_sum(on_blank, on_label)
    probabilities = jnp.where(running[:, :, None], jnp.exp(log_probs), 0).sum((0, 2))
    losses = losses + (probabilities - jax.lax.stop_gradient(probabilities))  # the normaliser's part of the gradient
    return jnp.where(losses < -_IMPOSSIBLE / 2, losses, 0.0 if zero_infinity else jnp.inf)
