"""Sums and means without NaN, extremes together, covariance, and differences and integrals of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from unified._dispatch import composite, front, op, tracing
from unified._dtype import DType, Number, bool_, uint64
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError, ShapeError
from unified.ops import _axes
from unified.ops._checks import broadcast_shapes
from unified.ops.elementwise import clone, isnan, logical_not, ne, where
from unified.ops.indexing import narrow
from unified.ops.reduction import amax, amin, cumsum, sum
from unified.ops.shape import cat, unsqueeze

__all__ = [
    "aminmax", "corrcoef", "cov", "cumulative_trapezoid", "diff", "gradient", "hash_tensor", "nanmean", "nansum",
    "trapezoid", "trapz",
]  # fmt: skip

Operand = Tensor | Number
Dim = int | Sequence[int] | None


class MinAndMax(NamedTuple):
    """What ``aminmax`` returns."""

    min: Tensor
    max: Tensor


# ---- checks ----------------------------------------------------------------------------------------------------


def _check_dims(input: Any, dim: Dim = None, *_: Any) -> None:
    _axes.check_dims(input, dim)


def _check_nansum(input: Any, dim: Dim, *_: Any) -> None:
    _check_dims(input, dim)
    if input.dtype.is_complex:
        raise DTypeError("complex elements are not summed without NaN; use where(x.isnan(), 0, x).sum()")


def _check_nanmean(input: Any, dim: Dim, keepdim: bool, dtype: DType | None) -> None:
    _check_dims(input, dim)
    if not input.dtype.is_floating_point:
        raise DTypeError(f"input must be floating point, not {input.dtype.name}; convert it with x.to(un.float32)")


def _check_aminmax(input: Any, dim: int | None, keepdim: bool) -> None:
    _check_dims(input, dim)
    reduced = input.shape if dim is None or not input.shape else (input.shape[dim],)
    if 0 in reduced:
        raise ShapeError(f"a {tuple(input.shape)} tensor has no element along dim {dim}, and so no extremes")


def _check_cov(input: Any, correction: int, fweights: Any, aweights: Any) -> None:
    _check_variables(input)
    if input.dtype.kind == "b":
        raise DTypeError("bools have no covariance; convert them with x.to(un.float32)")
    count = input.shape[-1] if input.shape else 1
    for name, weights in (("fweights", fweights), ("aweights", aweights)):
        if weights is not None and tuple(weights.shape) != (count,) and (weights.shape or count != 1):
            raise ShapeError(f"{name} {tuple(weights.shape)} must be one weight for each of {count} observations")
    if fweights is not None and fweights.dtype.kind not in "iu":
        raise DTypeError(f"fweights count observations: integers, not {fweights.dtype.name}")
    if aweights is not None and not aweights.dtype.is_floating_point:
        raise DTypeError(f"aweights must be floating point, not {aweights.dtype.name}")


def _check_variables(input: Any) -> None:
    if len(input.shape) > 2:
        raise ShapeError(f"input must be a (variables, observations) matrix or a vector, not {tuple(input.shape)}")


def _check_diff(input: Any, n: int, dim: int, prepend: Any, append: Any) -> None:
    if not input.shape:
        raise ShapeError("a 0-d tensor has no differences")
    along = _axes.axis(dim, input.shape)
    if n < 0:
        raise ArgumentError(f"n={n} must not be negative")
    for name, piece in (("prepend", prepend), ("append", append)):
        if piece is not None:
            fits = len(piece.shape) == len(input.shape) and all(
                a == b for i, (a, b) in enumerate(zip(piece.shape, input.shape, strict=True)) if i != along
            )
            if not fits:
                raise ShapeError(
                    f"{name} {tuple(piece.shape)} must have the shape of input {tuple(input.shape)} but for dim {dim}"
                )


def _check_slopes(input: Any, spacing: Any, dim: int, edge_order: int) -> None:
    along = _axes.axis(dim, input.shape)
    if edge_order not in (1, 2):
        raise ArgumentError(f"edge_order must be 1 or 2, not {edge_order}")
    if not input.shape or input.shape[along] <= edge_order:
        raise ShapeError(f"dim {dim} of a {tuple(input.shape)} tensor must be longer than edge_order={edge_order}")
    shape = getattr(spacing, "shape", ())
    if shape and tuple(shape) != (input.shape[along],):
        raise ShapeError(f"coordinates {tuple(shape)} must be a vector as long as dim {dim} of {tuple(input.shape)}")


def _check_samples(y: Any, x: Any, dx: Any, dim: int) -> None:
    if x is not None and dx is not None:
        raise ArgumentError("give the coordinates x or the distance dx, not both")
    if not y.shape:
        raise ShapeError("y must have at least one dimension: one number is no sampled function")
    along = _axes.axis(dim, y.shape)
    if y.dtype.kind == "b" or (x is not None and x.dtype.kind == "b"):
        raise DTypeError("bools cannot be integrated; convert them with x.to(un.float32)")
    if x is None:
        return
    if len(x.shape) == 1 and x.shape[0] != y.shape[along]:
        raise ShapeError(f"x has {x.shape[0]} samples, y {tuple(y.shape)} has {y.shape[along]} along dim {dim}")
    if len(x.shape) != 1:
        broadcast_shapes(x.shape, y.shape)


# ---- reductions -------------------------------------------------------------------------------------------------


@composite(methods=("nansum",), check=_check_nansum)
def nansum(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """Sum over ``dim`` with NaN as 0; ``dtype`` converts first. Example: ``nansum([1., nan]) -> 1.``"""
    known = where(isnan(input), 0.0, input) if input.dtype.is_floating_point else input
    return sum(known, dim, keepdim, dtype=dtype)


@composite(methods=("nanmean",), check=_check_nanmean)
def nanmean(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """Mean over ``dim`` of what is not NaN; NaN where there is nothing. Example: ``nanmean([1., nan, 3.]) -> 2.``"""
    return nansum(input, dim, keepdim, dtype=dtype) / sum(logical_not(isnan(input)), dim, keepdim)


@composite(methods=("aminmax",), check=_check_aminmax)
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> MinAndMax:
    """The smallest and the largest element along ``dim``, or of all; NaN wins; ties share the gradient evenly."""
    return MinAndMax(amin(input, dim, keepdim), amax(input, dim, keepdim))


@op(name="hash_tensor", check=_check_dims)
def _hash(input: Tensor, dim: Dim, keepdim: bool, dtype: DType) -> Tensor:
    """The bits of the elements in 64 bits, joined by exclusive or; ``dtype`` is uint64."""


@front("hash_tensor")
def hash_tensor(input: Tensor, dim: Dim = (), *, keepdim: bool = False, mode: int = 0) -> Tensor:
    """A uint64 hash of the elements over ``dim`` (all for ``()``): the exclusive or of their bits.

    Elements are widened to float64 or int64 first, so that equal values hash alike in every dtype of a kind.

    Raises:
        ArgumentError: ``mode`` is not 0, the only hash there is.
        DTypeError: complex elements.
    """
    if mode != 0:
        raise ArgumentError(f"hash_tensor: mode must be 0, not {mode}")
    if input.dtype.is_complex:
        raise DTypeError("hash_tensor: complex elements have no hash; hash x.real and x.imag")
    _check_dims(input, dim)
    return _hash(input, dim, keepdim, uint64)


# ---- covariance -------------------------------------------------------------------------------------------------


@op(name="cov", check=_check_cov)
def _cov(input: Tensor, correction: int, fweights: Tensor | None, aweights: Tensor | None) -> Tensor:
    """Covariance of the rows of a matrix."""


@front("cov")
def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    """Covariance matrix of the rows of ``input (variables, observations)``; of a vector its variance.

    ``fweights`` (integers) say how often each observation was made, ``aweights`` (floats) how much it counts.
    Divides by the number of observations less ``correction``. Example: ``cov([1., 3.]) -> 2.``

    Raises:
        ArgumentError: a weight is negative (not seen inside ``un.compile``).
    """
    _check_cov(input, correction, fweights, aweights)
    for name, weights in (("fweights", fweights), ("aweights", aweights)):
        if weights is not None and tracing() is None and bool((weights.detach() < 0).any()):
            raise ArgumentError(f"cov: {name} must not be negative")
    return _cov(input, correction, fweights, aweights)


@op(methods=("corrcoef",), check=_check_variables)
def corrcoef(input: Tensor) -> Tensor:
    """Pearson's correlation of the rows of ``input (variables, observations)``; of a vector 1.

    Example: ``corrcoef([[1., 2.], [2., 0.]]) -> [[1., -1.], [-1., 1.]]``.
    """


# ---- differences ------------------------------------------------------------------------------------------------


def _between(input: Tensor, dim: int, start: int, stop: int) -> Tensor:
    """The positions from ``start`` up to the one that lies ``stop`` before the end."""
    length = input.shape[dim]
    return narrow(input, dim, min(start, length), max(length - start - stop, 0))


@composite(methods=("diff",), check=_check_diff)
def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """Differences of neighbours along ``dim``, taken ``n`` times; of bools whether they differ.

    ``prepend`` and ``append`` lengthen ``input`` first, unless ``n`` is 0. Example: ``diff([1, 4, 9]) -> [3, 5]``.
    """
    if n == 0:
        return clone(input)
    pieces = [piece for piece in (prepend, input, append) if piece is not None]
    found = cat(pieces, dim) if len(pieces) > 1 else input
    for _ in range(min(n, found.shape[dim])):
        later, earlier = _between(found, dim, 1, 0), _between(found, dim, 0, 1)
        found = ne(later, earlier) if found.dtype is bool_ else later - earlier
    return found


@composite(name="gradient")
def _slopes(input: Tensor, spacing: Operand, dim: int, edge_order: int) -> Tensor:
    """Derivatives along ``dim``, with samples ``spacing`` apart or at its coordinates, as in ``numpy.gradient``."""
    if isinstance(spacing, Tensor) and spacing.ndim:
        return _uneven_slopes(input, diff(spacing), dim, edge_order)
    first, second, *_ = firsts = _ends(input, dim, 0, edge_order + 1)
    *_, before, last = lasts = _ends(input, dim, -edge_order - 1, edge_order + 1)
    center = (_between(input, dim, 2, 0) - _between(input, dim, 0, 2)) / 2
    if edge_order == 1:
        left, right = second - first, last - before
    else:
        left = -1.5 * first + 2 * second - 0.5 * firsts[2]
        right = 0.5 * lasts[0] - 2 * before + 1.5 * last
    return cat([left, center, right], dim) / spacing


def _uneven_slopes(input: Tensor, steps: Tensor, dim: int, edge_order: int) -> Tensor:
    inner = [_between(input, dim, start, 2 - start) for start in range(3)]
    center = _parabola(inner, _aligned(steps, input, dim), at=1)
    firsts, lasts = (_ends(input, dim, start, edge_order + 1) for start in (0, -edge_order - 1))
    before, after = (_ends(steps, 0, start, edge_order) for start in (0, -edge_order))
    if edge_order == 1:
        left, right = (firsts[1] - firsts[0]) / before[0], (lasts[1] - lasts[0]) / after[0]
    else:
        left, right = _parabola(firsts, before, at=0), _parabola(lasts, after, at=2)
    return cat([left, center, right], dim)


def _ends(input: Tensor, dim: int, start: int, count: int) -> list[Tensor]:
    """``count`` positions of ``dim``, one Tensor of length 1 each."""
    return [narrow(input, dim, start + place, 1) for place in range(count)]


def _aligned(steps: Tensor, input: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The step before and the step after each inner sample, along ``dim`` of ``input``."""
    shape = tuple(-1 if axis == _axes.axis(dim, input.shape) else 1 for axis in range(input.ndim))
    return _between(steps, 0, 0, 1).reshape(shape), _between(steps, 0, 1, 0).reshape(shape)


