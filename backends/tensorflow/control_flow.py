"""Control flow as constructs of TensorFlow's graphs: ``tf.cond``, ``tf.switch_case`` and ``tf.while_loop``."""

from __future__ import annotations

import tensorflow as tf


class TensorFlowControlFlow:
    """Satisfies ``protocol.ControlFlow``."""

    def switch(self, index, branches, operands):
        taken = [lambda branch=branch: _own(branch(list(operands))) for branch in branches]
        if index.dtype == tf.bool:
            return list(tf.cond(index, taken[1], taken[0]))
        index = tf.clip_by_value(tf.cast(index, tf.int32), 0, len(branches) - 1)
        return list(tf.switch_case(index, taken))

    def while_loop(self, condition, body, carry, constants):
        results = tf.while_loop(
            lambda *given: condition([*given, *constants])[0],
            lambda *given: _own(body([*given, *constants])),
            list(carry),
        )
        return list(results)

    def scan(self, body, carry, xs, constants, length, reverse):
        """A ``tf.while_loop`` over a counter; slices are gathered, and results collected in ``tf.TensorArray``.

        The body is traced once, beforehand, because XLA has to know what an array will hold.
        """

        def flat(*given):
            return _own(body([*given, *constants]))

        slices = [tf.TensorSpec(x.shape[1:], x.dtype) for x in xs]
        specs = [*[tf.TensorSpec(c.shape, c.dtype) for c in carry], *slices]
        step = tf.function(flat, autograph=False).get_concrete_function(*specs)
        stacked = step.structured_outputs[len(carry) :]
        arrays = [tf.TensorArray(y.dtype, size=length, element_shape=y.shape) for y in stacked]

        def advance(count, given, filled):
            place = length - 1 - count if reverse else count
            results = step(*given, *[tf.gather(x, place) for x in xs])
            ys = results[len(carry) :]
            filled = [array.write(place, y) for array, y in zip(filled, ys, strict=True)]
            return count + 1, list(results[: len(carry)]), filled

        _, final, filled = tf.while_loop(
            lambda count, *_: count < length, advance, (tf.constant(0), list(carry), arrays)
        )
        return list(final), [array.stack() for array in filled]


def _own(natives):
    """The same as outputs of the graph at work: a branch may return what it was given."""
    return [tf.identity(native) for native in natives]
