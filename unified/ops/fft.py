"""Discrete Fourier transforms.

``n`` and ``s`` are lengths of the signal: a longer input is cut, a shorter one gets zeros. ``norm`` says where the
factor goes: "backward" (default) divides inverse transforms by the length, "forward" divides forward transforms,
"ortho" divides both by its root. "Halved" spectra, of real signals, hold the frequencies 0 to ``n // 2`` of the last
dimension, the others being their conjugates. Integers are taken as float32, 16-bit floats too.

Everywhere: ArgumentError for an unknown ``norm``, a length below 1, a dimension named twice or not as many lengths as
dimensions; IndexOutOfRangeError for a dimension that is not there; DTypeError where a signal must be real.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unified._default import default_dtype
from unified._device import device as Device
from unified._dispatch import composite, front, op
from unified._dtype import DType
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError, IndexOutOfRangeError
from unified.ops import _axes
from unified.ops.creation import tensor
from unified.ops.shape import roll

__all__: list[str] = []

Dims = int | Sequence[int] | None


# ---- the transforms behind all names ---------------------------------------------------------------------------


@op(name="fft_c2c")
def c2c(input: Tensor, s: tuple[int, ...], dim: tuple[int, ...], norm: str, inverse: bool) -> Tensor:
    """Complex signal to complex spectrum over ``dim``, or back."""


@op(name="fft_r2c")
def r2c(input: Tensor, s: tuple[int, ...], dim: tuple[int, ...], norm: str, inverse: bool) -> Tensor:
    """Real signal to halved spectrum over ``dim``; ``inverse`` if the signal counts as a spectrum (ihfft)."""


@op(name="fft_c2r")
def c2r(input: Tensor, s: tuple[int, ...], dim: tuple[int, ...], norm: str, inverse: bool) -> Tensor:
    """Halved spectrum to real signal over ``dim``; not ``inverse`` if the spectrum counts as a signal (hfft)."""


def _plan(
    name: str, input: Tensor, s: Sequence[int] | None, dim: Dims, norm: str | None, halved: bool = False
) -> tuple[tuple[int, ...], tuple[int, ...], str]:
    """Lengths of the signal and dimensions, none left open, and the norm. ``halved``: the input is a half."""
    shape = input.shape
    rank = len(shape)
    if dim is None:
        first = 0 if s is None else rank - len(s)
        if first < 0:
            raise ArgumentError(f"fft.{name}: got {len(s or ())} lengths for a tensor of {rank} dimensions")
        dim = range(first, rank)
    listed = (dim,) if isinstance(dim, int) else tuple(dim)
    if listed and not rank:
        raise IndexOutOfRangeError(f"fft.{name}: dim {listed} of a tensor that has no dimensions")
    dims = _axes.axes(listed, shape)
    if s is None:
        s = (-1,) * len(dims)
    if len(s) != len(dims):
        raise ArgumentError(f"fft.{name}: got {len(s)} lengths for {len(dims)} dimensions")
    held = [shape[index] for index in dims]
    if halved and held:
        held[-1] = 2 * (held[-1] - 1)
    lengths = tuple(have if want == -1 else int(want) for want, have in zip(s, held, strict=True))
    if lengths and min(lengths) < 1:
        raise ArgumentError(f"fft.{name}: a signal has at least one element, but the lengths are {lengths}")
    if norm not in (None, "backward", "forward", "ortho"):
        raise ArgumentError(f"fft.{name}: norm must be 'backward', 'forward' or 'ortho', not {norm!r}")
    return lengths, dims, norm or "backward"


def _complex(name: str, input: Tensor, s: Sequence[int] | None, dim: Dims, norm: str | None, inverse: bool) -> Tensor:
    return c2c(input, *_plan(name, input, s, dim, norm), inverse)


def _from_real(
    name: str, input: Tensor, s: Sequence[int] | None, dim: Dims, norm: str | None, inverse: bool
) -> Tensor:
    if input.dtype.is_complex:
        raise DTypeError(f"fft.{name}: the signal must be real, not {input.dtype.name}")
    plan = _plan(name, input, s, dim, norm)
    _some(name, plan[1])
    return r2c(input, *plan, inverse)


def _to_real(name: str, input: Tensor, s: Sequence[int] | None, dim: Dims, norm: str | None, inverse: bool) -> Tensor:
    plan = _plan(name, input, s, dim, norm, halved=True)
    _some(name, plan[1])
    return c2r(input, *plan, inverse)


def _some(name: str, dims: tuple[int, ...]) -> None:
    if not dims:
        raise ArgumentError(f"fft.{name}: needs at least one dimension to transform")


def _one(n: int | None) -> tuple[int, ...] | None:
    if n is not None and n < 1:
        raise ArgumentError(f"a signal has at least one element, not n={n}")
    return None if n is None else (n,)


# ---- one dimension ---------------------------------------------------------------------------------------------


@front()
def fft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """Spectrum ``X[k] = sum_j x[j] exp(-2 pi i j k / n)``. Example: ``fft([1., 0.]) -> [1.+0.j, 1.+0.j]``."""
    return _complex("fft", input, _one(n), dim, norm, False)


@front()
def ifft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """Inverse of :func:`fft`."""
    return _complex("ifft", input, _one(n), dim, norm, True)


@front()
def rfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """Halved spectrum of a real signal: ``n`` elements to ``n // 2 + 1``."""
    return _from_real("rfft", input, _one(n), dim, norm, False)


@front()
def irfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """Real signal of ``n`` elements (``2 (m - 1)`` for ``m`` frequencies by default): inverse of :func:`rfft`."""
    return _to_real("irfft", input, _one(n), dim, norm, True)


