"""Elementwise ops on PyTorch: only what differs from the function of the same name is written out."""

from __future__ import annotations

import operator

import torch

from unified.backends.protocol import Natives
from unified.backends.torch.dtype import to_native

natives = Natives()

natives(
    mul=operator.mul, floor_divide=operator.floordiv, remainder=operator.mod, maximum=torch.maximum,
    minimum=torch.minimum, neg=torch.neg, abs=torch.abs, sign=torch.sign, exp=torch.exp, expm1=torch.expm1,
    log=torch.log, log1p=torch.log1p, log2=torch.log2, sqrt=torch.sqrt, rsqrt=torch.rsqrt, square=torch.square,
    reciprocal=torch.reciprocal, sin=torch.sin, cos=torch.cos, tanh=torch.tanh, sigmoid=torch.sigmoid,
    erf=torch.erf, relu=torch.relu, floor=torch.floor, ceil=torch.ceil, round=torch.round, trunc=torch.trunc,
    isnan=torch.isnan, isinf=torch.isinf, isfinite=torch.isfinite, eq=operator.eq, ne=operator.ne, lt=operator.lt,
    le=operator.le, gt=operator.gt, ge=operator.ge, logical_and=torch.logical_and, logical_or=torch.logical_or,
    logical_not=torch.logical_not, bitwise_and=operator.and_, bitwise_or=operator.or_, bitwise_xor=operator.xor,
    bitwise_not=torch.bitwise_not, where=torch.where, clone=torch.clone, pow=operator.pow,
)  # fmt: skip


@natives
def add(input, other, alpha):
    return input + other if alpha == 1 else torch.add(input, other, alpha=alpha)


@natives
def sub(input, other, alpha):
    return input - other if alpha == 1 else torch.sub(input, other, alpha=alpha)


@natives
def div(input, other, rounding_mode):
    return input / other if rounding_mode is None else torch.div(input, other, rounding_mode=rounding_mode)


@natives
def clamp(input, min, max):
    if isinstance(min, torch.Tensor) is not isinstance(max, torch.Tensor) and min is not None and max is not None:
        return torch.clamp(torch.clamp(input, min=min), max=max)
    return torch.clamp(input, min, max)


@natives
def cast(input, dtype):
    return input.to(to_native(dtype))
