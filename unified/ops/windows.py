"""Windows for signals: each a function of a length and of shape parameters, computed in 64 bits and rounded once.

Those of ``torch.signal.windows`` are symmetric unless ``sym=False``, and found under ``un.signal.windows``; the older
``..._window`` ones are periodic, which is ``sym=False``, unless told otherwise.
"""

# ruff: noqa: N803  (PyTorch's keyword for the length is M)
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from unified._default import default_dtype
from unified._device import device as Device
from unified._dispatch import front
from unified._dtype import DType, float32, float64
from unified._selection import current_backend
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError, ShapeError
from unified.ops.creation import from_host

__all__ = ["bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window"]

Place = Device | str | None
_NUTTALL = (0.3635819, 0.4891775, 0.1365995, 0.0106411)
_BLACKMAN = (0.42, 0.5, 0.08)


def _length(name: str, M: Any) -> int:
    if not isinstance(M, int) or M < 0:
        raise ShapeError(f"{name}: the length must be an int that is not negative, but it is {M!r}")
    return M


def _made(values: Any, dtype: DType | None, device: Place, requires_grad: bool) -> Tensor:
    window = from_host(current_backend(), values, dtype or default_dtype(), device)
    return window.requires_grad_() if requires_grad else window


def _window(name: str, values: Any, dtype: DType | None, device: Place, requires_grad: bool) -> Tensor:
    if dtype not in (None, float32, float64):
        raise DTypeError(f"{name}: dtype must be float32 or float64, not {dtype.name}")
    return _made(values, dtype, device, requires_grad)


def _period(M: int, sym: bool) -> int:
    """The distance from the first sample to the one that would repeat it."""
    return max(M - 1 if sym and M > 1 else M, 1)


def _middle(M: int, sym: bool) -> float:
    return _period(M, sym) / 2 if M > 1 else 0.0


def _cosines(M: int, a: Sequence[float], sym: bool) -> Any:
    if M == 1:
        return np.ones(1)
    angle = np.arange(M) * (2 * math.pi / _period(M, sym))
    return sum((-1) ** order * weight * np.cos(order * angle) for order, weight in enumerate(a))


def _triangle(M: int, sym: bool) -> Any:
    return np.ones(1) if M == 1 else 1 - np.abs(np.arange(M) * (2 / _period(M, sym)) - 1)


def _bessel(M: int, beta: float, sym: bool) -> Any:
    if M == 1:
        return np.ones(1)
    place = np.arange(M) * (2 / _period(M, sym)) - 1
    return np.i0(beta * np.sqrt(np.maximum(1 - place * place, 0))) / np.i0(beta)


# ---- torch.signal.windows ----------------------------------------------------------------------------------------


