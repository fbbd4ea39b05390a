"""The static path on TensorFlow: one ``tf.function(jit_compile=True)`` over flat lists of eager tensors."""

from __future__ import annotations

import tensorflow as tf

from unified.backends.protocol import errors
from unified.backends.tensorflow.autograd import XLA_REFUSES, flat_call
from unified.backends.tensorflow.dtype import mark_number, to_native
from unified.backends.tensorflow.lowering import Lowering, Text


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
        return self.lower(function, leaves, donated, kept).compile()

    def lower(self, function, leaves, donated, kept, platform=None):
        if platform is not None:
            raise errors.CompileError(
                f"TensorFlow compiles for the hardware that is here; lowering for {platform!r} is JAX's alone"
            )
        first, second = len(leaves), len(leaves) + len(donated)

        def flat(*natives):
            natives = [tf.identity(native) for native in natives]
            results = function(natives[:first], natives[first:second], natives[second:])
            return [tf.convert_to_tensor(result) for result in results]

        specs = _specs([*leaves, *donated, *kept])
        traced = tf.function(flat, jit_compile=True, autograph=False)
        traced.get_concrete_function(*specs)  # now: what the function reads from Python may be another thing later
        return Lowering(traced, specs, lambda: _Executable(flat, traced, specs))

    def placeholder(self, shape, dtype, place):
        return tf.TensorSpec(shape, to_native(dtype))

    def barrier(self, natives):
        """Chosen by a condition that never holds, which neither XLA nor TensorFlow's optimiser finds out.

        XLA's own barrier is no help on the CPU, where XLA drops it before it looks for what is computed twice.
        """
        sources = [native for native in natives if 0 not in native.shape]
        if not sources:
            return natives
        element = tf.reshape(sources[-1], [-1])[0]  # of a cotangent: the region runs once that is there
        number = tf.cast(tf.math.real(element) if element.dtype.is_complex else element, tf.int32)
        odd = tf.equal(tf.bitwise.bitwise_and(number * (number + 1), 1), 1)
        return [tf.where(odd, tf.zeros_like(native), native) for native in natives]

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


class _Executable:
    """Satisfies ``protocol.Executable``. Where XLA lacks an op, the same graph is run by TensorFlow's executor."""

    def __init__(self, flat, traced, specs) -> None:
        self._flat, self._traced, self._specs = flat, traced, specs
        self._call = flat_call(traced.get_concrete_function(*specs))
        self._proven = False

    def __call__(self, leaves, donated, kept):
        natives = [*leaves, *donated, *kept]
        if self._proven:
            return self._call(natives) or []
        try:
            results = self._call(natives)
        except XLA_REFUSES:
            plain = tf.function(self._flat, jit_compile=False, autograph=False)
            self._call = flat_call(plain.get_concrete_function(*self._specs))
            results = self._call(natives)
        self._proven = True
        return results or []  # None for a graph without results

    def cost(self):
        try:
            return Text(self._traced, self._specs).cost()
        except errors.CompileError:  # XLA lacks an op: TensorFlow runs it, and counts nothing
            return {"flops": None, "bytes accessed": None}

    def memory(self):
        return Text(self._traced, self._specs).memory()


def _specs(natives):
    return [tf.TensorSpec(native.shape, native.dtype) for native in natives]
