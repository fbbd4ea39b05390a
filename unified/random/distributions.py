"""Distributions over the same stream: what ``torch.distributions`` and ``jax.random`` draw from, by their names.

They are computed in float64 from the generator's words and rounded once. A rejection method makes a fixed number of
attempts, so that it is one program without a loop; how improbable it is that none succeeds stands with each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from unified._device import device as Device
from unified._dispatch import composite, front, tracing
from unified._dtype import DType, Number, float64
from unified._levels import active
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError, ShapeError
from unified.ops.arithmetic import where
from unified.ops.elementwise import cos, exp, floor, isfinite, log, sqrt
from unified.ops.special import lgamma
from unified.random import draws
from unified.random.generator import Generator, default_generator
from unified.random.sampling import draw, finish, floating, generator_for, sized, uniform_values

Place = Device | str | None
_ATTEMPTS = 8
_SMALL_RATE, _MOST_COUNTED = 12.0, 48


def _units(state: Tensor, rows: int, like: Tensor) -> tuple[list[Tensor], Tensor]:
    """``rows`` Tensors of float64 uniforms in (0, 1), each of the shape of ``like``, and the state after them."""
    words, after = draws.random_words(state, rows * like.numel())
    wide = words.to(float64)
    unit = (where(wide < 0, wide + 2.0**32, wide) + 0.5) * 2.0**-32
    return list(unit.reshape((rows, *like.shape)).unbind(0)), after


@composite(name="random_gamma")
def random_gamma(state: Tensor, input: Tensor) -> tuple[Tensor, ...]:
    """Standard gamma values with the shape parameters ``input``; Marsaglia and Tsang (2000).

    An attempt fails with a probability below 0.05, all eight below 4e-11; then the value is near the density's mode.
    Below 1 the parameter is raised by 1, and the value multiplied by ``u ** (1 / parameter)``.
    """
    unit, after = _units(state, 3 * _ATTEMPTS + 1, input)
    shape = input.to(float64)
    boosted = shape < 1
    center = where(boosted, shape + 1, shape) - 1 / 3
    scale = 1 / sqrt(9 * center)
    values = center
    for attempt in reversed(range(_ATTEMPTS)):
        radius, angle, level = unit[3 * attempt : 3 * attempt + 3]
        normal = sqrt(-2 * log(radius)) * cos(2 * math.pi * angle)
        base = 1 + scale * normal
        positive = base > 0
        cube = where(positive, base, 1.0) ** 3
        accepted = positive & (log(level) < 0.5 * normal * normal + center - center * cube + center * log(cube))
        values = where(accepted, center * cube, values)
    lowered = exp(log(unit[-1]) / where(boosted, shape, 1.0))
    return where(boosted, values * lowered, values).to(input.dtype), after


def _few(rate: Tensor, unit: Tensor) -> Tensor:
    """Poisson counts by inversion: how many values of the distribution function lie below ``unit``."""
    mass = exp(-rate)
    below, count = mass, (unit > mass).to(float64)
    for k in range(1, _MOST_COUNTED):
        mass = mass * rate / k
        below = below + mass
        count = count + (unit > below).to(float64)
    return count


def _many(rate: Tensor, unit: list[Tensor]) -> Tensor:
    """Poisson counts by transformed rejection; algorithm PTRS of Hörmann (1993), for rates of at least 10."""
    slope = 0.931 + 2.53 * sqrt(rate)
    tail = -0.059 + 0.02483 * slope
    inverse = 1.1239 + 1.1328 / (slope - 3.4)
    ratio = 0.9277 - 3.6224 / (slope - 2)
    count = floor(rate)
    for attempt in reversed(range(_ATTEMPTS)):
        across, level = unit[2 * attempt] - 0.5, unit[2 * attempt + 1]
        edge = 0.5 - across.abs()
        k = floor((2 * tail / edge + slope) * across + rate + 0.43)
        bound = k * log(rate) - rate - lgamma(where(k < 0, 0.0, k) + 1)
        inside = log(level * inverse / (tail / (edge * edge) + slope)) <= bound
        fits = (k >= 0) & ((edge >= 0.013) | (level <= edge)) & inside
        count = where(((edge >= 0.07) & (level <= ratio)) | fits, k, count)
    return count


@composite(name="random_poisson")
def random_poisson(state: Tensor, input: Tensor) -> tuple[Tensor, ...]:
    """Poisson counts with the rates ``input``, in its dtype.

    By inversion below a rate of 12; else by rejection, where all eight attempts fail with a probability below 1e-7,
    and the count is then the rate, rounded down.
    """
    unit, after = _units(state, 2 * _ATTEMPTS, input)
    rate = input.to(float64)
    small = rate < _SMALL_RATE
    few = _few(where(small, rate, 1.0), unit[0])
    return where(small, few, _many(where(small, _SMALL_RATE, rate), unit)).to(input.dtype), after


draws.BY_VALUE.update({random_gamma, random_poisson})


@composite(name="are_rates")
def _are_rates(input: Tensor) -> Tensor:
    """Whether all are finite and not negative."""
    fit: Tensor = ((input >= 0) & isfinite(input)).all()
    return fit


def _rates(name: str, input: Tensor, positive: bool) -> Tensor:
    if not input.dtype.is_floating_point:
        raise DTypeError(f"{name}: parameters must be floating point, not {input.dtype.name}")
    rates = input.detach()
    if tracing() is not None or active():
        return rates
    if not _are_rates(rates).item() or (positive and not (rates > 0).all().item()):
        raise ArgumentError(f"{name}: parameters must be finite and {'positive' if positive else 'not negative'}")
    return rates


@front()
def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Poisson counts with the rates ``input``, in its shape and dtype; no gradient flows through them.

    Raises:
        DTypeError: ``input`` is not floating point.
        ArgumentError: a rate is negative or not finite.
    """
    return draw(generator_for(input, generator), random_poisson, _rates("poisson", input, positive=False))


