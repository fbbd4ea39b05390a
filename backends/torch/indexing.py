"""Subscripts, gathering and scattering on PyTorch."""

from __future__ import annotations

import torch
from torch._C._functorch import is_batchedtensor, is_functorch_wrapped_tensor
from torch._subclasses.fake_tensor import FakeTensor

from unified.backends.protocol import SHAPE_BY_VALUE, AxisKind, Natives, errors

natives = Natives()

_ALL = slice(None)


def _key(operands, recipe):
    """The subscript that the front end took apart, put together again."""
    queue = iter(operands)
    key = []
    for kind, start, length, step in recipe:
        if kind is AxisKind.ALL:
            key.append(_ALL)
        elif kind is AxisKind.SLICE:
            first = next(queue) if start is None else start
            key.append(slice(first, first + (length - 1) * step + 1 if length else first, step))
        elif kind is AxisKind.NEW:
            key.append(None)
        else:
            key.append(next(queue))
    return tuple(key)


def _has_no_value(operand):
    return isinstance(operand, FakeTensor) or (
        isinstance(operand, torch.Tensor) and is_functorch_wrapped_tensor(operand)
    )


def _selected(input, operands, recipe):
    """The same without those 0-d tensors whose value PyTorch's subscript would ask for in vain; they are applied."""
    queue = iter(operands)
    rest, left = [], []
    dim = 0
    for axis in recipe:
        kind, start, _, _ = axis
        if kind is AxisKind.NEW:
            rest.append(axis)
            continue
        takes = kind in (AxisKind.INT, AxisKind.ARRAY) or (kind is AxisKind.SLICE and start is None)
        mine = [next(queue)] if takes else []
        if kind is AxisKind.INT and _has_no_value(mine[0]):
            input = select_at(input, dim, mine[0])
            continue
        rest.append(axis)
        left += mine
        dim += 1
    return input, left, rest


@natives
def index(input, operands, recipe):
    if any(map(_has_no_value, operands)):
        input, operands, recipe = _selected(input, operands, recipe)
    return input[_key(operands, recipe)]


@natives
def index_put(input, operands, value, recipe, accumulate):
    result = input.clone(memory_format=torch.contiguous_format)
    if isinstance(value, torch.Tensor) and value.dtype is not input.dtype:
        value = value.to(input.dtype)
    if accumulate or any(map(_has_no_value, operands)):
        positions = index(torch.arange(input.numel(), device=input.device).reshape(input.shape), operands, recipe)
        shaped = torch.as_tensor(value, dtype=input.dtype, device=input.device).expand(positions.shape)
        put = torch.index_add if accumulate else torch.index_copy
        return put(result.reshape(-1), 0, positions.reshape(-1), shaped.reshape(-1)).reshape(input.shape)
    result[_key(operands, recipe)] = value
    return result


@natives
def select_at(input, dim, index):
    if isinstance(index, torch.Tensor):
        wrapped = torch.where(index < 0, index + input.shape[dim], index)
        return torch.index_select(input, dim, wrapped.reshape(1)).squeeze(dim)
    return torch.select(input, dim, index)


@natives
def narrow_at(input, dim, start, length):
    if isinstance(start, torch.Tensor):
        return torch.index_select(input, dim, start + torch.arange(length, device=start.device))
    return torch.narrow(input, dim, start, length)


@natives
def nonzero_positions(input):
    if is_batchedtensor(input):
        raise errors.FunctionTransformError(SHAPE_BY_VALUE)
    return torch.nonzero(input).to(torch.int32)


@natives
def masked_fill(input, mask, value):
    if isinstance(value, torch.Tensor):
        if value.ndim or value.is_complex() > input.is_complex():
            raise ValueError(value.shape)  # the op's check says it in everyone's words
        return torch.where(mask, value.to(input.dtype), input)
    return torch.masked_fill(input, mask, value)


def long(index):
    return index if index.dtype is torch.int64 else index.to(torch.int64)


@natives
def gather(input, dim, index):
    return torch.gather(input, dim, long(index))


@natives
def index_select(input, dim, index):
    return torch.index_select(input, dim, index)


def source(index, src):
    """The part of ``src`` that is read: torch's own gradient fails where it is larger than ``index``."""
    if isinstance(src, torch.Tensor) and src.ndim == index.ndim and src.shape != index.shape:
        return src[tuple(slice(length) for length in index.shape)]
    return src


@natives
def scatter(input, dim, index, src):
    if isinstance(src, torch.Tensor) and not src.ndim and index.ndim:
        src = src.expand(index.shape)
    return torch.scatter(input, dim, long(index), source(index, src))


@natives
def scatter_add(input, dim, index, src):
    return torch.scatter_add(input, dim, long(index), source(index, src))


@natives
def index_fill(input, dim, index, value):
    return torch.index_fill(input, dim, long(index), value)
