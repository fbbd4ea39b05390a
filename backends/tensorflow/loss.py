"""Losses on TensorFlow."""

from __future__ import annotations

import tensorflow as tf

from unified.backends.protocol import Natives
from unified.backends.tensorflow.dtype import operands
from unified.backends.tensorflow.shape import pad_with

natives = Natives()
_IMPOSSIBLE = -1e30  # a log-probability of 0 that can be subtracted from itself


def _cut_off_logs(input):
    lowest = tf.constant(-100, input.dtype)
    return tf.maximum(tf.math.log(input), lowest), tf.maximum(tf.math.log1p(-input), lowest)


@tf.custom_gradient
def _bernoulli(input, target):
    yes, no = _cut_off_logs(input)

    def pull(cotangent):
        yes, no = _cut_off_logs(input)
        slope = (input - target) / tf.maximum(input * (1 - input), tf.constant(1e-12, input.dtype))
        return cotangent * slope, cotangent * (no - yes)

    return (target - 1) * no - target * yes, pull


@natives.having("program")
def bernoulli_losses(input, target):
    return _bernoulli(*operands(input, target))


def _log_sum(*terms):
    largest = tf.stop_gradient(tf.maximum(tf.maximum(terms[0], terms[1]), terms[-1]))
    return largest + tf.math.log(tf.add_n([tf.exp(term - largest) for term in terms]))


@natives.having("program")
def ctc_losses(log_probs, targets, input_lengths, target_lengths, blank, zero_infinity):
    steps, batch, _ = log_probs.shape
    kind = log_probs.dtype
    impossible = tf.constant(_IMPOSSIBLE, kind)
    states = 2 * targets.shape[1] + 1  # a blank before each label and after the last
    place = tf.range(states)
    inside = (place % 2 == 1) & (place < 2 * target_lengths[:, None])
    labels = tf.repeat(tf.pad(tf.cast(targets, tf.int32), [[0, 0], [0, 1]]), 2, axis=1)[:, :states]
    labels = tf.where(inside, labels, blank)
    two_back = pad_with(labels, [[0, 0], [2, 0]], blank)[:, :states]
    may_skip = inside & (labels != two_back)

    emitted = tf.gather(tf.transpose(log_probs, (1, 0, 2)), labels, axis=2, batch_dims=1)
    emitted = tf.transpose(tf.where(emitted > impossible, emitted, impossible), (1, 0, 2))
    running = tf.range(steps)[:, None] < input_lengths

    def step(time, alpha):
        padded = pad_with(alpha, [[0, 0], [2, 0]], _IMPOSSIBLE)
        skipped = tf.where(may_skip, padded[:, :states], impossible)
        reached = _log_sum(alpha, padded[:, 1 : states + 1], skipped) + emitted[time]
        return time + 1, tf.where(running[time][:, None], reached, alpha)

    before = tf.broadcast_to(tf.where(place == 0, tf.zeros((), kind), impossible), (batch, states))
    _, alpha = tf.while_loop(lambda time, _: time < steps, step, (0, before), maximum_iterations=steps)
    last = 2 * target_lengths
    on_blank = tf.gather(alpha, last, axis=1, batch_dims=1)
    on_label = tf.gather(alpha, tf.maximum(last - 1, 0), axis=1, batch_dims=1)
    on_label = tf.where(target_lengths > 0, on_label, impossible)
    losses = -_log_sum(on_blank, on_label)
    probabilities = tf.where(running[:, :, None], tf.exp(log_probs), tf.zeros((), kind))
    probabilities = tf.reduce_sum(probabilities, (0, 2))
    losses = losses + (probabilities - tf.stop_gradient(probabilities))  # the normaliser's part of the gradient
    otherwise = tf.constant(0.0 if zero_infinity else float("inf"), kind)
    return tf.where(losses < -impossible / 2, losses, otherwise)
