"""Products of matrices and vectors on TensorFlow."""

from __future__ import annotations

import math

import tensorflow as tf

from unified.backends.protocol import Natives

natives = Natives()
raw = tf.raw_ops


@natives
def matmul(input, other):
    rank, other_rank = input.shape.rank, other.shape.rank
    if rank == 2 and other_rank == 2:
        return raw.MatMul(a=input, b=other)
    if rank == 1 or other_rank == 1:
        return _with_vector(input, other, rank, other_rank)
    if other_rank == 2:
        rows = tf.reshape(input, (math.prod(input.shape[:-1]), input.shape[-1]))
        return tf.reshape(raw.MatMul(a=rows, b=other), (*input.shape[:-1], other.shape[-1]))
    return raw.BatchMatMulV2(x=input, y=other)


def _with_vector(input, other, rank, other_rank):
    left = input[None, :] if rank == 1 else input
    right = other[:, None] if other_rank == 1 else other
    product = matmul(left, right)
    if other_rank == 1:
        product = tf.squeeze(product, -1)
    return tf.squeeze(product, -1 if other_rank == 1 else -2) if rank == 1 else product


@natives.having("program")
def einsum(equation, operands):
    return tf.einsum(equation, *operands, optimize="auto")  # the best order of few operands, a good one of many
