"""Methods of Tensor that overwrite it with random values, and return it, or draw by its own values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from unified._dtype import DType, Number
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError
from unified.random import draws
from unified.random.generator import Generator
from unified.random.sampling import (
    bernoulli,
    bernoulli_mask,
    draw,
    generator_for,
    integer_values,
    multinomial,
    normal_values,
    uniform_values,
)  # fmt: skip


def _inexact(name: str, tensor: Tensor) -> DType:
    dtype = tensor.dtype
    if not dtype.is_inexact:
        raise DTypeError(f"{name}: the Tensor must be floating point or complex, not {dtype.name}")
    return dtype


def _floating(name: str, tensor: Tensor) -> DType:
    dtype = tensor.dtype
    if not dtype.is_floating_point:
        raise DTypeError(f"{name}: the Tensor must be floating point, not {dtype.name}")
    return dtype


def _write(tensor: Tensor, values: Tensor) -> Tensor:
    return tensor._assign(values.to(device=tensor.device))


def _drawn(
    name: str, tensor: Tensor, op: Callable[..., Any], generator: Generator | None, *parameters: Number
) -> Tensor:
    """``op``'s values in the Tensor; each backend gets the parameters as the same floats."""
    dtype = _floating(name, tensor)
    values = [float(parameter) for parameter in parameters]  # type: ignore[arg-type]
    return _write(tensor, draw(generator_for(tensor, generator), op, tuple(tensor.shape), *values, dtype))


def uniform_(self: Tensor, low: Number = 0, high: Number = 1, *, generator: Generator | None = None) -> Tensor:
    """Fills it with values uniform in ``[low, high)``; the parts of complex ones are."""
    dtype = _inexact("uniform_", self)
    return _write(self, uniform_values(generator_for(self, generator), tuple(self.shape), low, high, dtype))


def normal_(self: Tensor, mean: Number = 0, std: Number = 1, *, generator: Generator | None = None) -> Tensor:
    """Fills it with normal values of mean ``mean`` and deviation ``std``, also where they are complex."""
    dtype = _inexact("normal_", self)
    return _write(self, normal_values(generator_for(self, generator), tuple(self.shape), mean, std, dtype))


def bernoulli_(self: Tensor, p: Tensor | float = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fills it with 1 with probability ``p`` (a number, or a Tensor of its shape), else 0."""
    if isinstance(p, Tensor):
        return _write(self, bernoulli(p, generator=generator).to(self.dtype))
    return _write(self, bernoulli_mask(tuple(self.shape), p, self, generator))


def log_normal_(self: Tensor, mean: Number = 1, std: Number = 2, *, generator: Generator | None = None) -> Tensor:
    """Fills it with values whose logarithms are normal of mean ``mean`` and deviation ``std``."""
    if not std > 0:  # type: ignore[operator]
        raise ArgumentError(f"log_normal_: std must be positive, not {std}")
    return _drawn("log_normal_", self, draws.random_log_normal, generator, mean, std)


def cauchy_(self: Tensor, median: Number = 0, sigma: Number = 1, *, generator: Generator | None = None) -> Tensor:
    """Fills it with values of Cauchy's distribution around ``median``, half of them at most ``sigma`` away."""
    if not sigma > 0:  # type: ignore[operator]
        raise ArgumentError(f"cauchy_: sigma must be positive, not {sigma}")
    return _drawn("cauchy_", self, draws.random_cauchy, generator, median, sigma)


def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fills it with how many trials it takes until the first success, each with probability ``p``: 1, 2, ..."""
    if not 0 < p < 1:
        raise ArgumentError(f"geometric_: p must lie between 0 and 1, without either, and it is {p}")
    if self.dtype.kind not in "iuf":
        raise DTypeError(f"geometric_: the Tensor must be of real numbers, not {self.dtype.name}")
    chosen = generator_for(self, generator)
    return _write(self, draw(chosen, draws.random_geometric, tuple(self.shape), -math.log1p(-p), self.dtype))


def exponential_(self: Tensor, lambd: float = 1, *, generator: Generator | None = None) -> Tensor:
    """Fills it with exponentially distributed values of rate ``lambd``."""
    if not lambd > 0:
        raise ArgumentError(f"exponential_: lambd must be positive, not {lambd}")
    return _drawn("exponential_", self, draws.random_exponential, generator, lambd)


_WHOLE = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}


def random_(self: Tensor, low: int = 0, high: int | None = None, *, generator: Generator | None = None) -> Tensor:
    """Fills it with integers in ``[low, high)``: ``x.random_(10)`` is below 10, ``x.random_(3, 7)`` in [3, 7).

    Without bounds, all non-negative integers that the dtype holds exactly, but at most 31 bits of them.
    """
    dtype = self.dtype
    if high is None and low > 0:
        low, high = 0, low
    elif high is None:
        bits = _WHOLE.get(dtype.name, 8 * dtype.itemsize - (dtype.kind == "i"))
        high = 2 ** min(bits, 31)
    return _write(self, integer_values(generator_for(self, generator), tuple(self.shape), low, high, dtype))


for _method in (
    uniform_, normal_, bernoulli_, log_normal_, cauchy_, geometric_, exponential_, random_,
):  # fmt: skip
    _method.__qualname__ = f"Tensor.{_method.__name__}"
    setattr(Tensor, _method.__name__, _method)
for _function in (bernoulli, multinomial):
    setattr(Tensor, _function.__name__, _function)
