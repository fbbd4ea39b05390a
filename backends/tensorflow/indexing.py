"""Subscripts, gathering and scattering on TensorFlow.

Eager subscripts are one StridedSlice. Inside a program positions may be tensors, which XLA takes in Slice and Gather.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import tensorflow as tf

from unified.backends.protocol import AxisKind, Natives
from unified.backends.tensorflow.shape import constant, vector

natives = Natives()
raw = tf.raw_ops


class _Plan:
    """A recipe with its operands: begin, size and step for each axis, the shape that results and its arrays."""

    def __init__(self, shape, operands, recipe):
        queue = iter(operands)
        self.starts, self.sizes, self.steps = [], [], []
        self.shape, self.arrays = [], {}
        axis = 0
        for kind, start, length, step in recipe:
            if kind is AxisKind.NEW:
                self.shape.append(1)
                continue
            first, size, stride = 0, shape[axis], 1
            if kind is AxisKind.ARRAY:
                self.arrays[len(self.shape)] = next(queue)
                self.shape.append(size)
            elif kind is AxisKind.INT:
                first, size = next(queue), 1
                if tf.is_tensor(first):
                    first = _counted(first, shape[axis])
            elif kind is AxisKind.SLICE:
                first, stride = next(queue) if start is None else start, step
                size = (length - 1) * step + 1 if length else 0
                self.shape.append(length)
            else:
                self.shape.append(size)
            self.starts.append(first)
            self.sizes.append(size)
            self.steps.append(stride)
            axis += 1
        self.dynamic = any(tf.is_tensor(start) for start in self.starts)
        self.whole = not self.dynamic and self.sizes == list(shape) and all(step == 1 for step in self.steps)

    def bounds(self):
        ends = [start + size for start, size in zip(self.starts, self.sizes, strict=True)]
        return {"begin": vector(self.starts), "end": vector(ends), "strides": vector(self.steps)}


def _counted(index, length):
    """Negative positions counted from the end."""
    if index.dtype.is_unsigned:
        return index
    from_end = raw.AddV2(x=index, y=constant(length, index.dtype))
    return raw.SelectV2(condition=raw.Less(x=index, y=constant(0, index.dtype)), t=from_end, e=index)


def _shaped(input, shape):
    return input if input.shape == tuple(shape) else raw.Reshape(tensor=input, shape=vector(shape))


@natives
def index(input, operands, recipe):
    plan = _Plan(input.shape, operands, recipe)
    block = input
    if plan.dynamic:
        begin = tf.stack([tf.cast(start, tf.int32) for start in plan.starts])
        block = raw.Slice(input=input, begin=begin, size=vector(plan.sizes))
        if any(step != 1 for step in plan.steps):
            zeros = vector([0] * len(plan.steps))
            block = raw.StridedSlice(input=block, begin=zeros, end=vector(plan.sizes), strides=vector(plan.steps))
    elif not plan.whole:
        block = raw.StridedSlice(input=input, **plan.bounds())
    block = _shaped(block, plan.shape)
    return _gathered(block, plan.arrays) if plan.arrays else block


def _gathered(input, arrays):
    """``input`` indexed by arrays on some axes: side by side they stay in place, else they go first."""
    axes = sorted(arrays)
    shape = input.shape.as_list()
    if axes[-1] - axes[0] != len(axes) - 1:
        rest = [axis for axis in range(len(shape)) if axis not in arrays]
        input = tf.transpose(input, [*axes, *rest])
        front = {place: arrays[axis] for place, axis in enumerate(axes)}
        return _gathered(input, front)
    position = None
    wide = len(axes) > 1 and math.prod(shape[axis] for axis in axes) > np.iinfo(np.int32).max
    for axis in axes:
        index = arrays[axis]
        if index.dtype != tf.int32 or wide:
            index = tf.cast(index, tf.int64)
        counted = _counted(index, shape[axis])
        position = counted if position is None else tf.cast(position, counted.dtype) * shape[axis] + counted
    first, last = axes[0], axes[-1] + 1
    merged = _shaped(input, [*shape[:first], math.prod(shape[first:last]), *shape[last:]])
    return raw.GatherV2(params=merged, indices=position, axis=constant(first))


@natives
def index_put(input, operands, value, recipe, accumulate):
    plan = _Plan(input.shape, operands, recipe)
    plain = not (plan.dynamic or plan.arrays or accumulate)
    if plain and input.shape.rank and 0 not in plan.shape:  # XLA cannot write an empty slice
        lengths = [-(-size // step) for size, step in zip(plan.sizes, plan.steps, strict=True)]
        update = _shaped(_fitted(value, plan.shape, input.dtype), lengths)
        return raw.TensorStridedSliceUpdate(input=input, value=update, **plan.bounds())
    count = math.prod(input.shape)
    positions = index(tf.reshape(tf.range(count), input.shape), operands, recipe)
    update = tf.reshape(_fitted(value, positions.shape, input.dtype), (-1,))
    return _written(input, positions, update, accumulate)


def _written(input, positions, update, accumulate):
    """``update`` at flat ``positions`` of ``input``."""
    if accumulate and input.dtype == tf.bool:  # they add up to whether one of them holds
        return _written(tf.cast(input, tf.int32), positions, tf.cast(update, tf.int32), True) != 0
    kernel = raw.TensorScatterAdd if accumulate else raw.TensorScatterUpdate
    flat = tf.reshape(input, (-1,))
    return tf.reshape(kernel(tensor=flat, indices=tf.reshape(positions, (-1, 1)), updates=update), input.shape)


def _cast(value, dtype):
    return tf.cast(value, dtype) if tf.is_tensor(value) else constant(value, dtype)


def _fitted(value, shape, dtype):
    """``value`` cast and broadcast; PyTorch forgives leading dimensions of length 1."""
    tensor = _cast(value, dtype)
    extra = tensor.shape.rank - len(shape)
    if extra > 0:
        tensor = tf.reshape(tensor, tensor.shape[extra:])
    return tensor if tensor.shape == tuple(shape) else raw.BroadcastTo(input=tensor, shape=vector(shape))


@natives
def select_at(input, dim, index):
    length = input.shape[dim]
    index = _counted(index, length) if tf.is_tensor(index) else constant(index % length)
    return raw.GatherV2(params=input, indices=index, axis=constant(dim))


@natives
def narrow_at(input, dim, start, length):
    rank = input.shape.rank
    size = input.shape.as_list()
    size[dim] = length
    if tf.is_tensor(start):
        start = tf.cast(
            start, tf.int32
        )  # beside 64-bit operands a number comes in 64 bits, and Slice wants one dtype
        begin = tf.stack([start if axis == dim else 0 for axis in range(rank)])
    else:
        begin = vector([start if axis == dim else 0 for axis in range(rank)])
    return raw.Slice(input=input, begin=begin, size=vector(size))


@tf.RegisterGradient("XlaDynamicUpdateSlice")
def _slice_again(op, cotangent):
    """The second derivative of Slice under XLA: its first is this op, of zeros, and has no derivative of its own."""
    _, update, begin = op.inputs
    return None, raw.Slice(input=cotangent, begin=begin, size=vector(update.shape)), None


@natives.having("eager")
def nonzero_positions(input):
    if input.shape.rank == 0:
        return tf.cast(tf.where(tf.reshape(input, (1,)))[:, :0], tf.int32)
    return tf.cast(tf.where(input), tf.int32)


@natives
def masked_fill(input, mask, value):
    tensor = tf.is_tensor(value)
    is_complex = value.dtype.is_complex if tensor else isinstance(value, complex)
    if (tensor and value.shape.rank) or is_complex > input.dtype.is_complex:
        raise ValueError(value)  # the op's check says it in everyone's words
    fill = _cast(value, input.dtype)
    return raw.SelectV2(condition=mask, t=fill, e=input)


@natives
def index_select(input, dim, index):
    if input.shape.rank == 0:
        return input
    return raw.GatherV2(params=input, indices=_shaped(index, (math.prod(index.shape),)), axis=constant(dim))


@functools.lru_cache(maxsize=256)
def _offsets(shape, lengths, dim):
    """Flat positions in ``shape`` of the corner of ``lengths``, as if the index along ``dim`` were 0."""
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    total = np.zeros([1] * len(shape), np.int64)
    for axis, (length, stride) in enumerate(zip(lengths, strides, strict=True)):
        if axis != dim:
            total = total + (np.arange(length) * stride).reshape([-1 if k == axis else 1 for k in range(len(shape))])
    return total, strides[dim]


def _positions(input, dim, index):
    shape = tuple(input.shape)
    if not shape or not index.shape.rank:
        return index
    if len(index.shape) != len(shape):
        raise ValueError("index and input differ in rank")
    if any(i > n for axis, (i, n) in enumerate(zip(index.shape, shape, strict=True)) if axis != dim % len(shape)):
        raise ValueError("index is longer than input")
    offsets, stride = _offsets(shape, tuple(index.shape), dim % len(shape))
    kind = tf.int64 if math.prod(shape) > np.iinfo(np.int32).max else tf.int32
    return tf.cast(index, kind) * stride + tf.constant(offsets, kind)


@natives.having("program", "unjitted")
def gather(input, dim, index):
    if 0 in index.shape:
        return tf.zeros(index.shape, input.dtype)
    return tf.gather(tf.reshape(input, (-1,)), _positions(input, dim, index))


def _source(input, index, src):
    if tf.is_tensor(src) and src.shape.rank:
        if src.dtype != input.dtype:
            raise ValueError("src and input differ in dtype")
        return tf.reshape(raw.Slice(input=src, begin=vector([0] * src.shape.rank), size=vector(index.shape)), (-1,))
    return tf.broadcast_to(_cast(src, input.dtype), (math.prod(index.shape),))


def _scattered(input, dim, index, src, accumulate):
    if 0 in index.shape:
        return input
    return _written(input, _positions(input, dim, index), _source(input, index, src), accumulate)


@natives.having("program", "unjitted")
def scatter(input, dim, index, src):
    return _scattered(input, dim, index, src, False)


@natives.having("program", "unjitted")
def scatter_add(input, dim, index, src):
    return _scattered(input, dim, index, src, True)
