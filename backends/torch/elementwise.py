"""Elementwise ops on PyTorch: only what differs from the function of the same name is written out."""

from __future__ import annotations

import functools
import operator

import torch

from unified.backends.protocol import Natives
from unified.backends.torch.dtype import to_native

natives = Natives()


def narrow(function):
    """``function`` with the result's dtype that every backend has.

    PyTorch's 64 bits for a bool tensor with a Python int become the 32 of all defaults, and the complex32 of halves
    with complex numbers, for which its kernels are few, complex64.
    """

    def native(input, other):
        try:
            result = function(input, other)
        except NotImplementedError:
            result = function(_single(input), _single(other))
        if result.dtype is torch.int64 and not (_is_wide(input) or _is_wide(other)):
            return result.to(torch.int32)
        if result.dtype is torch.complex32:
            return function(_single(input), _single(other))
        return result

    return native


def _single(value):
    return value.to(torch.float32) if isinstance(value, torch.Tensor) and value.dtype is torch.float16 else value


def _is_wide(value):
    return isinstance(value, torch.Tensor) and value.dtype is torch.int64


def _remainder(input, other):
    if not isinstance(input, torch.Tensor):  # PyTorch has no derivative for a number modulo a tensor
        input = torch.tensor(input, dtype=torch.result_type(input, other), device=other.device)
    return torch.remainder(input, other)


natives(**{name: narrow(function) for name, function in {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "floor_divide": operator.floordiv,
    "remainder": _remainder, "fmod": torch.fmod, "pow": operator.pow, "bitwise_and": operator.and_,
    "bitwise_or": operator.or_, "bitwise_xor": operator.xor,
}.items()})  # fmt: skip
natives(
    maximum=torch.maximum, minimum=torch.minimum, neg=torch.neg, abs=torch.abs, sign=torch.sign, exp=torch.exp,
    expm1=torch.expm1, log=torch.log, log1p=torch.log1p, log2=torch.log2, sqrt=torch.sqrt, rsqrt=torch.rsqrt,
    reciprocal=torch.reciprocal, sin=torch.sin, cos=torch.cos, tan=torch.tan, asin=torch.asin, acos=torch.acos,
    atan=torch.atan, sinh=torch.sinh, cosh=torch.cosh, tanh=torch.tanh, sigmoid=torch.sigmoid, erf=torch.erf,
    relu=torch.relu, floor=torch.floor, ceil=torch.ceil, trunc=torch.trunc, isnan=torch.isnan,
    isinf=torch.isinf, isfinite=torch.isfinite, eq=operator.eq, ne=operator.ne, lt=operator.lt, le=operator.le,
    gt=operator.gt, ge=operator.ge, logical_and=torch.logical_and, logical_or=torch.logical_or,
    logical_not=torch.logical_not, bitwise_not=torch.bitwise_not, clone=torch.clone, atan2=torch.atan2,
    logaddexp=torch.logaddexp,
)  # fmt: skip


@natives
def round(input, decimals):
    return torch.round(input, decimals=decimals) if decimals else torch.round(input)


@natives
def cube(input):
    return torch.pow(input, 3)


@natives
def square(input):
    return torch.square(input) if input.dtype is not torch.bool else input.to(torch.int32)


@natives
def div(input, other, rounding_mode):
    return _divide(input, other) if rounding_mode is None else torch.div(input, other, rounding_mode=rounding_mode)


_divide = narrow(operator.truediv)


@natives
def where(condition, input, other):
    return narrow(functools.partial(torch.where, condition))(input, other)


@natives
def clamp(input, min, max):
    if isinstance(min, torch.Tensor) is not isinstance(max, torch.Tensor) and min is not None and max is not None:
        return torch.clamp(torch.clamp(input, min=min), max=max)
    return torch.clamp(input, min, max)


@natives
def cast(input, dtype):
    return input.to(to_native(dtype))


natives(stop_gradient=torch.Tensor.detach)
