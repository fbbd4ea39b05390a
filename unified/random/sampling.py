"""Random Tensors: the same numbers from the same seed on every backend, device and path."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unified._default import default_dtype
from unified._device import current_device
from unified._device import device as Device
from unified._dispatch import composite, front, tracing
from unified._dtype import DType, Number, bfloat16, complex64, complex128, float16, float32, float64, int32, int64
from unified._levels import active
from unified._tensor import Tensor
from unified.errors import ArgumentError, BackendMismatchError, DTypeError, ShapeError
from unified.ops.elementwise import add, isfinite
from unified.random import draws
from unified.random.batches import draw_within
from unified.random.generator import Generator, default_generator

Place = Device | str | None
_PARTS = {complex64: float32, complex128: float64}
_FLOATS = (float32, float64, float16, bfloat16, *_PARTS)


def draw(generator: Generator, op: Callable[..., Any], *args: Any) -> Tensor:
    """One draw: ``op(state, *args)``'s values; its new state becomes the generator's."""

    def sample(op: Callable[..., Any], *args: Any) -> Tensor:
        chosen = draws.NATIVE.get(op, op) if generator.impl == "native" else op
        values, after = chosen(generator.state, *args)
        generator.state._assign(after)
        result: Tensor = values
        return result

    return draw_within(generator.state, sample, op, args) if active() else sample(op, *args)


def generator_for(tensor: Tensor, generator: Generator | None) -> Generator:
    """``generator``, or the default one of the Tensor's backend.

    Raises:
        BackendMismatchError: ``generator`` draws on another backend.
    """
    if generator is None:
        return default_generator(tensor.backend)
    if generator.backend != tensor.backend:
        raise BackendMismatchError(
            f"the generator draws on {generator.backend}, the Tensor lives on {tensor.backend}; "
            f"make one with un.Generator(seed, backend={tensor.backend!r})"
        )
    return generator


def uniform_values(generator: Generator, size: tuple[int, ...], low: Number, high: Number, dtype: DType) -> Tensor:
    """Uniform in [low, high) (up to the rounding of ``high``).

    The bounds are rounded to float32 first: then ``span * u`` is exact in float64, and whether a compiler fuses the
    multiplication with the addition changes no bit.
    """
    if dtype.is_complex:
        return _complex(uniform_values(generator, (*size, 2), low, high, _PARTS[dtype]))
    low, high = float(low), float(high)  # type: ignore[arg-type]
    if not low <= high:
        raise ArgumentError(f"uniform: low must not exceed high, but {low} > {high}")
    if dtype is float64:
        unit = draw(generator, draws.random_uniform, size, 0.0, 1.0, dtype)
        return unit if (low, high) == (0.0, 1.0) else unit * (high - low) + low
    return draw(generator, draws.random_uniform, size, _single(low), _single(high - low), dtype)


def normal_values(generator: Generator, size: tuple[int, ...], mean: Number, std: Number, dtype: DType) -> Tensor:
    """Normal with mean ``mean`` and standard deviation ``std``, to which both parts of a complex one contribute."""
    if dtype.is_complex:
        spread = float(std) * math.sqrt(0.5)  # type: ignore[arg-type]
        return _complex(normal_values(generator, (*size, 2), 0.0, spread, _PARTS[dtype])) + mean
    mean, std = float(mean), float(std)  # type: ignore[arg-type]
    if std < 0:
        raise ArgumentError(f"normal: std must not be negative, but it is {std}")
    if dtype is float64:
        standard = draw(generator, draws.random_normal, size, 0.0, 1.0, dtype)
        return standard if (mean, std) == (0.0, 1.0) else standard * std + mean
    return draw(generator, draws.random_normal, size, _single(mean), _single(std), dtype)


def integer_values(generator: Generator, size: tuple[int, ...], low: int, high: int, dtype: DType) -> Tensor:
    """Integers in ``[low, high)``: word times span, upper half (bias at most span / 2**32)."""
    if dtype.kind == "b" or dtype.is_complex:
        raise DTypeError(f"randint: dtype must be an integer or floating one, not {dtype.name}")
    span = high - low
    if not 0 < span <= 2**32:
        raise ArgumentError(f"randint: high - low must lie in [1, 2**32], but low is {low} and high is {high}")
    if dtype is not int64 and not (low >= -(2**31) and high <= 2**31):
        raise ArgumentError(f"randint: [{low}, {high}) does not fit 32 bits; pass dtype=un.int64")
    last = span - 1
    return draw(generator, draws.random_integers, size, low, last if last < 2**31 else last - 2**32, dtype)


def _complex(parts: Tensor) -> Tensor:
    """Complex numbers of the pairs in the last dimension."""
    joined: Tensor = parts[..., 0] + parts[..., 1] * 1j
    return joined


def _single(value: float) -> float:
    return float(np.float32(value))


def floating(name: str, dtype: DType | None) -> DType:
    """The dtype of a draw, the default unless told; raises DTypeError where it is neither floating nor complex."""
    if dtype is None:
        return default_dtype()
    if dtype not in _FLOATS:
        raise DTypeError(f"{name}: dtype must be a floating or complex one, not {dtype.name}")
    return dtype


def sized(name: str, size: Sequence[Any]) -> tuple[int, ...]:
    """``(2, 3)`` out of both spellings; raises ShapeError for a negative length."""
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = size[0]
    lengths = tuple(int(length) for length in size)
    if any(length < 0 for length in lengths):
        raise ShapeError(f"{name}: a shape has no negative lengths, but {lengths} was asked for")
    return lengths


def finish(values: Tensor, device: Place, requires_grad: bool) -> Tensor:
    """The values on their device, as a leaf that requires grad if it is to."""
    place = current_device() if device is None else device
    if place is not None:
        values = values.to(device=place)
    return values.requires_grad_() if requires_grad else values


@front()
def rand(
    *size: int | Sequence[int], generator: Generator | None = None, dtype: DType | None = None,
    device: Place = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Uniform in [0, 1). Example: ``rand(2, 3)`` has shape (2, 3)."""
    chosen = generator or default_generator()
    values = uniform_values(chosen, sized("rand", size), 0.0, 1.0, floating("rand", dtype))
    return finish(values, device, requires_grad)


