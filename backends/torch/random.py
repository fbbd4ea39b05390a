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
_CHUNK = 1 << 14  # blocks whose lanes stay in cache, and of which two rows are not spread over threads
_MANTISSA = {torch.float32: 24, torch.float16: 11, torch.bfloat16: 8}  # bits of a uniform in [0, 1)


class _Room:
    """Memory for the rounds of ``blocks`` counters, used again by every chunk; rows are words 0 and 2, or 1 and 3."""

    def __init__(self, blocks, place) -> None:
        self.even = torch.empty(2, blocks, **place)
        self.products = torch.empty(2, blocks, **place), torch.empty(2, blocks, **place)
        self.words = torch.empty(blocks, 4, **place)

    def of(self, blocks):
        """The same for fewer blocks."""
        room = object.__new__(_Room)
        room.even, room.words = self.even[:, :blocks], self.words[:blocks]
        room.products = tuple(product[:, :blocks] for product in self.products)
        return room


def _chunk(blocks, keys, multipliers, room):
    """What :func:`_rounds` gives, out of and into memory that is in cache already."""
    even, (before, product) = room.even, room.products
    torch.bitwise_and(blocks, _MASK, out=even[0])
    torch.bitwise_right_shift(blocks, 32, out=before[1])
    even[1], before[0] = 0, 0
    rows = even.unbind()
    for key in keys:
        torch.mul(even, multipliers, out=product)
        torch.bitwise_right_shift(product, 32, out=even)
        even.bitwise_xor_(before)
        before, product = product, before
        torch.bitwise_xor(rows[1], key[0], out=product[0])  # exchanged, in what held the words before the last ones
        torch.bitwise_xor(rows[0], key[1], out=product[1])
        torch.bitwise_and(product, _MASK, out=even)
    torch.bitwise_and(before, _MASK, out=before)
    torch.stack([rows[0], before[1], rows[1], before[0]], 1, out=room.words)
    return room.words.reshape(-1)


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


def _moved(wide, blocks):
    """The state of words ``wide``, in int64, after so many blocks."""
    after = (wide[2] | (wide[3] << 32)) + blocks
    counter = torch.stack([after & _MASK, (after >> 32) & _MASK])
    return torch.cat([wide[:2], counter]).to(torch.int32)


def _same(words):
    return words