def _parabola(points: Sequence[Tensor], steps: Sequence[Tensor], at: int) -> Tensor:
    """The slope at one of three points, two ``steps`` apart, of the parabola through them (Lagrange's form)."""
    (a, b, c), (h, k) = points, steps
    if at == 0:
        factors = -(2 * h + k), h + k, -h
    elif at == 1:
        factors = -k, k - h, h
    else:
        factors = k, -(h + k), 2 * k + h
    weights = factors[0] / (h * (h + k)), factors[1] / (h * k), factors[2] / (k * (h + k))
    return weights[0] * a + weights[1] * b + weights[2] * c


@front()
def gradient(
    input: Tensor,
    *,
    spacing: Operand | Sequence[Operand] | None = None,
    dim: int | Sequence[int] | None = None,
    edge_order: int = 1,
) -> tuple[Tensor, ...]:
    """Derivatives along each of ``dim`` (every dimension for None) of a function that ``input`` samples.

    ``spacing`` is the distance of samples, one for all dimensions or one for each, or for each a vector of
    coordinates. Inner points use central differences, edges one-sided ones of ``edge_order`` 1 or 2.
    Example: ``gradient([1., 4., 9.]) -> ([3., 4., 5.],)``.

    Raises:
        ArgumentError: ``spacing`` is for another number of dimensions, or ``edge_order`` is not 1 or 2.
    """
    given = tuple(range(input.ndim)) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    dims = _axes.axes(given, input.shape)
    if isinstance(spacing, (list, tuple)):
        spacings = tuple(spacing)
    else:
        spacings = (1.0 if spacing is None else spacing,) * len(dims)
    if len(spacings) != len(dims):
        raise ArgumentError(f"gradient: spacing has {len(spacings)} entries for {len(dims)} dimensions")
    for step, d in zip(spacings, dims, strict=True):
        _check_slopes(input, step, d, edge_order)
    return tuple(_slopes(input, step, d, edge_order) for step, d in zip(spacings, dims, strict=True))


