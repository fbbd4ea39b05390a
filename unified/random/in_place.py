"""Methods of Tensor that overwrite it with random values. Each returns the Tensor."""

from __future__ import annotations

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
    normal_values,
    uniform_values,
)  # fmt: skip


def _floating(name: str, tensor: Tensor) -> DType:
    dtype = tensor.dtype
    if not dtype.is_floating_point:
        raise DTypeError(f"{name}: the Tensor must be floating point, not {dtype.name}")
    return dtype


def _write(tensor: Tensor, values: Tensor) -> Tensor:
    return tensor._assign(values.to(device=tensor.device))


def uniform_(self: Tensor, low: Number = 0, high: Number = 1, *, generator: Generator | None = None) -> Tensor:
    """Fills it with values uniform in ``[low, high)``."""
    dtype = _floating("uniform_", self)
    return _write(self, uniform_values(generator_for(self, generator), tuple(self.shape), low, high, dtype))


def normal_(self: Tensor, mean: Number = 0, std: Number = 1, *, generator: Generator | None = None) -> Tensor:
    """Fills it with normal values of mean ``mean`` and deviation ``std``."""
    dtype = _floating("normal_", self)
    return _write(self, normal_values(generator_for(self, generator), tuple(self.shape), mean, std, dtype))


def bernoulli_(self: Tensor, p: Tensor | float = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fills it with 1 with probability ``p`` (a number, or a Tensor of its shape), else 0."""
    if isinstance(p, Tensor):
        return _write(self, bernoulli(p, generator=generator).to(self.dtype))
    return _write(self, bernoulli_mask(tuple(self.shape), p, self, generator))


def exponential_(self: Tensor, lambd: float = 1, *, generator: Generator | None = None) -> Tensor:
    """Fills it with exponentially distributed values of rate ``lambd``."""
    if not lambd > 0:
        raise ArgumentError(f"exponential_: lambd must be positive, not {lambd}")
    dtype = _floating("exponential_", self)
    chosen = generator_for(self, generator)
    return _write(self, draw(chosen, draws.random_exponential, tuple(self.shape), float(lambd), dtype))


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


for _method in (uniform_, normal_, bernoulli_, exponential_, random_):
    _method.__qualname__ = f"Tensor.{_method.__name__}"
    setattr(Tensor, _method.__name__, _method)
