"""Draws inside ``unified.func.vmap``: refused, the same for every example, or all examples' in one go.

A draw is made outside of all levels, so that a generator's state never becomes a value of one, and with the lengths
of the levels that want different numbers in front of its size: the same numbers on every backend.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

from unified._dispatch import table
from unified._levels import active, outside
from unified._tensor import Tensor
from unified._transforms import transforms_of
from unified.errors import FunctionTransformError
from unified.random import draws

Sampler = Callable[..., Tensor]
"""Takes an op and its arguments, moves the generator on, and returns the op's values."""


def draw_within(state: Tensor, sample: Sampler, op: Callable[..., Any], args: tuple[Any, ...]) -> Tensor:
    """A draw while levels are at work.

    Raises:
        FunctionTransformError: a ``vmap`` at work has randomness "error", or "same" where the values decide.
    """
    batches = [level for level in active() if hasattr(level, "randomness")]
    if any(level.randomness == "error" for level in batches):
        raise FunctionTransformError(
            "a random function was called inside un.func.vmap; pass randomness='different' for numbers of its own to "
            "each example, randomness='same' for the same to all, or draw them outside"
        )
    different = [level for level in batches if level.randomness == "different"]
    weights = args[0] if op in draws.BY_VALUE else None
    if weights is not None and len(different) < len(batches):
        raise FunctionTransformError(
            "vmap: randomness='same' is not possible where the draw depends on a Tensor's values; pass 'different'"
        )
    if weights is not None:
        weights = outside(weights)
    recorded = [level for level in batches if level.drawn is not None]
    values = next((level.drawn[level.cursor] for level in recorded if level.cursor < len(level.drawn)), None)
    if values is None:
        with _suspended(state):
            values = _sample(state, sample, op, args, tuple(level.size for level in different), weights)
    for level in recorded:
        if level.cursor == len(level.drawn):
            level.drawn.append(values)
        level.cursor += 1
    for level in different:
        values = level.put(values, 0)
    return values


def _suspended(state: Tensor) -> contextlib.AbstractContextManager[None]:
    return transforms_of(state).suspended()


def _sample(
    state: Tensor, sample: Sampler, op: Callable[..., Any], args: tuple[Any, ...], lengths: tuple[int, ...],
    weights: Tensor | None,
) -> Tensor:  # fmt: skip
    if op is draws.random_mask:
        like, size, threshold = args
        return sample(op, state.to(like.dtype), lengths + size, threshold)
    if op is draws.random_multinomial:
        assert weights is not None
        drawn = sample(op, weights.reshape((-1, weights.shape[-1])), *args[1:])
        joined: Tensor = drawn.reshape((*weights.shape[:-1], args[1]))
        return joined
    if weights is not None:
        return sample(op, weights)
    if op is draws.random_permutation:
        if not lengths:
            return sample(op, *args)
        several = [sample(op, *args) for _ in range(math.prod(lengths))]
        stacked: Tensor = table["stack"].caller(several, 0).reshape((*lengths, args[0]))  # type: ignore[misc]
        return stacked
    size, *others = args
    return sample(op, lengths + size, *others)
