"""Reductions on PyTorch: 32-bit indices and integer sums, and several dims where PyTorch takes one."""

from __future__ import annotations

import torch

from unified.backends.protocol import Natives
from unified.backends.torch.dtype import to_native

natives = Natives()

_NARROW_INTEGERS = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32)


def accumulator(input, dtype):
    """The dtype of a sum or product: int32 for what is narrower, where PyTorch takes int64."""
    if dtype is not None:
        return to_native(dtype)
    return torch.int32 if input.dtype in _NARROW_INTEGERS else None


@natives
def sum(input, dim, keepdim, dtype):
    return torch.sum(input, dim, keepdim, dtype=accumulator(input, dtype))


@natives
def mean(input, dim, keepdim, dtype):
    return torch.mean(input, dim, keepdim, dtype=None if dtype is None else to_native(dtype))


@natives
def prod(input, dim, keepdim, dtype):
    target = accumulator(input, dtype)
    if isinstance(dim, int):
        return torch.prod(input, dim, keepdim, dtype=target)
    flat, shape = _flattened(input, dim, keepdim)
    return torch.prod(flat, -1, dtype=target).reshape(shape)


def _flattened(input, dim, keepdim):
    """The reduced dims as one at the end, and the shape of the result."""
    dims = {index % input.ndim for index in dim} if dim else set(range(input.ndim))
    kept = [index for index in range(input.ndim) if index not in dims]
    flat = input.permute((*kept, *sorted(dims))).reshape((*[input.shape[i] for i in kept], -1))
    shape = [1 if i in dims else n for i, n in enumerate(input.shape) if keepdim or i not in dims]
    return flat, shape


@natives
def any(input, dim, keepdim):
    return torch.any(input, dim, keepdim)


@natives
def all(input, dim, keepdim):
    return torch.all(input, dim, keepdim)


@natives
def cumsum(input, dim, dtype):
    return torch.cumsum(input, dim, dtype=accumulator(input, dtype))


@natives
def cumprod(input, dim, dtype):
    return torch.cumprod(input, dim, dtype=accumulator(input, dtype))


def _moment(function):
    def native(input, dim, keepdim, correction):
        return function(input, dim, correction=correction, keepdim=keepdim)

    return native


natives(
    var=_moment(torch.var), std=_moment(torch.std), var_mean=_moment(torch.var_mean),
    std_mean=_moment(torch.std_mean),
)  # fmt: skip


@natives
def squared_magnitude(input):
    return (input * input.conj()).real if input.is_complex() else input.square()


@natives
def linalg_vector_norm(x, ord, dim, keepdim, dtype):
    return torch.linalg.vector_norm(x, ord, dim, keepdim, dtype=None if dtype is None else to_native(dtype))


@natives
def amax(input, dim, keepdim):
    return torch.amax(input, () if dim is None else dim, keepdim)


@natives
def amin(input, dim, keepdim):
    return torch.amin(input, () if dim is None else dim, keepdim)


@natives
def argmax(input, dim, keepdim):
    return torch.argmax(_comparable(input), dim, keepdim).to(torch.int32)


@natives
def argmin(input, dim, keepdim):
    return torch.argmin(_comparable(input), dim, keepdim).to(torch.int32)


def _comparable(input):
    return input.to(torch.uint8) if input.dtype is torch.bool else input


def _with_indices(found):
    return found.values, found.indices.to(torch.int32)


@natives
def max(input, dim, keepdim):
    return _with_indices(torch.max(input, dim, keepdim))


@natives
def min(input, dim, keepdim):
    return _with_indices(torch.min(input, dim, keepdim))


@natives
def logsumexp(input, dim, keepdim):
    return torch.logsumexp(input, tuple(range(input.ndim)) if dim is None else dim, keepdim)


@natives
def softmax(input, dim, dtype):
    return torch.softmax(input, dim, dtype=None if dtype is None else to_native(dtype))


@natives
def log_softmax(input, dim, dtype):
    return torch.log_softmax(input, dim, dtype=None if dtype is None else to_native(dtype))


@natives
def sort(input, dim, descending, stable):
    return _with_indices(torch.sort(input, dim=dim, descending=descending, stable=True))


@natives
def topk(input, k, dim, largest, sorted):
    return _with_indices(torch.topk(input, k, dim, largest, sorted))