def _draw(state, count, finish=_same, dtype=torch.int64, words=1):
    """``finish`` of ``count * words`` words, int64 in ``[0, 2**32)``; and the state after them.

    On CPU outside of a trace it is done chunk by chunk and in place, so that all of it happens in cache: 1 M uniforms
    took 4 times as long as ``torch.rand`` so, and 8 times as whole arrays.

    Args:
        finish: from words to values of ``dtype``, each out of ``words`` adjacent ones; may write to its argument.
    """
    place = {"dtype": torch.int64, "device": state.device}
    wide = state.to(torch.int64) & _MASK
    weyl, multipliers = torch.tensor([_WEYL, _MULTIPLIERS], **place).unsqueeze(-1).unbind()
    rounds = torch.arange(10, **place).reshape(10, 1, 1)
    keys = (rounds.mul(weyl).add_(wide[:2, None]) & _MASK).unbind()
    offset = wide[2] | (wide[3] << 32)
    total = -(-count * words // 4)
    state_after = _moved(wide, total)
    if type(state) is not torch.Tensor or state.device.type != "cpu":
        drawn = _rounds(torch.arange(total, **place) + offset, keys, multipliers)
        return finish(drawn[: count * words]).to(dtype), state_after
    values = torch.empty(4 * total // words, dtype=dtype, device=state.device)
    pairs = [key.flatten().tolist() for key in keys]
    step = min(_CHUNK, total)
    room = _Room(step, place)
    for start in range(0, total, max(step, 1)):
        blocks = torch.arange(start, min(start + step, total), **place).add_(offset)
        drawn = _chunk(blocks, pairs, multipliers, room if len(blocks) == step else room.of(len(blocks)))
        values[4 * start // words : 4 * (start + len(blocks)) // words] = finish(drawn)
    return values[:count], state_after


def _unit(state, count, dtype, low=0.0, span=1.0):
    """``count`` uniforms in [low, low + span), rounded once from float64, with the bits that ``dtype`` has."""
    if dtype is torch.float64:

        def finish(words):
            unit = ((words[0::2] >> 5 << 26) + (words[1::2] >> 6)).to(torch.float64)
            return unit.mul_(2.0**-53).mul_(span).add_(low)

        return _draw(state, count, finish, dtype, 2)
    bits = _MANTISSA[dtype]
    if dtype is torch.float32 and low == 0 and span == 1:  # exact in float32 already
        return _draw(state, count, lambda words: (words >> 8).to(dtype).mul_(2.0**-24), dtype)
    return _draw(
        state,
        count,
        lambda words: (words >> (32 - bits)).to(torch.float64).mul_(2.0**-bits).mul_(span).add_(low),
        dtype,
    )


@natives
def random_words(state, count):
    return _draw(state, count, dtype=torch.int32, finish=lambda words: words.to(torch.int32))


@natives
def random_uniform(state, size, low, span, dtype):
    unit, after = _unit(state, math.prod(size), to_native(dtype), low, span)
    return unit.reshape(size), after


def _normal(state, count, dtype, finish):
    """``finish`` of ``count`` standard normals in float64, rounded to ``dtype``, and the state after them."""

    def normals(words):
        first, second = words.to(torch.float64).reshape(-1, 2).unbind(1)
        radius = ((first + 1.0) * 2.0**-32).log_().mul_(-2.0).sqrt_()
        angle = second * (2.0 * math.pi * 2.0**-32)
        return finish(torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], -1).reshape(-1))

    values, after = _draw(state, count + count % 2, normals, to_native(dtype))
    return values[:count], after


@natives
def random_normal(state, size, mean, std, dtype):
    normal, after = _normal(state, math.prod(size), dtype, lambda normal: normal.mul_(std).add_(mean))
    return normal.reshape(size), after


@natives
def random_log_normal(state, size, mean, std, dtype):
    normal, after = _normal(state, math.prod(size), dtype, lambda normal: normal.mul_(std).add_(mean).exp_())
    return normal.reshape(size), after


@natives
def random_cauchy(state, size, median, sigma, dtype):
    def finish(words):
        angle = (words.to(torch.float64) + 0.5).mul_(2.0**-32).sub_(0.5).mul_(math.pi)
        return angle.tan_().mul_(sigma).add_(median)

    values, after = _draw(state, math.prod(size), finish, to_native(dtype))
    return values.reshape(size), after


def _waits(words):
    """Exponential values of rate 1, as float64."""
    return ((words.to(torch.float64) + 1.0) * 2.0**-32).log_().neg_()


@natives
def random_geometric(state, size, rate, dtype):
    def finish(words):
        return _waits(words).div_(rate).ceil_().clamp_(min=1.0)

    values, after = _draw(state, math.prod(size), finish, to_native(dtype))
    return values.reshape(size), after


@natives
def random_truncated(state, size, low, span, dtype):
    def finish(words):
        level = (words.to(torch.float64) + 0.5).mul_(span * 2.0**-32).add_(low)
        return torch.erfinv(level).mul_(math.sqrt(2.0))

    values, after = _draw(state, math.prod(size), finish, to_native(dtype))
    return values.reshape(size), after


@natives
def random_exponential(state, size, rate, dtype):
    values, after = _draw(state, math.prod(size), lambda words: _waits(words).div_(rate), to_native(dtype))
    return values.reshape(size), after


@natives
def random_integers(state, size, low, last, dtype):
    def finish(words):
        return (((words * (last & _MASK) + words) >> 32) & _MASK) + low

    values, after = _draw(state, math.prod(size), finish, to_native(dtype))
    return values.reshape(size), after


@natives
def random_bernoulli(state, input):
    unit, after = _unit(state, input.numel(), torch.float32)
    drawn = (unit.reshape(input.shape) < input).to(input.dtype)
    return (drawn + 0 * torch.floor(input) if input.requires_grad else drawn), after  # in the graph, with gradient 0


@natives
def random_mask(state, like, size, threshold):
    values, after = _draw(state, math.prod(size), lambda words: (words >> 8) < threshold, like.dtype)
    return values.reshape(size), after


@natives
def random_permutation(state, length, dtype):
    words, after = _draw(state, length)
    return torch.argsort(words, stable=True).to(to_native(dtype)), after


@natives
def random_multinomial(state, input, num_samples, replacement):
    rows = input.to(torch.float64).reshape(-1, input.shape[-1])
    shape = (*input.shape[:-1], num_samples)
    if replacement:
        cumulative = rows.cumsum(-1)
        words, after = _draw(state, rows.shape[0] * num_samples)
        levels = (words.to(torch.float64) * 2.0**-32).reshape(rows.shape[0], num_samples) * cumulative[:, -1:]
        chosen = torch.searchsorted(cumulative, levels, right=True)
    else:
        words, after = _draw(state, rows.numel())
        arrivals = _waits(words).reshape(rows.shape) / rows
        chosen = torch.argsort(arrivals, dim=-1, stable=True)[:, :num_samples]
    return chosen.to(torch.int32).reshape(shape), after


def _seeded(state, count):
    """PyTorch's generator, seeded by the state (None, the global one, in a trace); and the state after."""
    after = _moved(state.to(torch.int64) & _MASK, -(-count // 4))
    if type(state) is not torch.Tensor:
        return None, after
    low, high, *offset = (word & _MASK for word in state.tolist())
    seed = (low + (high << 32)) ^ (
        (offset[0] + (offset[1] << 32)) * 0x9E3779B97F4A7C15
    )  # the golden ratio, as in splitmix64
    return torch.Generator(device=state.device).manual_seed(seed % 2**63), after


@natives
def native_uniform(state, size, low, span, dtype):
    generator, after = _seeded(state, math.prod(size))
    unit = torch.rand(size, generator=generator, dtype=to_native(dtype), device=state.device)
    return (unit if low == 0 and span == 1 else unit.mul_(span).add_(low)), after


@natives
def native_normal(state, size, mean, std, dtype):
    generator, after = _seeded(state, math.prod(size))
    normal = torch.randn(size, generator=generator, dtype=to_native(dtype), device=state.device)
    return (normal if mean == 0 and std == 1 else normal.mul_(std).add_(mean)), after


@natives
def native_mask(state, like, size, threshold):
    generator, after = _seeded(state, math.prod(size))
    kept = torch.empty(size, dtype=like.dtype, device=state.device)
    return kept.bernoulli_(threshold * 2.0**-24, generator=generator), after
