"""Ops that rearrange elements on TensorFlow."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf

from unified.backends.protocol import Natives
from unified.backends.tensorflow import device as _device
from unified.backends.tensorflow.dtype import operands

natives = Natives()
raw = tf.raw_ops


@functools.lru_cache(maxsize=4096)
def _kept(spelled, numbers, dtype):
    """``spelled`` tells -0.0 from 0.0 and True from 1, which are equal as keys."""
    with tf.device("CPU:0"):
        return tf.constant(np.asarray(numbers).astype(dtype.as_numpy_dtype), dtype)


def constant(numbers, dtype=tf.int32):
    """A number or a tuple of them as an operand. Eager ones are kept: making one takes longer than most kernels."""
    if tf.executing_eagerly():
        return _kept(repr(numbers), numbers, dtype)
    return tf.constant(np.asarray(numbers).astype(dtype.as_numpy_dtype), dtype)


def vector(numbers):
    """A vector of ints as an operand."""
    return constant(tuple(numbers))


@natives
def reshape(input, shape):
    if -1 in shape and 0 in shape:
        raise ValueError(shape)  # TensorFlow would take any length for the -1
    return raw.Reshape(tensor=input, shape=vector(shape))


@natives
def squeeze(input, dim):
    rank = input.shape.rank
    listed = range(rank) if dim is None else (dim,) if isinstance(dim, int) else dim
    for d in listed:
        if not -max(rank, 1) <= d < max(rank, 1):
            raise IndexError(d)
    kept = {d % rank for d in listed if rank and input.shape[d] == 1}
    return reshape(input, tuple(n for i, n in enumerate(input.shape) if i not in kept))


@natives
def unsqueeze(input, dim):
    return raw.ExpandDims(input=input, axis=dim)


@natives
def expand(input, size):
    offset = len(size) - input.shape.rank
    shape = tuple(input.shape[i - offset] if n == -1 else n for i, n in enumerate(size))
    return raw.BroadcastTo(input=input, shape=vector(shape))


@natives
def permute(input, dims):
    rank = input.shape.rank
    if len(dims) != rank:
        raise ValueError(dims)
    return raw.Transpose(x=input, perm=vector([_counted(d, rank) for d in dims]))


def _counted(dim, rank):
    if not -rank <= dim < rank:
        raise IndexError(dim)
    return dim % rank


@natives
def transpose(input, dim0, dim1):
    rank = input.shape.rank
    if rank == 0:
        return input
    perm = list(range(rank))
    perm[dim0], perm[dim1] = perm[dim1], perm[dim0]
    return raw.Transpose(x=input, perm=vector(perm))


@natives
def flip(input, dims):
    rank = input.shape.rank
    return raw.ReverseV2(tensor=input, axis=vector([_counted(d, rank) for d in dims]))


@natives
def roll(input, shifts, dims):
    if dims is None:
        flat = reshape(input, (-1,))
        return reshape(raw.Roll(input=flat, shift=shifts, axis=0), tuple(input.shape))
    rank = input.shape.rank  # counted from the front: tf.vectorized_map takes -1 for the batch
    axes = _counted(dims, rank) if isinstance(dims, int) else [_counted(d, rank) for d in dims]
    return raw.Roll(input=input, shift=shifts, axis=axes)


@natives
def cat(tensors, dim):
    promoted = operands(*tensors)
    kept = [t for t in promoted if t.shape != (0,)] or [promoted[0]]
    return raw.ConcatV2(values=kept, axis=dim) if len(kept) > 1 else tf.identity(kept[0])


@natives
def stack(tensors, dim):
    return raw.Pack(values=list(operands(*tensors)), axis=dim)


@natives
def split_lengths(input, lengths, dim):
    if len(lengths) == 1:
        return (input,)
    return tuple(raw.SplitV(
        value=input, size_splits=vector(lengths), axis=dim, num_split=len(lengths)
    ))  # fmt: skip


@natives
def unbind(input, dim):
    return tuple(raw.Unpack(value=input, num=input.shape[dim], axis=dim))


@natives
def repeat(input, repeats):
    grown = len(repeats) - input.shape.rank
    if grown:
        input = reshape(input, (*[1] * grown, *input.shape))
    return raw.Tile(input=input, multiples=vector(repeats))


@natives
def diagonal(input, offset, dim1, dim2):
    rank = input.shape.rank
    first, second = _counted(dim1, rank), _counted(dim2, rank)
    rest = [d for d in range(rank) if d not in (first, second)]
    rows, columns = input.shape[first], input.shape[second]
    row = np.arange(max(-offset, 0), max(min(rows, columns - offset), max(-offset, 0)))
    flat = reshape(permute(input, (*rest, first, second)), (*[input.shape[d] for d in rest], rows * columns))
    return tf.gather(flat, tf.constant(row * columns + row + offset, tf.int32), axis=len(rest))


def _triangle(input, kept):
    return raw.SelectV2(condition=tf.constant(kept), t=input, e=tf.zeros((), input.dtype))


@natives
def tril(input, diagonal):
    return _triangle(input, np.tri(input.shape[-2], input.shape[-1], diagonal, dtype=bool))


@natives
def triu(input, diagonal):
    return _triangle(input, ~np.tri(input.shape[-2], input.shape[-1], diagonal - 1, dtype=bool))


def pad_with(input, pairs, fill):
    """``fill`` before and after each dimension; not by PadV2, whose fill is lost in a ``tf.vectorized_map``."""
    widths = tf.constant(pairs, tf.int32, (input.shape.rank, 2))
    zeros = raw.Pad(input=input, paddings=widths)
    if repr(fill) in ("0", "0.0", "False"):
        return zeros
    inside = raw.Pad(input=tf.ones_like(input, tf.bool), paddings=widths)
    return raw.SelectV2(condition=inside, t=zeros, e=tf.cast(fill, input.dtype))


@natives
def constant_pad(input, pad, value):
    rank = input.shape.rank
    pairs = [(0, 0)] * (rank - len(pad) // 2) + [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)]
    if len(pad) % 2 or len(pairs) != rank:
        raise ValueError(pad)
    if min(pad, default=0) < 0:
        begin = [max(-before, 0) for before, _ in pairs]
        size = [n - b - max(-after, 0) for n, b, (_, after) in zip(input.shape, begin, pairs, strict=True)]
        input = raw.Slice(input=input, begin=vector(begin), size=vector(size))
        pairs = [(max(before, 0), max(after, 0)) for before, after in pairs]
    return pad_with(input, pairs, value)


@natives
def to_device(input, device):
    with tf.device(_device.to_native(device)):
        return tf.identity(input)
