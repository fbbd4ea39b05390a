"""Moves transposes of channels out of the way of elementwise operations, while a program is traced.

Convolutions and batch norm are computed channels last, between transposes from and to PyTorch's order. XLA cancels
two that meet, but not across a residual connection or the derivative of a relu. So an elementwise operation on such a
transpose is computed on what was transposed, and its result is transposed; a transpose that nobody reads is dropped.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

ELEMENTWISE = frozenset(
    ["add", "elu", "gelu", "hardswish", "leaky_relu", "mul", "relu", "relu6", "sigmoid", "silu", "sub", "tanh"]
)
"""Ops that compute each element from those at its place, and so do their pullbacks, where no operand is broadcast."""


def first(tensor):
    """From channels last."""
    rank = tensor.shape.rank
    return tf.transpose(tensor, (0, rank - 1, *range(1, rank - 1)))


def last(tensor):
    """To channels last."""
    return tf.transpose(tensor, (0, *range(2, tensor.shape.rank), 1))


def carried(function):
    """``function`` of traced values, elementwise, on channels last where an operand was made so."""

    def run(*arguments):
        images = [each for each in _tensors(arguments) if each.shape.rank > 3]
        rest = [each for each in _tensors(arguments) if 0 < each.shape.rank <= 3]
        sources = {id(each): _source(each) for each in images}
        same = len({tuple(each.shape) for each in images}) == 1
        if rest or not same or all(source is None for source in sources.values()):
            return function(*arguments)

        def moved(value):
            if isinstance(value, (list, tuple)):
                return [moved(member) for member in value]
            if id(value) not in sources:
                return value
            source = sources[id(value)]
            return last(value) if source is None else source

        results = function(*[moved(argument) for argument in arguments])
        return [_back(each) for each in results] if isinstance(results, (list, tuple)) else _back(results)

    return run


def _back(result):
    return first(result) if result.shape.rank > 3 else result


def _tensors(values):
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _tensors(value)
        elif tf.is_tensor(value):
            yield value


def _source(tensor):
    """What ``tensor`` is the transpose of, if that has its channels last."""
    op = getattr(tensor, "op", None)
    while op is not None and op.type == "Identity":
        op = op.inputs[0].op
    if op is None or op.type != "Transpose":
        return None
    order = _order(op.inputs[1])
    rank = tensor.shape.rank
    return op.inputs[0] if order == (0, rank - 1, *range(1, rank - 1)) else None


def _order(tensor):
    """The permutation, as a tuple; None if it is not known."""
    if tensor.op.type == "InvertPermutation":  # of the derivative of a transpose
        order = _order(tensor.op.inputs[0])
        return None if order is None else tuple(np.argsort(order).tolist())
    value = tf.get_static_value(tensor)
    return None if value is None else tuple(value.tolist())