# ---- integrals --------------------------------------------------------------------------------------------------


def _areas(y: Tensor, x: Tensor | None, dx: Operand, dim: int) -> Tensor:
    """Twice the areas between neighbouring samples."""
    heights = _between(y, dim, 1, 0) + _between(y, dim, 0, 1)
    if x is None:
        return heights * dx
    along = _axes.axis(dim, y.shape)
    if x.ndim == 1:
        x = x.reshape(tuple(-1 if axis == along else 1 for axis in range(y.ndim)))
    while x.ndim < y.ndim:
        x = unsqueeze(x, 0)
    return heights * diff(x, 1, along)


@composite(name="trapezoid")
def _trapezoid(y: Tensor, x: Tensor | None, dx: Operand, dim: int) -> Tensor:
    """The integral along ``dim`` by the trapezoidal rule."""
    return sum(_areas(y, x, dx, dim), dim) / 2


@composite(name="cumulative_trapezoid")
def _cumulative_trapezoid(y: Tensor, x: Tensor | None, dx: Operand, dim: int) -> Tensor:
    """The integral along ``dim`` up to each sample but the first."""
    return cumsum(_areas(y, x, dx, dim), dim) / 2


@front()
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Operand | None = None, dim: int = -1) -> Tensor:
    """The integral along ``dim`` of a function sampled at ``x``, or ``dx`` (1) apart, by the trapezoidal rule.

    Example: ``trapezoid([1., 5., 10.]) -> 10.5``.

    Raises:
        ArgumentError: both ``x`` and ``dx`` are given.
    """
    _check_samples(y, x, dx, dim)
    return _trapezoid(y, x, 1 if dx is None else dx, dim)


@front()
def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Operand | None = None, dim: int = -1) -> Tensor:
    """As :func:`trapezoid`, up to each sample but the first: one element less along ``dim``.

    Example: ``cumulative_trapezoid([1., 5., 10.]) -> [3., 10.5]``.
    """
    _check_samples(y, x, dx, dim)
    return _cumulative_trapezoid(y, x, 1 if dx is None else dx, dim)


trapz = trapezoid
