"""Writing at positions: scatter, put and their reductions on PyTorch."""

from __future__ import annotations

import torch

from unified.backends.protocol import Natives, errors
from unified.backends.torch.indexing import long, source
from unified.backends.torch.transforms import pushing

natives = Natives()


@natives
def scatter_reduce(input, dim, index, src, reduce, include_self):
    if reduce == "prod" and pushing():
        raise errors.UnsupportedOpError("PyTorch pushes a tangent of 0 through a product; differentiate in reverse")
    return torch.scatter_reduce(input, dim, long(index), source(index, src), reduce, include_self=include_self)


@natives
def index_reduce(input, dim, index, source, reduce, include_self):
    return torch.index_reduce(input, dim, long(index), source, reduce, include_self=include_self)


@natives
def reduce_at(input, positions, src, reduce, include_self):
    return scatter_reduce(input, 0, positions, src, reduce, include_self)


natives(masked_scatter=torch.masked_scatter)


@natives
def diagonal_scatter(input, src, offset, dim1, dim2):
    return torch.diagonal_scatter(input, src, offset, dim1, dim2)


@natives
def nonzero_static(input, size, fill_value):
    return torch.nonzero_static(input, size=size, fill_value=fill_value).to(torch.int32)