@front()
def hfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """Real spectrum of ``n`` frequencies of a Hermitian signal, of which one half is given."""
    return _to_real("hfft", input, _one(n), dim, norm, False)


@front()
def ihfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """One half of the Hermitian signal with this real spectrum: inverse of :func:`hfft`."""
    return _from_real("ihfft", input, _one(n), dim, norm, True)


# ---- two dimensions --------------------------------------------------------------------------------------------


@front()
def fft2(input: Tensor, s: Sequence[int] | None = None, dim: Dims = (-2, -1), norm: str | None = None) -> Tensor:
    """:func:`fft` over two dimensions, by default the last."""
    return _complex("fft2", input, s, dim, norm, False)


@front()
def ifft2(input: Tensor, s: Sequence[int] | None = None, dim: Dims = (-2, -1), norm: str | None = None) -> Tensor:
    """Inverse of :func:`fft2`."""
    return _complex("ifft2", input, s, dim, norm, True)


@front()
def rfft2(input: Tensor, s: Sequence[int] | None = None, dim: Dims = (-2, -1), norm: str | None = None) -> Tensor:
    """Spectrum of a real signal over two dimensions, halved in the last of them."""
    return _from_real("rfft2", input, s, dim, norm, False)


@front()
def irfft2(input: Tensor, s: Sequence[int] | None = None, dim: Dims = (-2, -1), norm: str | None = None) -> Tensor:
    """Inverse of :func:`rfft2`."""
    return _to_real("irfft2", input, s, dim, norm, True)


@front()
def hfft2(input: Tensor, s: Sequence[int] | None = None, dim: Dims = (-2, -1), norm: str | None = None) -> Tensor:
    """Real spectrum of a Hermitian signal over two dimensions, of whose last one half is given."""
    return _to_real("hfft2", input, s, dim, norm, False)


@front()
def ihfft2(input: Tensor, s: Sequence[int] | None = None, dim: Dims = (-2, -1), norm: str | None = None) -> Tensor:
    """Inverse of :func:`hfft2`."""
    return _from_real("ihfft2", input, s, dim, norm, True)


# ---- any dimensions --------------------------------------------------------------------------------------------


@front()
def fftn(input: Tensor, s: Sequence[int] | None = None, dim: Dims = None, norm: str | None = None) -> Tensor:
    """:func:`fft` over several dimensions: all of them, or the last ``len(s)``, by default."""
    return _complex("fftn", input, s, dim, norm, False)


@front()
def ifftn(input: Tensor, s: Sequence[int] | None = None, dim: Dims = None, norm: str | None = None) -> Tensor:
    """Inverse of :func:`fftn`."""
    return _complex("ifftn", input, s, dim, norm, True)


@front()
def rfftn(input: Tensor, s: Sequence[int] | None = None, dim: Dims = None, norm: str | None = None) -> Tensor:
    """Spectrum of a real signal over several dimensions, halved in the last of them."""
    return _from_real("rfftn", input, s, dim, norm, False)


@front()
def irfftn(input: Tensor, s: Sequence[int] | None = None, dim: Dims = None, norm: str | None = None) -> Tensor:
    """Inverse of :func:`rfftn`."""
    return _to_real("irfftn", input, s, dim, norm, True)


@front()
def hfftn(input: Tensor, s: Sequence[int] | None = None, dim: Dims = None, norm: str | None = None) -> Tensor:
    """Real spectrum of a Hermitian signal over several dimensions, of whose last one half is given."""
    return _to_real("hfftn", input, s, dim, norm, False)


@front()
def ihfftn(input: Tensor, s: Sequence[int] | None = None, dim: Dims = None, norm: str | None = None) -> Tensor:
    """Inverse of :func:`hfftn`."""
    return _from_real("ihfftn", input, s, dim, norm, True)


# ---- frequencies -----------------------------------------------------------------------------------------------


@front()
def fftfreq(
    n: int,
    d: float = 1.0,
    *,
    dtype: DType | None = None,
    device: Device | str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Frequencies of :func:`fft`'s elements, in cycles per unit of the sample spacing ``d``.

    Example: ``fftfreq(4) -> [0., 0.25, -0.5, -0.25]``.
    """
    values = np.fft.fftfreq(_count(n), d)
    return tensor(values, dtype=dtype or default_dtype(), device=device, requires_grad=requires_grad)


@front()
def rfftfreq(
    n: int,
    d: float = 1.0,
    *,
    dtype: DType | None = None,
    device: Device | str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Frequencies of :func:`rfft`'s elements, as :func:`fftfreq`. Example: ``rfftfreq(4) -> [0., 0.25, 0.5]``."""
    values = np.fft.rfftfreq(_count(n), d)
    return tensor(values, dtype=dtype or default_dtype(), device=device, requires_grad=requires_grad)


def _count(n: int) -> int:
    if n < 1:
        raise ArgumentError(f"a signal has at least one element, not n={n}")
    return n


def _shifted(input: Tensor, dim: Dims, backwards: bool) -> Tensor:
    dims = range(input.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    places = _axes.axes(tuple(dims), input.shape)
    halves = [(input.shape[index] + int(backwards)) // 2 for index in places]
    return roll(input, tuple(halves), places) if places else input


@composite(name="fft_fftshift")
def fftshift(input: Tensor, dim: Dims = None) -> Tensor:
    """A spectrum with frequency 0 moved to the middle. Example: ``[0, 1, -2, -1] -> [-2, -1, 0, 1]``."""
    return _shifted(input, dim, False)


@composite(name="fft_ifftshift")
def ifftshift(input: Tensor, dim: Dims = None) -> Tensor:
    """Inverse of :func:`fftshift`."""
    return _shifted(input, dim, True)