def general_cosine(
    M: int, *, a: Sequence[float], sym: bool = True, dtype: DType | None = None, device: Place = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """The sum over i of ``(-1) ** i * a[i] * cos(2 * pi * i * n / (M - 1))``, with M instead of M - 1 unless ``sym``.

    Raises:
        ArgumentError: ``a`` is no list or tuple, or empty.
        ShapeError, DTypeError: the length is negative, or dtype neither float32 nor float64; so for all windows.
    """
    if not isinstance(a, (list, tuple)) or not a:
        raise ArgumentError(f"general_cosine: a must be a list or tuple of at least one number, not {a!r}")
    return _window("general_cosine", _cosines(_length("general_cosine", M), a, sym), dtype, device, requires_grad)


def general_hamming(
    M: int, *, alpha: float = 0.54, sym: bool = True, dtype: DType | None = None, device: Place = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``alpha - (1 - alpha) * cos(2 * pi * n / (M - 1))``."""
    weights = (alpha, 1 - alpha)
    return general_cosine(M, a=weights, sym=sym, dtype=dtype, device=device, requires_grad=requires_grad)


def hamming(
    M: int, *, sym: bool = True, dtype: DType | None = None, device: Place = None, requires_grad: bool = False
) -> Tensor:
    """:func:`general_hamming` of 0.54. Example: ``hamming(3) -> [0.08, 1., 0.08]``."""
    return general_hamming(M, sym=sym, dtype=dtype, device=device, requires_grad=requires_grad)


def hann(
    M: int, *, sym: bool = True, dtype: DType | None = None, device: Place = None, requires_grad: bool = False
) -> Tensor:
    """:func:`general_hamming` of 0.5. Example: ``hann(3) -> [0., 1., 0.]``."""
    return general_hamming(M, alpha=0.5, sym=sym, dtype=dtype, device=device, requires_grad=requires_grad)


def blackman(
    M: int, *, sym: bool = True, dtype: DType | None = None, device: Place = None, requires_grad: bool = False
) -> Tensor:
    """:func:`general_cosine` of ``(0.42, 0.5, 0.08)``."""
    return general_cosine(M, a=_BLACKMAN, sym=sym, dtype=dtype, device=device, requires_grad=requires_grad)


def nuttall(
    M: int, *, sym: bool = True, dtype: DType | None = None, device: Place = None, requires_grad: bool = False
) -> Tensor:
    """:func:`general_cosine` of Nuttall's minimal four terms, ``(0.3635819, 0.4891775, 0.1365995, 0.0106411)``."""
    return general_cosine(M, a=_NUTTALL, sym=sym, dtype=dtype, device=device, requires_grad=requires_grad)


def bartlett(
    M: int, *, sym: bool = True, dtype: DType | None = None, device: Place = None, requires_grad: bool = False
) -> Tensor:
    """A triangle from 0 up to 1 and down to 0. Example: ``bartlett(5) -> [0., 0.5, 1., 0.5, 0.]``."""
    return _window("bartlett", _triangle(_length("bartlett", M), sym), dtype, device, requires_grad)


def cosine(
    M: int, *, sym: bool = True, dtype: DType | None = None, device: Place = None, requires_grad: bool = False
) -> Tensor:
    """``sin(pi * (n + 0.5) / M)``, with M + 1 instead of M unless ``sym``."""
    place = np.arange(_length("cosine", M)) + 0.5
    values = np.sin(place * (math.pi / max(M if sym or M == 1 else M + 1, 1)))
    return _window("cosine", values, dtype, device, requires_grad)


def exponential(
    M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, dtype: DType | None = None,
    device: Place = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``exp(-abs(n - center) / tau)``; the center is the middle unless ``sym=False`` and one is given.

    Raises:
        ArgumentError: ``tau`` is not positive, or a symmetric window is given a center.
    """
    if not tau > 0:
        raise ArgumentError(f"exponential: tau must be positive, not {tau}")
    if sym and center is not None:
        raise ArgumentError("exponential: center must be None for a symmetric window; pass sym=False")
    place = np.arange(_length("exponential", M)) - (_middle(M, sym) if center is None else center)
    return _window("exponential", np.exp(-np.abs(place) / tau), dtype, device, requires_grad)


def gaussian(
    M: int, *, std: float = 1.0, sym: bool = True, dtype: DType | None = None, device: Place = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``exp(-((n - middle) / std) ** 2 / 2)``.

    Raises:
        ArgumentError: ``std`` is not positive.
    """
    if not std > 0:
        raise ArgumentError(f"gaussian: std must be positive, not {std}")
    place = np.arange(_length("gaussian", M)) - _middle(M, sym)
    values = np.exp(-((place / std) ** 2) / 2)
    return _window("gaussian", values, dtype, device, requires_grad)


def kaiser(
    M: int, *, beta: float = 12.0, sym: bool = True, dtype: DType | None = None, device: Place = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``i0(beta * sqrt(1 - x ** 2)) / i0(beta)`` for x evenly spaced from -1 to 1.

    Raises:
        ArgumentError: ``beta`` is negative.
    """
    if beta < 0:
        raise ArgumentError(f"kaiser: beta must not be negative, but it is {beta}")
    return _window("kaiser", _bessel(_length("kaiser", M), beta, sym), dtype, device, requires_grad)


# ---- the older names ---------------------------------------------------------------------------------------------


def _older(name: str, values: Any, dtype: DType | None, device: Place, requires_grad: bool) -> Tensor:
    if dtype is not None and not dtype.is_floating_point:
        raise DTypeError(f"{name}: dtype must be a floating one, not {dtype.name}")
    return _made(values, dtype, device, requires_grad)


@front()
def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *,
    dtype: DType | None = None, device: Place = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``alpha - beta * cos(2 * pi * n / window_length)``; symmetric with ``periodic=False``."""
    values = _cosines(_length("hamming_window", window_length), (alpha, beta), not periodic)
    return _older("hamming_window", values, dtype, device, requires_grad)


@front()
def hann_window(
    window_length: int, periodic: bool = True, *, dtype: DType | None = None, device: Place = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``sin(pi * n / window_length) ** 2``; symmetric with ``periodic=False``."""
    values = _cosines(_length("hann_window", window_length), (0.5, 0.5), not periodic)
    return _older("hann_window", values, dtype, device, requires_grad)


@front()
def blackman_window(
    window_length: int, periodic: bool = True, *, dtype: DType | None = None, device: Place = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """As :func:`blackman`; symmetric with ``periodic=False``."""
    values = _cosines(_length("blackman_window", window_length), _BLACKMAN, not periodic)
    return _older("blackman_window", values, dtype, device, requires_grad)


@front()
def bartlett_window(
    window_length: int, periodic: bool = True, *, dtype: DType | None = None, device: Place = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """As :func:`bartlett`; symmetric with ``periodic=False``."""
    values = _triangle(_length("bartlett_window", window_length), not periodic)
    return _older("bartlett_window", values, dtype, device, requires_grad)


@front()
def kaiser_window(
    window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: DType | None = None,
    device: Place = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """As :func:`kaiser`; symmetric with ``periodic=False``."""
    values = _bessel(_length("kaiser_window", window_length), beta, not periodic)
    return _older("kaiser_window", values, dtype, device, requires_grad)
