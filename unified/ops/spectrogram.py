"""Spectra over time: the short-time Fourier transform and its inverse."""

from __future__ import annotations

from typing import Any

import numpy as np

from unified._dispatch import composite
from unified._dtype import int32
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError, ShapeError
from unified.ops import fft
from unified.ops.complex import view_as_real
from unified.ops.creation import new_ones, new_tensor, new_zeros
from unified.ops.elementwise import div, mul, square
from unified.ops.indexing import index_add, index_select
from unified.ops.shape import constant_pad, pad, reshape, split_lengths, transpose, unsqueeze

__all__ = ["istft", "stft"]


def _lengths(n_fft: int, hop_length: int | None, win_length: int | None) -> tuple[int, int]:
    """The hop and the window's length with PyTorch's defaults."""
    return n_fft // 4 if hop_length is None else hop_length, n_fft if win_length is None else win_length


def _windowed(n_fft: int, hop_length: int | None, win_length: int | None, window: Any) -> None:
    hop, width = _lengths(n_fft, hop_length, win_length)
    if hop <= 0:
        raise ArgumentError(f"hop_length must be positive, but is {hop}")
    if not 0 < width <= n_fft:
        raise ArgumentError(f"win_length must lie in [1, n_fft={n_fft}], but is {width}")
    if window is not None and tuple(window.shape) != (width,):
        raise ShapeError(f"window must have the shape ({width},) of win_length, not {tuple(window.shape)}")


