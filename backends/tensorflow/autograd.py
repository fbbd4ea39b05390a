"""How an op becomes callables on TensorFlow: eager kernels for single ops, cached programs for all that is longer.

A composite and every pullback is traced once per static arguments and input signature into a concrete function
(XLA-compiled where XLA can), because TensorFlow's eager gradient code costs far more Python than the math: layer
norm forward and backward takes 2,500 us under one GradientTape and about 100 us as two cached programs
(docs/design.md).
"""

from __future__ import annotations

import functools
import threading

import tensorflow as tf

from unified.backends.tensorflow.dtype import mark_number, scalar

XLA_REFUSES = (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, tf.errors.NotFoundError)


class _Traced(threading.local):
    kept_from_xla = False


_traced = _Traced()


def kept_from_xla(native):
    """``native``, whose presence in an op, however deep, keeps that op's program from XLA."""

    @functools.wraps(native)
    def call(*args):
        _traced.kept_from_xla = True
        return native(*args)

    return call


_MOST_BY_XLA = 16
"""Signatures of one op that XLA compiles; TensorFlow runs the graphs of further ones itself.

XLA's programs stay to the end of the process, each in 14 of the 65,530 mappings of memory that Linux grants: an op
that meets ever new shapes would use them up. What came with so many shapes is seldom called again with the next.
"""


class _Deriving(threading.local):
    """How many derivatives within each other are being traced."""

    depth = 0

    def __enter__(self):
        self.depth += 1

    def __exit__(self, *_):
        self.depth -= 1


deriving = _Deriving()


class Programs:
    """One function's concrete programs by (static arguments, shapes and dtypes)."""

    def __init__(self, function, op) -> None:
        self._function = function
        self._static = frozenset(op.static)
        self._programs = {}

    def __call__(self, *args):
        leaves = []
        key = []
        for position, arg in enumerate(args):
            if position in self._static or arg is None:
                key.append(arg)
            elif isinstance(arg, (list, tuple)):
                key.append(tuple([_leaf(member, leaves, args) for member in arg]))
            else:
                key.append(_leaf(arg, leaves, args))
        key = tuple(key)
        program = self._programs.get(key)
        if program is None:
            return self._build(key, args, leaves)
        call, restore = program
        return restore(call(leaves))

    def _build(self, key, args, leaves):
        flat, structure = self._flat(args)
        specs = [tf.TensorSpec(leaf.shape, leaf.dtype) for leaf in leaves]
        attempts = (True, False) if len(self._programs) < _MOST_BY_XLA else (False,)
        for jit_compile in attempts:
            _traced.kept_from_xla = False
            concrete = tf.function(flat, jit_compile=jit_compile, autograph=False).get_concrete_function(*specs)
            if jit_compile and _traced.kept_from_xla:
                continue
            call, restore = flat_call(concrete), _restorer(structure["present"])
            try:
                result = restore(call(leaves))
            except XLA_REFUSES:
                if not jit_compile:
                    raise
            else:
                self._programs[key] = (call, restore)
                return result
        raise AssertionError("unreachable")

    def _flat(self, args):
        """The function of the leaves alone, and where the trace of it puts which results are there."""
        structure = {}

        def flat(*traced):
            iterator = iter(traced)
            values = []
            for position, arg in enumerate(args):
                if position in self._static or arg is None:
                    values.append(arg)
                elif isinstance(arg, (list, tuple)):
                    values.append([None if member is None else _placed(member, iterator) for member in arg])
                else:
                    values.append(_placed(arg, iterator))
            result = self._function(*values)
            many = isinstance(result, (list, tuple))
            results = list(result) if many else [result]
            structure["present"] = [r is not None for r in results] if many else None
            return [tf.convert_to_tensor(r) for r in results if r is not None]

        return flat, structure


def _restorer(present):
    if present is None:
        return lambda results: results[0]
    if all(present):
        return list

    def restore(results):
        iterator = iter(results)
        return [next(iterator) if there else None for there in present]

    return restore


def _leaf(value, leaves, args):
    """The part of the key that a dynamic argument makes, and its tensor among the leaves."""
    if value is None:
        return None
    number = not tf.is_tensor(value)
    if number:
        wide = any(tf.is_tensor(arg) and arg.dtype in _WIDE for arg in args)
        value = scalar(value, _NUMBER_DTYPES[wide].get(type(value)))
    leaves.append(value)
    return (tuple(value.shape), value.dtype, number)


_WIDE = (tf.float64, tf.int64, tf.complex128)
_NUMBER_DTYPES = (
    {float: tf.float32, complex: tf.complex64}, {float: tf.float64, int: tf.int64, complex: tf.complex128}
)  # fmt: skip


def _placed(arg, iterator):
    """The traced tensor of a dynamic argument; a Python number stays weak in promotion."""
    traced = next(iterator)
    return traced if tf.is_tensor(arg) else mark_number(traced, arg)


def flat_call(concrete):
    """``concrete`` as a function of a flat list of tensors, by the shortest way this TensorFlow offers.

    The public ``concrete(*tensors)`` checks and packs its arguments in Python for 150 to 200 us a call; the function
    underneath takes 50.
    """
    inner = getattr(concrete, "_inference_function", None)
    captured = list(concrete.captured_inputs)
    if inner is None or not hasattr(inner, "call_flat"):
        return lambda leaves: concrete(*leaves)
    if captured:
        return lambda leaves: inner.call_flat(*leaves, *captured)
    return lambda leaves: inner.call_flat(*leaves)


def pullback(function, op):
    """(*arguments, cotangents) -> cotangents of the operands in the op's mask, by a GradientTape."""

    def pull(*args):
        *operands, cotangents = args
        masked = [tf.identity(operand) for operand in op.chosen(operands)]
        with deriving, tf.GradientTape() as tape:
            tape.watch(masked)
            result = op.of_chosen(function, operands)(*masked)
            outputs = list(result) if isinstance(result, (tuple, list)) else [result]
        chosen = [i for i, cotangent in enumerate(cotangents) if cotangent is not None]
        gradients = tape.gradient(
            [outputs[i] for i in chosen],
            masked,
            output_gradients=[cotangents[i] for i in chosen],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,  # as JAX's vjp: of round, say
        )
        return [tf.convert_to_tensor(g) for g in gradients]

    return pull
