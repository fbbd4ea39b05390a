"""Ops derived from others on TensorFlow: batched ops by ``tf.vectorized_map``, pushforwards by a double gradient."""

from __future__ import annotations

import tensorflow as tf

from unified.backends.tensorflow.autograd import deriving


def batched(function, op):
    """The op with a batch dimension in front of the operands in its mask, and of every output."""

    def batch(*operands):
        present = []

        def each(masked):
            result = op.of_chosen(function, operands)(*masked)
            many = isinstance(result, (tuple, list))
            results = list(result) if many else [result]
            present[:] = [many, [r is not None for r in results]]
            return [tf.convert_to_tensor(r) for r in results if r is not None]

        found = iter(_of_examples(each, op.chosen(operands)))
        many, there = present
        results = [next(found) if has else None for has in there]
        return results if many else results[0]

    return batch


def _of_examples(each, operands):
    """``each`` of every example, stacked. One by one if an example is empty: tf.vectorized_map infers a length that
    it reshapes from the number of elements, which has no answer then."""
    count = operands[0].shape[0]
    if not count or all(0 not in operand.shape[1:] for operand in operands):
        return tf.vectorized_map(each, operands, warn=False)
    rows = [each([operand[place] for operand in operands]) for place in range(count)]
    return [tf.stack(column) for column in zip(*rows, strict=True)]


def pushforward(function, op):
    """(*arguments, tangents) -> outputs, then their tangents.

    The gradient is linear in its cotangents, so the pushforward is the gradient of that: every op with a gradient
    that has one itself is served, those with a rule of ours (``tf.custom_gradient``) included.
    """

    def push(*args):
        *operands, tangents = args
        masked = [tf.identity(operand) for operand in op.chosen(operands)]
        zero = tf.UnconnectedGradients.ZERO
        with deriving, tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(masked)
                result = op.of_chosen(function, operands)(*masked)
                outputs = list(result) if isinstance(result, (tuple, list)) else [result]
            chosen = [i for i, output in enumerate(outputs) if output is not None and _inexact(output)]
            cotangents = [tf.zeros_like(outputs[i]) for i in chosen]
            outer.watch(cotangents)
            found = inner.gradient(
                [outputs[i] for i in chosen], masked, output_gradients=cotangents, unconnected_gradients=zero
            )
            gradients = [tf.convert_to_tensor(gradient) for gradient in found]  # of IndexedSlices, say
        moved = outer.gradient(
            gradients,
            cotangents,
            output_gradients=[tf.cast(t, m.dtype) for t, m in zip(tangents, masked, strict=True)],
            unconnected_gradients=zero,
        )
        by_place = dict(zip(chosen, moved, strict=True))
        return [*outputs, *[by_place.get(i) for i in range(len(outputs))]]

    return push


def _inexact(tensor):
    return tensor.dtype.is_floating or tensor.dtype.is_complex