@front()
def randn(
    *size: int | Sequence[int], generator: Generator | None = None, dtype: DType | None = None,
    device: Place = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Standard normal. Example: ``randn(2, 3)`` has shape (2, 3)."""
    chosen = generator or default_generator()
    values = normal_values(chosen, sized("randn", size), 0.0, 1.0, floating("randn", dtype))
    return finish(values, device, requires_grad)


@front()
def randint(
    low: int, high: int | Sequence[int] | None = None, size: Sequence[int] | None = None, *,
    generator: Generator | None = None, dtype: DType | None = None, device: Place = None,
) -> Tensor:  # fmt: skip
    """Integers in ``[low, high)``, or in ``[0, low)``: ``randint(10, (3,))``, ``randint(3, 7, (2, 2))``.

    Returns:
        int32 unless ``dtype`` says otherwise.

    Raises:
        ArgumentError: the range is empty, wider than 2**32, or does not fit the dtype.
    """
    if isinstance(high, (tuple, list)):
        high, size = None, high
    if size is None:
        raise ArgumentError("randint: a size is needed, as in randint(10, (3,)) or randint(3, 7, (2, 2))")
    first, last = (low, int(high)) if isinstance(high, int) else (0, low)
    chosen = generator or default_generator()
    values = integer_values(chosen, sized("randint", size), first, last, dtype or int32)
    return finish(values, device, False)


@front()
def randperm(
    n: int, *, generator: Generator | None = None, dtype: DType | None = None, device: Place = None
) -> Tensor:
    """The integers below ``n`` in random order, int32 by default. Example: ``randperm(3) -> [2, 0, 1]``."""
    if n < 0:
        raise ArgumentError(f"randperm: n must not be negative, but it is {n}")
    return finish(draw(generator or default_generator(), draws.random_permutation, n, dtype or int32), device, False)


@front()
def rand_like(
    input: Tensor, *, generator: Generator | None = None, dtype: DType | None = None, device: Place = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Uniform in [0, 1), with the shape and, unless told otherwise, dtype and device of ``input``."""
    kind = floating("rand_like", dtype or input.dtype)
    values = uniform_values(generator_for(input, generator), tuple(input.shape), 0.0, 1.0, kind)
    return finish(values, device or input.device, requires_grad)


@front()
def randn_like(
    input: Tensor, *, generator: Generator | None = None, dtype: DType | None = None, device: Place = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Standard normal, with the shape and, unless told otherwise, dtype and device of ``input``."""
    kind = floating("randn_like", dtype or input.dtype)
    values = normal_values(generator_for(input, generator), tuple(input.shape), 0.0, 1.0, kind)
    return finish(values, device or input.device, requires_grad)


@front()
def randint_like(
    input: Tensor, low: int, high: int | None = None, *, generator: Generator | None = None,
    dtype: DType | None = None, device: Place = None,
) -> Tensor:  # fmt: skip
    """Integers in ``[low, high)``, or in ``[0, low)``, with the shape, dtype and device of ``input``."""
    low, high = (0, low) if high is None else (low, high)
    values = integer_values(generator_for(input, generator), tuple(input.shape), low, high, dtype or input.dtype)
    return finish(values, device or input.device, False)


@front()
def normal(
    mean: Tensor | Number, std: Tensor | Number = 1.0, size: Sequence[int] | None = None, *,
    generator: Generator | None = None, dtype: DType | None = None, device: Place = None,
) -> Tensor:  # fmt: skip
    """Normal around ``mean`` with deviation ``std``: numbers and a ``size``, or Tensors that broadcast.

    Example: ``normal(0.0, 0.02, (2, 3))``; ``normal(un.zeros(3), un.ones(3))``.

    Raises:
        ArgumentError: neither Tensors nor a size were given.
    """
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        if size is None:
            raise ArgumentError("normal: a size is needed where mean and std are numbers")
        chosen = generator or default_generator()
        kind = floating("normal", dtype)
        values = normal_values(chosen, sized("normal", size), mean, std, kind)
        return finish(values, device, False)
    pattern: Tensor = add(mean, std).detach()
    return randn_like(pattern, generator=generator) * std + mean


@front()
def bernoulli(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that ``input`` has in the same place, else 0, in the dtype of ``input``.

    The gradient is 0.

    Raises:
        DTypeError: ``input`` is not floating point.
    """
    _probabilities("bernoulli", input)
    return draw(generator_for(input, generator), draws.random_bernoulli, input)


def _probabilities(name: str, input: Tensor) -> None:
    if not input.dtype.is_floating_point:
        raise DTypeError(f"{name}: probabilities must be floating point, not {input.dtype.name}")


def bernoulli_mask(size: Sequence[int], p: float, like: Tensor, generator: Generator | None = None) -> Tensor:
    """1 with probability ``p``, else 0, of shape ``size``, in the dtype and on the backend of ``like``.

    ``p`` is rounded to a multiple of 2**-24 and compared in integers, so that masks are equal on every backend.

    Raises:
        ArgumentError: ``p`` is not a probability.
    """
    threshold = _threshold(p)
    return draw(generator_for(like, generator), draws.random_mask, like.detach(), tuple(size), threshold)


def _threshold(p: float) -> int:
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"p must be a probability in [0, 1], not {p}")
    return math.floor(p * 2**24 + 0.5)


@composite(name="are_weights")
def _are_weights(input: Tensor) -> Tensor:
    """Whether all are finite and not negative, and one of each row is above 0."""
    fit: Tensor = ((input >= 0) & isfinite(input)).all() & (input > 0).any(-1).all()
    return fit


@front()
def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Indices (int32) drawn in proportion to ``input``, which need not sum to 1.

    Args:
        input: weights, ``(categories)`` or ``(rows, categories)``, not negative.
        num_samples: how many for each row.
        replacement: whether a category may come twice.

    Returns:
        ``(num_samples)`` or ``(rows, num_samples)``.

    Raises:
        ShapeError, DTypeError, ArgumentError: the weights or ``num_samples`` do not fit.
    """
    shape = tuple(input.shape)
    if shape and shape[-1] > 2**24:
        raise ShapeError(f"multinomial: {shape[-1]} categories are more than 2**24")
    if len(shape) not in (1, 2) or 0 in shape:
        raise ShapeError(f"multinomial: weights must have 1 or 2 dimensions, none of them empty, not {shape}")
    _probabilities("multinomial", input)
    if num_samples < 1:
        raise ArgumentError(f"multinomial: num_samples must be at least 1, not {num_samples}")
    if not replacement and num_samples > shape[-1]:
        raise ArgumentError(f"multinomial: {num_samples} samples of {shape[-1]} categories need replacement=True")
    if tracing() is None and not active() and not _are_weights(input.detach()).item():
        raise ArgumentError("multinomial: weights must be finite and not negative, and each row needs a positive one")
    chosen = generator_for(input, generator)
    return draw(chosen, draws.random_multinomial, input.detach(), num_samples, bool(replacement))
