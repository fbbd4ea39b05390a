"""Optimiser updates on TensorFlow: the composites, which compile to one XLA program for all parameters."""

from __future__ import annotations

import tensorflow as tf

from unified.backends.protocol import Natives

natives = Natives()


@natives.having("program", "or composite")
def adam_update(composite, params, grads, means, squares, largest, numbers, decoupled):
    """The composite on flat tensors: XLA's loop over the last dimension of a 3x3 kernel has three elements."""

    def flat(tensors):
        return [tf.reshape(tensor, (-1,)) for tensor in tensors]

    kinds = [params, means, squares, largest]
    results = composite(flat(params), flat(grads), *map(flat, kinds[1:]), numbers, decoupled)
    shapes = [tensor.shape for kind in kinds for tensor in kind]
    return tuple([tf.reshape(result, shape) for result, shape in zip(results, shapes, strict=True)])
