"""Initial values of parameters, by PyTorch's formulas. Each function overwrites its Tensor, records nothing, and
returns it; ``generator=`` draws from a generator of your own.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from unified._dispatch import backends_by_type, wrap
from unified._tensor import Tensor
from unified.autograd.grad_mode import no_grad
from unified.errors import ArgumentError, ShapeError
from unified.ops.creation import full_like
from unified.random.draws import random_truncated
from unified.random.generator import Generator
from unified.random.sampling import draw, generator_for

_GAINS = {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}
_LINEAR = frozenset({
    "linear", "sigmoid", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
})  # fmt: skip


class _Skipping(threading.local):
    skips = False


_skipping = _Skipping()


@contextlib.contextmanager
def skipped() -> Iterator[None]:
    """Within, the functions of this module leave their Tensors as they are."""
    before, _skipping.skips = _skipping.skips, True
    try:
        yield
    finally:
        _skipping.skips = before


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through a nonlinearity; ``param`` is leaky_relu's slope.

    Example: ``calculate_gain("relu")`` is ``sqrt(2)``.

    Raises:
        ArgumentError: an unknown nonlinearity.
    """
    if nonlinearity in _LINEAR:
        return 1.0
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else float(param)
        return math.sqrt(2.0 / (1.0 + slope**2))
    if nonlinearity not in _GAINS:
        known = sorted({*_GAINS, *_LINEAR, "leaky_relu"})
        raise ArgumentError(f"calculate_gain: unknown nonlinearity {nonlinearity!r}; known are {known}")
    return _GAINS[nonlinearity]


def fans(tensor: Tensor) -> tuple[int, int]:
    """How many inputs reach an output, and the converse, of a weight ``(out, in, *kernel)``.

    Raises:
        ShapeError: fewer than two dimensions.
    """
    shape = tensor.shape
    if len(shape) < 2:
        raise ShapeError(f"fan in and fan out need a weight of at least 2 dimensions, not {tuple(shape)}")
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _overwrite(tensor: Tensor, value: Tensor) -> Tensor:
    if _skipping.skips:
        return tensor
    with no_grad():
        return tensor._assign(value)


def _from_host(tensor: Tensor, values: np.ndarray[Any, Any]) -> Tensor:
    backend = backends_by_type[type(tensor._native)]
    return _overwrite(tensor, wrap(backend.from_numpy(values, tensor.dtype, tensor.device)))


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform in ``[a, b)``."""
    if _skipping.skips:
        return tensor
    with no_grad():
        filled: Tensor = tensor.uniform_(a, b, generator=generator)
    return filled


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with mean ``mean`` and standard deviation ``std``."""
    if _skipping.skips:
        return tensor
    with no_grad():
        filled: Tensor = tensor.normal_(mean, std, generator=generator)
    return filled


def constant_(tensor: Tensor, val: float) -> Tensor:
    """``val`` everywhere."""
    return _overwrite(tensor, full_like(tensor, val))


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity, of a matrix.

    Raises:
        ShapeError: it is no matrix.
    """
    if tensor.ndim != 2:
        raise ShapeError(f"eye_ takes a matrix, not {tuple(tensor.shape)}")
    return _from_host(tensor, np.eye(*tensor.shape))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """The identity of a convolution with weight ``(out, in / groups, *kernel)``: its centre tap passes channels on.

    Raises:
        ShapeError: not 3 to 5 dimensions, or output channels that ``groups`` does not divide.
    """
    shape = tensor.shape
    if len(shape) not in (3, 4, 5) or shape[0] % groups:
        raise ShapeError(f"dirac_ takes (out, in, *kernel) with out divisible by groups={groups}, not {tuple(shape)}")
    values = np.zeros(shape)
    rows = shape[0] // groups
    centre = tuple(length // 2 for length in shape[2:])
    for group in range(groups):
        for channel in range(min(rows, shape[1])):
            values[(group * rows + channel, channel, *centre)] = 1.0
    return _from_host(tensor, values)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform within ``gain * sqrt(6 / (fan_in + fan_out))`` of 0 (Glorot and Bengio, AISTATS 2010)."""
    bound = math.sqrt(3.0) * gain * math.sqrt(2.0 / sum(fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with deviation ``gain * sqrt(2 / (fan_in + fan_out))`` (Glorot and Bengio, AISTATS 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(fans(tensor))), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(f"mode must be 'fan_in' or 'fan_out', not {mode!r}")
    fan = fans(tensor)[0 if mode == "fan_in" else 1]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Uniform within ``gain * sqrt(3 / fan)`` of 0 (He et al., ICCV 2015); ``a`` is leaky_relu's slope.

    Raises:
        ArgumentError: an unknown mode or nonlinearity.
    """
    if 0 in tensor.shape:
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Normal with deviation ``gain / sqrt(fan)`` (He et al., ICCV 2015); ``a`` is leaky_relu's slope.

    Raises:
        ArgumentError: an unknown mode or nonlinearity.
    """
    if 0 in tensor.shape:
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Normal, with the tails outside ``[a, b]`` cut off and spread over the rest.

    Draws uniformly between the distribution's values at the bounds and inverts it in float64.

    Raises:
        ArgumentError: ``a`` lies above ``b``, or ``std`` is not positive.
    """
    if not a <= b or not std > 0:
        raise ArgumentError(f"trunc_normal_: needs a <= b and std > 0, not a={a}, b={b}, std={std}")
    if _skipping.skips:
        return tensor
    low, high = (float(np.float32(math.erf((bound - mean) / (std * math.sqrt(2.0))))) for bound in (a, b))
    source = generator_for(tensor, generator)
    with no_grad():
        standard = draw(source, random_truncated, tuple(tensor.shape), low, high - low, tensor.dtype)
        return tensor._assign((standard * std + mean).clamp(a, b).to(device=tensor.device))


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """A random (semi-)orthogonal matrix of rows ``(out, in * kernel)`` (Saxe et al., ICLR 2014), times ``gain``.

    The decomposition runs on the host in float64, so that every backend gets the same matrix.

    Raises:
        ShapeError: fewer than two dimensions.
    """
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_ takes at least 2 dimensions, not {tuple(tensor.shape)}")
    if tensor.numel() == 0 or _skipping.skips:
        return tensor
    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    with no_grad():
        drawn = tensor.detach().normal_(generator=generator)
    matrix = np.asarray(drawn.numpy(), dtype=np.float64).reshape(rows, columns)
    q, r = np.linalg.qr(matrix if rows >= columns else matrix.T)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return _from_host(tensor, (gain * (q if rows >= columns else q.T)).reshape(tensor.shape))
