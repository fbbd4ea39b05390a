"""The static path on TensorFlow: one ``tf.function(jit_compile=True)`` over flat lists of eager tensors."""

from __future__ import annotations

import tensorflow as tf

from unified.backends.tensorflow.autograd import XLA_REFUSES, flat_call
from unified.backends.tensorflow.dtype import mark_number


class TensorFlowCompiler:
    """Satisfies ``protocol.Compiler``."""

    description = "tf.function(jit_compile=True)"
    donates = False

    def discover(self, function, leaves):
        def traced(*natives):
            return [tf.convert_to_tensor(result) for result in function(list(natives))]

        tf.function(traced, autograph=False).get_concrete_function(*_specs(leaves))

    def abstract(self, native):
        return tf.identity(native)

    def build(self, function, leaves, donated, kept):
        first, second = len(leaves), len(leaves) + len(donated)

        def flat(*natives):
            natives = [tf.identity(native) for native in natives]
            results = function(natives[:first], natives[first:second], natives[second:])
            return [tf.convert_to_tensor(result) for result in results]

        def compiled(jit_compile):
            traced = tf.function(flat, jit_compile=jit_compile, autograph=False)
            return flat_call(traced.get_concrete_function(*_specs([*leaves, *donated, *kept])))

        state = {"call": compiled(True), "proven": False}

        def program(leaves, donated, kept):
            natives = [*leaves, *donated, *kept]
            if state["proven"]:
                return state["call"](natives) or []
            try:
                results = state["call"](natives)
            except XLA_REFUSES:  # an op that XLA lacks: the same graph, run by TensorFlow's executor
                state["call"] = compiled(False)
                results = state["call"](natives)
            state["proven"] = True
            return results or []  # None for a graph without results

        return program

    def is_traced(self, native):
        return not hasattr(native, "numpy")

    def scope(self):
        return tf.compat.v1.get_default_graph()

    def within(self, scope):
        return scope.as_default()

    def made_in(self, native, scope):
        return self.is_traced(native) and native.graph is scope

    def stop_gradient(self, native):
        return tf.stop_gradient(native)

    def signature(self, native):
        return (tuple(native.shape), native.dtype)

    def claim(self, natives, shared):
        pass

    def number(self, value, wide):
        return tf.constant(value, tf.float64 if wide else tf.float32)

    def as_number(self, traced):
        return mark_number(traced, 0.0)


def _specs(natives):
    return [tf.TensorSpec(native.shape, native.dtype) for native in natives]
