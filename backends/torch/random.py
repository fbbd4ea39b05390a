"""Philox4x32-10 on PyTorch: 64-bit lanes hold 32-bit words, since PyTorch has no unsigned arithmetic on CPU.

Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. A product of two 32-bit words wraps in a
signed 64-bit lane, but its bits are the unsigned product's, so ``>> 32`` and a mask give the high word.
"""

from __future__ import annotations

import math

import torch

from unified.backends.protocol import Natives
from unified.backends.torch.dtype import to_native

natives = Natives()

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_CHUNK = 1 << 13  # blocks whose lanes stay in cache, and below what PyTorch would spread over threads
_MANTISSA = {torch.float32: 24, torch.float16: 11, torch.bfloat16: 8}  # bits of a uniform in [0, 1)


def _rounds(blocks, keys, multipliers):
    """Ten rounds on the 64-bit counters ``blocks``; the four words of each lie side by side in the last dimension.

    ``even`` holds words 0 and 2 as rows. Words 1 and 3 are the rows of the last product's low halves, exchanged.
    """
    even = torch.stack([blocks & _MASK, torch.zeros_like(blocks)])
    product = torch.stack([torch.zeros_like(blocks), (blocks >> 32) & _MASK])
    for key in keys:
        previous, product = product, even * multipliers
        even = (product >> 32).bitwise_xor_(previous).flip(0).bitwise_xor_(key).bitwise_and_(_MASK)
    odd = product.flip(0).bitwise_and_(_MASK)
    return torch.stack([even, odd]).permute(2, 1, 0).reshape(-1)


def _words(state, count):
    """``count`` words as int64 in ``[0, 2**32)``, and the state after them."""
    place = {"dtype": torch.int64, "device": state.device}
    wide = state.to(torch.int64) & _MASK
    weyl, multipliers = torch.tensor([_WEYL, _MULTIPLIERS], **place).unsqueeze(-1).unbind()
    rounds = torch.arange(10, **place).reshape(10, 1, 1)
    keys = (rounds.mul(weyl).add_(wide[:2, None]) & _MASK).unbind()
    offset = wide[2] | (wide[3] << 32)
    total = -(-count // 4)
    step = _CHUNK if type(state) is torch.Tensor and state.device.type == "cpu" else max(total, 1)
    chunks = [
        _rounds(torch.arange(start, min(start + step, total), **place).add_(offset), keys, multipliers)
        for start in range(0, max(total, 1), step)
    ]
    drawn = (chunks[0] if len(chunks) == 1 else torch.cat(chunks))[:count]
    after = offset + total
    counter = torch.stack([after & _MASK, (after >> 32) & _MASK])
    return drawn, torch.cat([wide[:2], counter]).to(torch.int32)


def _unit(state, count, dtype):
    """``count`` uniforms in [0, 1) as float64, with as many bits as ``dtype`` can tell apart."""
    if dtype is torch.float64:
        words, after = _words(state, 2 * count)
        return (((words[0::2] >> 5) << 26) + (words[1::2] >> 6)).to(torch.float64) * 2.0**-53, after
    words, after = _words(state, count)
    bits = _MANTISSA[dtype]
    return (words >> (32 - bits)).to(torch.float64) * 2.0**-bits, after


@natives
def random_words(state, count):
    words, after = _words(state, count)
    return words.to(torch.int32), after


@natives
def random_uniform(state, size, low, span, dtype):
    dtype = to_native(dtype)
    unit, after = _unit(state, math.prod(size), dtype)
    return unit.mul_(span).add_(low).to(dtype).reshape(size), after


def _normal(state, count):
    """``count`` standard normals as float64, and the state after them."""
    words, after = _words(state, count + count % 2)
    first, second = words.to(torch.float64).reshape(-1, 2).unbind(1)
    radius = ((first + 1.0) * 2.0**-32).log_().mul_(-2.0).sqrt_()
    angle = second * (2.0 * math.pi * 2.0**-32)
    return torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], -1).reshape(-1)[:count], after


@natives
def random_normal(state, size, mean, std, dtype):
    normal, after = _normal(state, math.prod(size))
    return normal.mul(std).add_(mean).to(to_native(dtype)).reshape(size), after


@natives
def random_log_normal(state, size, mean, std, dtype):
    normal, after = _normal(state, math.prod(size))
    return normal.mul(std).add_(mean).exp_().to(to_native(dtype)).reshape(size), after


@natives
def random_cauchy(state, size, median, sigma, dtype):
    words, after = _words(state, math.prod(size))
    angle = (words.to(torch.float64) + 0.5).mul_(2.0**-32).sub_(0.5).mul_(math.pi)
    return angle.tan_().mul_(sigma).add_(median).to(to_native(dtype)).reshape(size), after


def _exponential(state, count):
    """``count`` exponential values of rate 1 as float64, and the state after them."""
    words, after = _words(state, count)
    return ((words.to(torch.float64) + 1.0) * 2.0**-32).log_().neg_(), after


@natives
def random_geometric(state, size, rate, dtype):
    waits, after = _exponential(state, math.prod(size))
    return waits.div_(rate).ceil_().clamp_(min=1.0).to(to_native(dtype)).reshape(size), after


@natives
def random_truncated(state, size, low, span, dtype):
    words, after = _words(state, math.prod(size))
    level = (words.to(torch.float64) + 0.5).mul_(span * 2.0**-32).add_(low)
    return torch.erfinv(level).mul_(math.sqrt(2.0)).to(to_native(dtype)).reshape(size), after


@natives
def random_exponential(state, size, rate, dtype):
    waits, after = _exponential(state, math.prod(size))
    return waits.div_(rate).to(to_native(dtype)).reshape(size), after


@natives
def random_integers(state, size, low, last, dtype):
    words, after = _words(state, math.prod(size))
    scaled = ((words * (last & _MASK) + words) >> 32) & _MASK
    return (scaled + low).to(to_native(dtype)).reshape(size), after


@natives
def random_bernoulli(state, input):
    words, after = _words(state, input.numel())
    unit = ((words >> 8).to(torch.float32) * 2.0**-24).reshape(input.shape)
    drawn = (unit < input).to(input.dtype)
    return (drawn + 0 * torch.floor(input) if input.requires_grad else drawn), after  # in the graph, with gradient 0


@natives
def random_mask(state, like, size, threshold):
    words, after = _words(state, math.prod(size))
    return ((words >> 8) < threshold).to(like.dtype).reshape(size), after


@natives
def random_permutation(state, length, dtype):
    words, after = _words(state, length)
    return torch.argsort(words, stable=True).to(to_native(dtype)), after


@natives
def random_multinomial(state, input, num_samples, replacement):
    rows = input.to(torch.float64).reshape(-1, input.shape[-1])
    shape = (*input.shape[:-1], num_samples)
    if replacement:
        cumulative = rows.cumsum(-1)
        words, after = _words(state, rows.shape[0] * num_samples)
        levels = (words.to(torch.float64) * 2.0**-32).reshape(rows.shape[0], num_samples) * cumulative[:, -1:]
        chosen = torch.searchsorted(cumulative, levels, right=True)
    else:
        words, after = _words(state, rows.numel())
        arrivals = -torch.log((words.to(torch.float64) + 1.0) * 2.0**-32).reshape(rows.shape) / rows
        chosen = torch.argsort(arrivals, dim=-1, stable=True)[:, :num_samples]
    return chosen.to(torch.int32).reshape(shape), after
