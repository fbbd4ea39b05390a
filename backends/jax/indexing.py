"""Subscripts, gathering and scattering on JAX: starts and positions stay dynamic, so that a loop is one program."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from unified.backends.protocol import AxisKind, Natives

natives = Natives()


class _Plan:
    """A recipe with its operands: the block to cut out, its strides, its shape and the arrays that follow."""

    def __init__(self, shape, operands, recipe):
        queue = iter(operands)
        self.starts, self.sizes, self.steps = [], [], []
        self.shape, self.key = [], []
        axis = 0
        for kind, start, length, step in recipe:
            if kind is AxisKind.NEW:
                self._keep(1)
                continue
            first, size, stride = 0, shape[axis], 1
            if kind is AxisKind.ARRAY:
                self._keep(size, next(queue))
            elif kind is AxisKind.INT:
                first, size = next(queue), 1
            elif kind is AxisKind.SLICE:
                first, stride = next(queue) if start is None else start, step
                size = (length - 1) * step + 1 if length else 0
                self._keep(length)
            else:
                self._keep(size)
            self.starts.append(first)
            self.sizes.append(size)
            self.steps.append(stride)
            axis += 1
        self.dynamic = any(not isinstance(start, int) for start in self.starts)
        self.dense = all(step == 1 for step in self.steps)
        self.arrays = any(not isinstance(entry, slice) for entry in self.key)

    def _keep(self, length, entry=slice(None)):
        self.shape.append(length)
        self.key.append(entry)

    def indices(self):
        return [jnp.asarray(start, jnp.int32) for start in self.starts]


@natives
def index(input, operands, recipe):
    plan = _Plan(input.shape, operands, recipe)
    block = input
    if plan.dynamic:
        block = jax.lax.dynamic_slice(input, plan.indices(), plan.sizes)
    elif plan.sizes != list(input.shape):
        ends = [start + size for start, size in zip(plan.starts, plan.sizes, strict=True)]
        block = jax.lax.slice(input, plan.starts, ends)
    if not plan.dense:
        block = jax.lax.slice(block, [0] * block.ndim, block.shape, plan.steps)
    block = block.reshape(plan.shape)
    return block[tuple(plan.key)] if plan.arrays else block


@natives
def index_put(input, operands, value, recipe, accumulate):
    plan = _Plan(input.shape, operands, recipe)
    if plan.dense and not plan.arrays and not accumulate:
        update = _fitted(value, plan.shape, input.dtype).reshape(plan.sizes)
        return jax.lax.dynamic_update_slice(input, update, plan.indices()) if plan.sizes else update
    positions = index(jnp.arange(input.size, dtype=jnp.int32).reshape(input.shape), operands, recipe)
    update = _fitted(value, positions.shape, input.dtype).reshape(-1)
    target = input.reshape(-1).at[positions.reshape(-1)]
    return (target.add(update) if accumulate else target.set(update)).reshape(input.shape)


def _fitted(value, shape, dtype):
    """``value`` cast and broadcast; PyTorch forgives leading dimensions of length 1."""
    array = jnp.asarray(value).astype(dtype)
    return jnp.broadcast_to(array.reshape(array.shape[max(0, array.ndim - len(shape)) :]), shape)


@natives
def select_at(input, dim, index):
    return jax.lax.dynamic_index_in_dim(input, index, dim, keepdims=False)


@natives
def narrow_at(input, dim, start, length):
    return jax.lax.dynamic_slice_in_dim(input, start, length, dim)


@natives.having("eager")
def nonzero_positions(input):
    """On the host: on JAX every count would be a program of its own."""
    return jnp.asarray(np.argwhere(np.asarray(input)).astype(np.int32))


@natives
def masked_fill(input, mask, value):
    return jnp.where(mask, jnp.asarray(value).astype(input.dtype), input)


@natives
def index_select(input, dim, index):
    if input.ndim == 0:
        return input
    return jnp.take(input, index.reshape(-1), axis=dim, mode="clip")


def _grid(index, dim):
    """For each element of ``index`` its place in the other tensor, as one index array for each dimension."""
    grid = list(jnp.indices(index.shape, sparse=True))
    grid[dim] = index
    return tuple(grid)


@natives
def gather(input, dim, index):
    if input.ndim == 0:
        return jnp.broadcast_to(input, index.shape)
    return input.at[_grid(index, dim)].get(mode="clip")


def _source(input, index, src):
    array = jnp.asarray(src).astype(input.dtype)
    return array[tuple(slice(length) for length in index.shape)] if array.ndim else array


@natives
def scatter(input, dim, index, src):
    if input.ndim == 0:
        return _fitted(src, (), input.dtype) if math.prod(index.shape) else input
    return input.at[_grid(index, dim)].set(_source(input, index, src))


@natives
def scatter_add(input, dim, index, src):
    if input.ndim == 0:
        return input + src
    return input.at[_grid(index, dim)].add(_source(input, index, src))