def _analyses(
    input: Any,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Any = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> None:
    if len(input.shape) not in (1, 2):
        raise ShapeError(f"input must be one signal or a batch of them, not of shape {tuple(input.shape)}")
    if not input.dtype.is_inexact:
        raise DTypeError(f"input must be floating point or complex, not {input.dtype.name}")
    if center and align_to_window is not None:
        raise ArgumentError("align_to_window says where frames begin if center=False; leave one of them out")
    length = input.shape[-1] + (2 * (n_fft // 2) if center else 0)
    _windowed(n_fft, hop_length, win_length, window)
    needed = _lengths(n_fft, hop_length, win_length)[1] if align_to_window else n_fft
    if not 0 < needed <= length:
        raise ArgumentError(f"n_fft must lie in [1, {length}], the length of the signal, but is {n_fft}")
    complex_ = input.dtype.is_complex or (window is not None and window.dtype.is_complex)
    if complex_ and onesided:
        raise ArgumentError("the spectrum of a complex signal or window has two sides; pass onesided=False")
    if not complex_ and return_complex is None:
        raise ArgumentError("return_complex must be given for a real signal; pass return_complex=True")


def _synthesizes(
    input: Any,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Any = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> None:
    if not input.dtype.is_complex:
        raise DTypeError(f"input must be complex, as of stft(..., return_complex=True), not {input.dtype.name}")
    if len(input.shape) not in (2, 3) or not all(input.shape):
        raise ShapeError(f"input must be (frequencies, frames) or a batch of them, not {tuple(input.shape)}")
    _windowed(n_fft, hop_length, win_length, window)
    hop, width = _lengths(n_fft, hop_length, win_length)
    if hop > width:
        raise ArgumentError(f"frames {hop} apart leave gaps between windows of {width}")
    bins = input.shape[-2]
    halved = n_fft != bins if onesided is None else onesided
    if bins != (n_fft // 2 + 1 if halved else n_fft):
        raise ShapeError(f"{bins} frequencies are not those of n_fft={n_fft} with onesided={onesided}")
    if return_complex and halved:
        raise ArgumentError("a halved spectrum is that of a real signal; pass onesided=False or return_complex=False")
    if not return_complex and window is not None and window.dtype.is_complex:
        raise DTypeError("a complex window makes the signal complex; pass return_complex=True")


def _full_window(like: Tensor, window: Tensor | None, n_fft: int, width: int) -> Tensor:
    """The window in the middle of ``n_fft`` elements, the others 0; ones where none is given."""
    dtype = window.dtype if window is not None else like.dtype
    found = new_ones(like, (width,), dtype=dtype) if window is None else window
    left = (n_fft - width) // 2
    return constant_pad(found, (left, n_fft - width - left), 0) if width < n_fft else found


def _places(frames: int, hop: int, n_fft: int) -> np.ndarray[Any, Any]:
    """Where each element of each frame is in the signal."""
    return (np.arange(frames)[:, None] * hop + np.arange(n_fft)).reshape(-1)


@composite(methods=("stft",), check=_analyses)
def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:
    """Spectra of windows of a signal: ``(..., length) -> (..., frequencies, frames)``.

    Args:
        input: one signal or a batch.
        n_fft: length of a frame.
        hop_length: samples from one frame to the next; ``n_fft // 4`` by default.
        win_length: length of the window, which lies in the middle of a frame; ``n_fft`` by default.
        window: what each frame is multiplied with, ``(win_length,)``; ones by default.
        center: frame ``t`` has its middle at sample ``t * hop_length``, the signal continued at both ends.
        pad_mode: how it is continued; see ``nn.functional.pad``.
        normalized: divide by the root of ``n_fft``.
        onesided: only the frequencies 0 to ``n_fft // 2``; by default where signal and window are real.
        return_complex: complex elements, or real and imaginary parts in a last dimension; must be given for a real
            signal.
        align_to_window: without ``center``, whether the first window begins at sample 0, instead of the first frame.

    Example: ``stft(un.ones(8), 4, center=False, return_complex=True)`` has the shape ``(3, 5)``.
    """
    hop, width = _lengths(n_fft, hop_length, win_length)
    around = (n_fft // 2, n_fft // 2)
    signal = unsqueeze(input, 0) if input.ndim == 1 else input
    if center:
        signal = reshape(pad(unsqueeze(signal, 0), around, pad_mode), (signal.shape[0], -1))
    elif align_to_window:
        left = (n_fft - width) // 2
        signal = constant_pad(signal, (left, n_fft - width - left), 0)
    frames = 1 + (signal.shape[-1] - n_fft) // hop
    places = new_tensor(input, _places(frames, hop, n_fft), dtype=int32)
    cut = reshape(index_select(signal, 1, places), (-1, frames, n_fft))
    seen = mul(cut, _full_window(input, window, n_fft, width))
    scale = "ortho" if normalized else "backward"
    halved = not seen.dtype.is_complex if onesided is None else onesided
    spectra = (fft.r2c if halved else fft.c2c)(seen, (n_fft,), (2,), scale, False)
    result = transpose(spectra, 1, 2)
    result = reshape(result, tuple(result.shape[1:])) if input.ndim == 1 else result
    complex_ = seen.dtype.is_complex if return_complex is None else return_complex
    return result if complex_ else view_as_real(result)


@composite(methods=("istft",), check=_synthesizes)
def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """The signal that :func:`stft` made these spectra of: ``(..., frequencies, frames) -> (..., length)``.

    Overlapping frames are averaged with the squares of the window as weights (Griffin and Lim, 1984). Where all
    weights of a sample are 0 the result is NaN or inf: PyTorch looks at the values and refuses, which no program can.

    Args:
        input: complex.
        n_fft, hop_length, win_length, window, center, normalized, onesided: as in :func:`stft`.
        length: cut or fill up (with zeros) to this length; by default what the frames cover.
        return_complex: a complex signal, out of spectra with two sides.
    """
    hop, width = _lengths(n_fft, hop_length, win_length)
    spectra = transpose(unsqueeze(input, 0) if input.ndim == 2 else input, 1, 2)
    scale = "ortho" if normalized else "backward"
    back = fft.c2c if return_complex else fft.c2r
    cut = back(spectra, (n_fft,), (2,), scale, True)
    frames = cut.shape[1]
    shape = _full_window(cut, window, n_fft, width)
    total = n_fft + hop * (frames - 1)
    places = new_tensor(input, _places(frames, hop, n_fft), dtype=int32)
    signal = _overlapped(mul(cut, shape), places, total)
    weight = _overlapped(unsqueeze(square(shape), 0).expand((1, frames, n_fft)), places, total)
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else total - start
    pieces = (start, min(end, total) - start, max(total - end, 0))
    result = div(split_lengths(signal, pieces, 1)[1], split_lengths(weight, pieces, 1)[1])
    if end > total:
        result = constant_pad(result, (0, end - total), 0)
    return reshape(result, (-1,)) if input.ndim == 2 else result


def _overlapped(frames: Tensor, places: Tensor, length: int) -> Tensor:
    """The sum of frames ``(batch, frames, n)``, each laid where it belongs in ``length`` samples."""
    flat = reshape(frames, (frames.shape[0], -1))
    return index_add(new_zeros(flat, (flat.shape[0], length)), 1, places, flat)
