"""Optimiser updates on TensorFlow: the composites, which compile to one XLA program for all parameters."""

from __future__ import annotations

import tensorflow as tf

from unified.backends.protocol import Natives
from unified.backends.tensorflow.autograd import deriving

natives = Natives()

_NARROW = 16
"""Elements of a last dimension below which XLA on the CPU computes one element at a time."""

_MANY = 4096
"""Elements below which that does not matter."""


@natives.having("program", "or composite")
def adam_update(composite, params, grads, means, squares, largest, numbers, decoupled):
    """The composite, apart for each parameter with a narrow last dimension, as a kernel of 3x3 has."""
    if deriving.depth:
        return composite(params, grads, means, squares, largest, numbers, decoupled)
    rows = list(zip(params, grads, means, squares, *[largest] if largest else [], strict=True))
    updated = {place: _apart(composite, row, numbers, decoupled) for place, row in enumerate(rows) if _is_narrow(row)}
    rest = [place for place in range(len(rows)) if place not in updated]
    if rest:
        found = _update(composite, [rows[place] for place in rest], numbers, decoupled)
        updated.update(zip(rest, found, strict=True))
    kinds = zip(*[updated[place] for place in range(len(rows))], strict=True)
    return tuple(result for kind in kinds for result in kind)


def _is_narrow(row):
    param = row[0]
    same = all(each.shape == param.shape and each.dtype == param.dtype for each in row)
    return same and param.shape.rank > 1 and param.shape[-1] < _NARROW and param.shape.num_elements() >= _MANY


def _update(composite, rows, numbers, decoupled):
    """The new param, mean, square and largest of each row."""
    params, grads, means, squares, *largest = map(list, zip(*rows, strict=True))
    found = composite(params, grads, means, squares, *largest or [[]], numbers, decoupled)
    return list(zip(*[found[start : start + len(rows)] for start in range(0, len(found), len(rows))], strict=True))


def _apart(composite, row, numbers, decoupled):
    """The same for one, on flat tensors in a branch, which is taken always, though XLA does not know that.

    Without the branch XLA puts the shape back into the loop, and a transpose of the gradient into three of them.
    """
    flat = [tf.reshape(tensor, (-1,)) for tensor in row]
    found = tf.cond(
        tf.convert_to_tensor(numbers[0]) > 0,  # the step, counted from 1
        lambda: list(_update(composite, [flat], numbers, decoupled)[0]),
        lambda: [flat[0], *flat[2:]],
    )
    return [tf.reshape(result, row[0].shape) for result in found]