@front()
def gamma(
    concentration: Tensor, rate: Tensor | Number = 1.0, *, generator: Generator | None = None
) -> Tensor:  # fmt: skip
    """Gamma values of density ``x ** (concentration - 1) * exp(-rate * x)``; a gradient flows through ``rate`` alone.

    Raises:
        DTypeError: ``concentration`` is not floating point.
        ArgumentError: a concentration is not positive and finite.
    """
    rates = _rates("gamma", concentration, positive=True)
    if isinstance(rate, Tensor):
        rates = rates.broadcast_to((rates + rate.detach()).shape)
    values: Tensor = draw(generator_for(concentration, generator), random_gamma, rates) / rate
    return values


@front()
def beta(
    concentration1: Tensor, concentration0: Tensor, *, generator: Generator | None = None
) -> Tensor:  # fmt: skip
    """Beta values in [0, 1] of density ``x ** (concentration1 - 1) * (1 - x) ** (concentration0 - 1)``.

    Raises:
        DTypeError, ArgumentError: as for :func:`gamma`.
    """
    shape = (concentration1.detach() + concentration0.detach()).shape
    first = gamma(concentration1.broadcast_to(shape), generator=generator)
    second = gamma(concentration0.broadcast_to(shape), generator=generator)
    values: Tensor = first / (first + second)
    return values


@front()
def dirichlet(concentration: Tensor, *, generator: Generator | None = None) -> Tensor:
    """Points of the simplex along the last dimension, with the concentrations ``(..., categories)``.

    Raises:
        DTypeError, ArgumentError: as for :func:`gamma`.
        ShapeError: there is no last dimension.
    """
    if not concentration.ndim:
        raise ShapeError("dirichlet: concentration needs a dimension of categories")
    weights = gamma(concentration, generator=generator)
    points: Tensor = weights / weights.sum(-1, keepdim=True)
    return points


@front()
def categorical(
    logits: Tensor, size: Sequence[int] = (), *, generator: Generator | None = None
) -> Tensor:  # fmt: skip
    """Indices (int32) of categories with the log-probabilities ``logits (..., categories)``, up to a constant.

    Returns:
        Shape ``(*size, ...)``.

    Raises:
        DTypeError: ``logits`` is not floating point.
        ShapeError: there is no dimension of categories.
    """
    if not logits.dtype.is_floating_point:
        raise DTypeError(f"categorical: logits must be floating point, not {logits.dtype.name}")
    if not logits.ndim or not logits.shape[-1]:
        raise ShapeError(f"categorical: logits {tuple(logits.shape)} need a dimension of categories")
    outer, batch = sized("categorical", size), tuple(logits.shape[:-1])
    weights = logits.detach().reshape((-1, logits.shape[-1])).softmax(-1)
    chosen = draw(generator_for(logits, generator), draws.random_multinomial, weights, math.prod(outer), True)
    indices: Tensor = chosen.transpose(0, 1).reshape((*outer, *batch))
    return indices


def exponential(
    *size: int, rate: float = 1.0, generator: Generator | None = None, dtype: DType | None = None,
    device: Place = None,
) -> Tensor:  # fmt: skip
    """Waiting times of mean ``1 / rate``.

    Raises:
        ArgumentError: ``rate`` is not positive.
    """
    if not rate > 0:
        raise ArgumentError(f"exponential: the rate must be positive, not {rate}")
    kind = floating("exponential", dtype)
    chosen = generator or default_generator()
    values = draw(chosen, draws.random_exponential, sized("exponential", size), rate, kind)
    return finish(values, device, False)


def truncated_normal(
    *size: int, mean: float = 0.0, std: float = 1.0, low: float = -2.0, high: float = 2.0,
    generator: Generator | None = None, dtype: DType | None = None, device: Place = None,
) -> Tensor:  # fmt: skip
    """Normal values around ``mean`` that lie within ``mean + low * std`` and ``mean + high * std``.

    Raises:
        ArgumentError: ``low`` is not below ``high``.
    """
    if not low < high:
        raise ArgumentError(f"truncated_normal: low {low} must lie below high {high}")
    kind = floating("truncated_normal", dtype)
    first, last = (math.erf(limit / math.sqrt(2.0)) for limit in (low, high))
    chosen = generator or default_generator()
    values = draw(chosen, draws.random_truncated, sized("truncated_normal", size), first, last - first, kind)
    return finish((values * std + mean).clamp(mean + low * std, mean + high * std), device, False)


def gumbel(
    *size: int, generator: Generator | None = None, dtype: DType | None = None, device: Place = None
) -> Tensor:
    """Standard Gumbel values, ``-log(e)`` of exponential ``e``: ``(logits + gumbel).argmax()`` draws a category."""
    return -log(exponential(*size, generator=generator, dtype=dtype, device=device))


def laplace(
    *size: int, generator: Generator | None = None, dtype: DType | None = None, device: Place = None
) -> Tensor:
    """Standard Laplace values: an exponential one with a random sign."""
    kind = floating("laplace", dtype)
    chosen = generator or default_generator()
    shape = sized("laplace", size)
    sign = uniform_values(chosen, shape, -1.0, 1.0, kind)
    size_of = draw(chosen, draws.random_exponential, shape, 1.0, kind)
    return finish(where(sign < 0, -size_of, size_of), device, False)
