"""Subscripts, gathering and scattering on JAX: starts and positions stay dynamic, so that a loop is one program."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from unified.backends.jax.dtype import WIDE, enable_x64
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
    flat, positions = input.reshape(-1), positions.reshape(-1)
    return (_added if accumulate else _written)(flat, positions, update).reshape(input.shape)


def _added(input, positions, update):
    """Bools add up to whether one of them holds."""
    target = input.at[positions]
    return target.max(update) if input.dtype == jnp.bool_ else target.add(update)


@jax.custom_jvp
def _written(input, positions, update):
    """``update`` at ``positions``. As in PyTorch, all elements written to one place get its gradient."""
    return input.at[positions].set(update)


@_written.defjvp
def _written_jvp(primals, tangents):
    input, positions, update = primals
    slope, _, update_slope = tangents
    return _written(input, positions, update), cleared(slope, positions).at[positions].add(update_slope)


def cleared(slope, positions):
    """0 at ``positions``. JAX transposes a scatter that replaces only where no position comes twice."""
    return jnp.where(jnp.zeros(slope.shape, bool).at[positions].set(True), jnp.zeros((), slope.dtype), slope)


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
    """In a size rounded up to a power of two, and cut: each size is a program, which takes long to compile."""
    with enable_x64(input.dtype in WIDE):
        holds = input != 0
        count = int(jnp.count_nonzero(holds))
    found = _first_positions(holds, 1 << (count - 1).bit_length() if count else 0)
    return found[:count]


@functools.partial(jax.jit, static_argnums=1)
def _first_positions(holds, size):
    if not holds.ndim:
        return jnp.zeros((size, 0), jnp.int32)
    return jnp.stack(jnp.nonzero(holds, size=size), 1).astype(jnp.int32)


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
    if not index.size:
        return jnp.zeros(index.shape, input.dtype)
    if not input.ndim or not index.ndim:
        return gather(input.reshape(-1), dim, index.reshape(-1)).reshape(index.shape)
    return input.at[_grid(index, dim)].get(mode="clip")


def _source(input, index, src):
    array = jnp.asarray(src).astype(input.dtype)
    if not array.ndim:
        return jnp.broadcast_to(array, index.shape)
    return array[tuple(slice(length) for length in index.shape)]


@natives
def scatter(input, dim, index, src):
    return _scattered(_written, input, dim, index, src)


def _scattered(write, input, dim, index, src):
    if not index.size:
        return input
    update = _source(input, index, src)
    if input.ndim and index.ndim:
        return write(input, _grid(index, dim), update)
    return write(input.reshape(-1), (index.reshape(-1),), update.reshape(-1)).reshape(input.shape)


@natives
def scatter_add(input, dim, index, src):
    return _scattered(_added, input, dim, index, src)
