"""Searching in sorted sequences, membership, distinct elements, counts and histograms.

Indices and counts are int32. Where the shape of a result depends on values (``unique``, ``bincount``), a function
cannot be compiled.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from unified._default import default_dtype
from unified._dispatch import composite, front, op, tracing
from unified._dtype import Number, float32, float64, int32
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError, OperandError, ShapeError
from unified.ops._checks import same_dtype
from unified.ops.creation import full_like, ones_like, zeros_like
from unified.ops.dtypes import result_type
from unified.ops.elementwise import clamp, eq, ge, le, logical_and, logical_not, logical_or, lt, ne, where
from unified.ops.indexing import gather, index_select, narrow, nonzero, scatter_add, select
from unified.ops.reduction import amax, amin, argsort, cumsum, sort, sum
from unified.ops.shape import cat, movedim

__all__ = [
    "bincount", "bucketize", "histc", "histogram", "histogramdd", "isin", "searchsorted", "unique",
    "unique_consecutive",
]  # fmt: skip

Operand = Tensor | Number


class Histogram(NamedTuple):
    """What ``histogram`` returns."""

    hist: Tensor
    bin_edges: Tensor


class HistogramOfPoints(NamedTuple):
    """What ``histogramdd`` returns."""

    hist: Tensor
    bin_edges: tuple[Tensor, ...]


# ---- checks ----------------------------------------------------------------------------------------------------


def _check_search(sorted_sequence: Any, input: Any, right: bool) -> None:
    shape, values = tuple(sorted_sequence.shape), tuple(getattr(input, "shape", ()))
    if not shape:
        raise ShapeError("sorted_sequence must have at least one dimension")
    if len(shape) > 1 and shape[:-1] != values[:-1]:
        raise ShapeError(
            f"input {values} must have the leading dimensions of sorted_sequence {shape}, unless that is a vector"
        )
    for dtype in (sorted_sequence.dtype, getattr(input, "dtype", sorted_sequence.dtype)):
        if dtype.is_complex or dtype.kind == "b":
            raise DTypeError(f"{dtype.name} elements have no order to search in")


def _check_isin(elements: Any, test_elements: Any, invert: bool) -> None:
    for operand in (elements, test_elements):
        if operand.dtype.is_complex or operand.dtype.kind == "b":
            raise DTypeError(f"isin takes numbers with an order, not {operand.dtype.name} elements")


def _check_histogram(input: Any, bins: int) -> None:
    if not input.dtype.is_floating_point:
        raise DTypeError(f"input must be floating point, not {input.dtype.name}; convert it with x.to(un.float32)")
    if bins < 1:
        raise ArgumentError(f"bins must be at least 1, not {bins}")


# ---- sorted sequences -------------------------------------------------------------------------------------------


@op(name="searchsorted", check=_check_search)
def search(sorted_sequence: Tensor, input: Operand, right: bool) -> Tensor:
    """Where each element of ``input`` belongs in the sorted rows of ``sorted_sequence``, int32."""


@front()
def searchsorted(
    sorted_sequence: Tensor,
    input: Operand,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where ``input`` would have to be inserted to keep ``sorted_sequence`` sorted along its last dimension, int32.

    Before equal elements, or after them if ``right`` (``side="right"``). ``sorted_sequence`` is a vector, or has the
    leading dimensions of ``input``; ``sorter`` are the indices that sort it. ``out_int32`` is PyTorch's, and without
    effect.
    Example: ``searchsorted([1, 3, 5], [3, 4]) -> [1, 2]``.

    Raises:
        ArgumentError: ``side`` is neither "left" nor "right", or contradicts ``right``.
    """
    if side not in (None, "left", "right"):
        raise ArgumentError(f"searchsorted: side must be 'left' or 'right', not {side!r}")
    if side == "left" and right:
        raise ArgumentError("searchsorted: side='left' contradicts right=True")
    if sorter is not None:
        if tuple(sorter.shape) != tuple(sorted_sequence.shape):
            raise ShapeError(
                f"searchsorted: sorter {tuple(sorter.shape)} must have the shape of sorted_sequence "
                f"{tuple(sorted_sequence.shape)}"
            )
        sorted_sequence = gather(sorted_sequence, -1, sorter)
    return search(sorted_sequence, input, right or side == "right")


@front()
def bucketize(input: Operand, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """In which of the intervals between sorted ``boundaries`` each element lies, int32.

    An element on a boundary belongs to the interval on its left, or on its right if ``right``.
    Example: ``bucketize([3, 6], [1, 3, 5]) -> [1, 3]``.

    Raises:
        ShapeError: ``boundaries`` is not a vector.
    """
    if boundaries.ndim != 1:
        raise ShapeError(f"bucketize: boundaries must be a vector, not of shape {tuple(boundaries.shape)}")
    return search(boundaries, input, right)


@composite(name="isin", check=_check_isin)
def _isin(elements: Tensor, test_elements: Tensor, invert: bool) -> Tensor:
    """Which of ``elements`` are among ``test_elements``."""
    known = test_elements.reshape((-1,))
    count = known.shape[0]
    if not count:
        return full_like(elements != elements, invert)
    ordered = sort(known, 0).values
    place = clamp(search(ordered, elements.reshape((-1,)), False), max=count - 1)
    found = eq(gather(ordered, 0, place), elements.reshape((-1,))).reshape(elements.shape)
    return logical_not(found) if invert else found


@front()
def isin(elements: Operand, test_elements: Operand, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Which of ``elements`` are among ``test_elements`` (or are not, if ``invert``); one of them may be a number.

    ``assume_unique`` is PyTorch's hint. Example: ``isin([1, 2, 3], [2, 5]) -> [False, True, False]``.
    """
    if not isinstance(elements, Tensor) and not isinstance(test_elements, Tensor):
        raise OperandError("isin: elements or test_elements must be a Tensor; make one with un.tensor(...)")
    return _isin(_beside(elements, test_elements), _beside(test_elements, elements), invert)


def _beside(operand: Operand, other: Operand) -> Tensor:
    """A number as a 0-d Tensor where ``other`` lives."""
    if isinstance(operand, Tensor):
        return operand
    assert isinstance(other, Tensor)
    made: Tensor = other.new_tensor(operand, dtype=result_type(other, operand))
    return made


# ---- distinct elements ------------------------------------------------------------------------------------------


def _refuse_tracing(what: str) -> None:
    tracer = tracing()
    if tracer is not None:
        raise tracer.refuse_value(f"{what}, whose shape depends on values")


def _rises(*columns: Tensor) -> Tensor:
    """Where a row of sorted columns differs from the one before: int32, 0 in the first row."""
    length = columns[0].shape[0]
    changes = [ne(narrow(c, 0, 1, length - 1), narrow(c, 0, 0, length - 1)) for c in columns]
    for other in changes[1:]:
        changes[0] = logical_or(changes[0], other)
    first = zeros_like(narrow(columns[0], 0, 0, 1), dtype=int32)
    return cat([first, changes[0].to(int32)], 0)


def _in_order_of(ranks: Tensor, order: Tensor) -> Tensor:
    """``ranks`` of what was sorted, back where it came from."""
    return gather(ranks, 0, argsort(order, 0))


def _ranks(rows: Tensor) -> Tensor:
    """The place of each row of a matrix among its distinct rows in lexicographic order: one int32 for each.

    Each column is ranked alone, then neighbours are ranked as pairs, in log2(columns) steps of two sorts each.
    """
    ordered = sort(rows, 0)
    ranks = _in_order_of(cumsum(_rises(ordered.values), 0), ordered.indices)
    while ranks.shape[1] > 1:
        pairs = ranks.shape[1] // 2
        halves = narrow(ranks, 1, 0, 2 * pairs).reshape((-1, pairs, 2))
        major, minor = halves.select(2, 0), halves.select(2, 1)
        by_minor = argsort(minor, 0)
        order = gather(by_minor, 0, argsort(gather(major, 0, by_minor), 0))
        rises = _rises(gather(major, 0, order), gather(minor, 0, order))
        paired = _in_order_of(cumsum(rises, 0), order)
        ranks = cat([paired, narrow(ranks, 1, 2 * pairs, ranks.shape[1] - 2 * pairs)], 1)
    flat: Tensor = ranks.reshape((-1,))
    return flat


@composite(name="unique_ranks")
def _unique_ranks(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each row its rank among the distinct ones; the order that sorts the rows; and where a new one begins."""
    ranks = _ranks(rows)
    order = argsort(ranks, 0)
    return ranks, order, _begins(_rises(gather(ranks, 0, order)))


@composite(name="run_ranks")
def _run_ranks(rows: Tensor) -> tuple[Tensor, Tensor]:
    """For each row the number of its run of equal rows; and where a new run begins."""
    rises = sum(_rises(rows), 1).clamp(max=1).to(int32)
    return cumsum(rises, 0), _begins(rises)


def _begins(rises: Tensor) -> Tensor:
    return cat([ones_like(narrow(rises, 0, 0, 1)), narrow(rises, 0, 1, rises.shape[0] - 1)], 0)


def _as_rows(name: str, input: Tensor, dim: int | None) -> Tensor:
    """What is compared, a row each: elements, or the slices along ``dim``."""
    _refuse_tracing(name)
    source = input.detach()
    if dim is None or not input.ndim:
        shape = (-1, 1)
    else:
        source = movedim(source, dim, 0)
        count = source.shape[0]
        shape = (count, input.numel() // count if count else 0)
        if count and not input.numel():
            raise ShapeError(
                f"{name}: the slices of {tuple(input.shape)} along dim {dim} are empty: they do not differ"
            )
    rows: Tensor = source.reshape(shape)
    return rows


def _distinct(
    input: Tensor, dim: int | None, order: Tensor | None, begins: Tensor, ranks: Tensor,
    return_inverse: bool, return_counts: bool,
) -> Any:  # fmt: skip
    places = nonzero(begins).reshape((-1,))
    chosen = places if order is None else index_select(order, 0, places)
    found = [index_select(input.reshape((-1,)), 0, chosen) if dim is None else index_select(input, dim, chosen)]
    if return_inverse:
        found.append(ranks.reshape(input.shape if dim is None else ranks.shape))
    if return_counts:
        ends = cat([narrow(places, 0, 1, places.shape[0] - 1), places.new_tensor([ranks.shape[0]])], 0)
        found.append(ends - places)
    return tuple(found) if len(found) > 1 else found[0]


def _none(input: Tensor, dim: int | None, return_inverse: bool, return_counts: bool) -> Any:
    """The distinct elements of nothing."""
    nothing = input.new_zeros((0,), dtype=int32)
    values = input if dim is not None else input.reshape((-1,))
    inverse = nothing if dim is not None else nothing.reshape(input.shape)
    found = [values, *[inverse] * return_inverse, *[nothing] * return_counts]
    return tuple(found) if len(found) > 1 else found[0]


@front("unique")
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements of ``input``, or its distinct slices along ``dim``, in order.

    With ``return_inverse`` also where each element went (in the shape of ``input``, or one for each slice), with
    ``return_counts`` also how often each was there: then a tuple. They come sorted whether or not ``sorted``.
    Example: ``unique([3, 1, 3]) -> [1, 3]``.

    Raises:
        TracedValueError: inside a function that ``un.compile`` traces, because the shape depends on values.
    """
    rows = _as_rows("unique", input, dim)
    if not rows.shape[0]:
        return _none(input, dim, return_inverse, return_counts)
    ranks, order, begins = _unique_ranks(rows)
    return _distinct(input, dim, order, begins, ranks, return_inverse, return_counts)


@front("unique_consecutive")
def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The first of each run of equal elements of ``input``, or of equal slices along ``dim``.

    More results as for :func:`unique`. Example: ``unique_consecutive([1, 1, 2, 1]) -> [1, 2, 1]``.

    Raises:
        TracedValueError: inside a function that ``un.compile`` traces, because the shape depends on values.
    """
    rows = _as_rows("unique_consecutive", input, dim)
    if not rows.shape[0]:
        return _none(input, dim, return_inverse, return_counts)
    ranks, begins = _run_ranks(rows)
    return _distinct(input, dim, None, begins, ranks, return_inverse, return_counts)


# ---- counts -----------------------------------------------------------------------------------------------------


def totals(places: Tensor, amounts: Tensor, length: int) -> Tensor:
    """The sums of ``amounts`` by their ``places``, in a vector of ``length``."""
    return scatter_add(zeros_like(sum(amounts), dtype=amounts.dtype).expand((length,)), 0, places, amounts)


@composite(name="bincount")
def _bincount(input: Tensor, weights: Tensor | None, length: int) -> Tensor:
    """How often each integer below ``length`` occurs, or the sum of its weights."""
    if weights is None:
        return totals(input, ones_like(input, dtype=int32), length)
    return totals(input, weights, length)


@front("bincount")
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each integer from 0 to the largest occurs in a vector, int32; the sums of ``weights`` if given.

    The result has at least ``minlength`` elements. Example: ``bincount([0, 2, 2]) -> [1, 0, 2]``.

    Raises:
        ArgumentError: an element is negative.
        TracedValueError: inside a function that ``un.compile`` traces, because the shape depends on values.
    """
    _refuse_tracing("bincount")
    if input.ndim != 1 or (weights is not None and tuple(weights.shape) != tuple(input.shape)):
        given = "" if weights is None else f" and weights {tuple(weights.shape)}"
        raise ShapeError(f"bincount: input {tuple(input.shape)}{given} must be vectors of one length")
    if weights is not None and not weights.dtype.is_floating_point:
        weights = weights.to(float64 if default_dtype() is float64 else float32)  # PyTorch sums them in 64 bits
    if input.dtype.kind not in "iu":
        raise DTypeError(f"bincount: input must be integers, not {input.dtype.name}")
    if minlength < 0:
        raise ArgumentError(f"bincount: minlength must not be negative, not {minlength}")
    length = minlength
    if input.shape[0]:
        if input.amin().item() < 0:
            raise ArgumentError("bincount: elements must not be negative")
        length = max(minlength, int(input.amax().item()) + 1)
    return _bincount(input, weights, length)


def _limits(input: Tensor, low: Operand | None, high: Operand | None, margin: float) -> tuple[Tensor, Tensor]:
    """The outer edges: as given, or those of the data (0 and 1 if there is none), ``margin`` apart from one value."""
    if low is None or high is None:
        low, high = (amin(input), amax(input)) if input.numel() else (0.0, 1.0)
    first, last = (zeros_like(sum(input)) + edge for edge in (low, high))
    same = eq(first, last)
    return where(same, first - margin, first), where(same, last + margin, last)


@composite(name="histc")
def _histc(input: Tensor, bins: int, low: Operand | None, high: Operand | None) -> Tensor:
    """Counts in ``bins`` equal intervals from ``low`` to ``high``, in the dtype of ``input``."""
    flat = input.reshape((-1,))
    first, last = _limits(flat, low, high, 1.0)
    inside = logical_and(ge(flat, first), le(flat, last))
    share = where(inside, (flat - first) * bins / (last - first), 0.0)
    return totals(clamp(share.to(int32), max=bins - 1), inside.to(input.dtype), bins)


@front("histc")
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements lie in each of ``bins`` equal intervals from ``min`` to ``max``, in the dtype of ``input``.

    Equal ``min`` and ``max`` stand for the extremes of the data. What lies outside, and NaN, is not counted.
    Example: ``histc([1., 2., 1.], 4, 0, 3) -> [0., 2., 1., 0.]``.
    """
    _check_histogram(input, bins)
    if max < min:
        raise ArgumentError(f"histc: max={max} must not be less than min={min}")
    inferred = min == max and input.numel() > 0
    return _histc(input, bins, None if inferred else min, None if inferred else max)


@composite(name="even_edges")
def _even_edges(input: Tensor, bins: int, low: Operand | None, high: Operand | None) -> Tensor:
    """``bins + 1`` edges from ``low`` to ``high``, counted from the nearer end, so that both are exact."""
    first, last = _limits(input, low, high, 0.5)
    step = (last - first) / bins
    place = cumsum(ones_like(sum(input)).expand((bins + 1,)), 0) - 1
    from_first, from_last = first + step * place, last - step * (bins - place)
    return where(lt(place, (bins + 1) // 2), from_first, from_last)


@composite(name="binned")
def _binned(points: Tensor, edges: Sequence[Tensor], weight: Tensor | None, density: bool) -> Tensor:
    """Counts, weights or densities of the rows of ``points`` in the boxes between ``edges`` of each column."""
    lengths = tuple(edge.shape[0] - 1 for edge in edges)
    amounts = ones_like(sum(points, 1)) if weight is None else weight.reshape((-1,))
    place = zeros_like(amounts, dtype=int32)
    for column, edge in enumerate(edges):
        values = select(points, 1, column)
        low, high = select(edge, 0, 0), select(edge, 0, -1)
        inside = logical_and(ge(values, low), le(values, high))
        amounts = where(inside, amounts, 0.0)
        position = clamp(search(edge, values, True) - 1, 0, lengths[column] - 1)
        place = place * lengths[column] + position
    found: Tensor = totals(place, amounts, math.prod(lengths)).reshape(lengths)
    if not density:
        return found
    found = found / sum(found)
    for column, edge in enumerate(edges):
        shape = tuple(-1 if axis == column else 1 for axis in range(len(lengths)))
        widths = narrow(edge, 0, 1, lengths[column]) - narrow(edge, 0, 0, lengths[column])
        found = found / widths.reshape(shape)
    return found


def _edges(name: str, column: Tensor, bins: int | Tensor, range: Sequence[float] | None) -> Tensor:
    if isinstance(bins, Tensor):
        if bins.ndim != 1 or bins.shape[0] < 2:
            raise ShapeError(f"{name}: the edges of bins must be a vector of two or more, not {tuple(bins.shape)}")
        same_dtype(input=column, bins=bins)
        return bins
    _check_histogram(column, bins)
    low, high = (None, None) if range is None else (float(limit) for limit in range)
    if low is not None and high is not None and low > high:
        raise ArgumentError(f"{name}: range must not run from {low} down to {high}")
    return _even_edges(column, bins, low, high)


def _check_weight(name: str, weight: Tensor | None, shape: Sequence[int], input: Tensor) -> None:
    same_dtype(input=input, weight=weight)
    if weight is not None and tuple(weight.shape) != tuple(shape):
        raise ShapeError(
            f"{name}: weight {tuple(weight.shape)} must have the shape {tuple(shape)}, one for each point"
        )


@front("histogram")
def histogram(
    input: Tensor,
    bins: int | Tensor,
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Histogram:
    """Counts of the elements in ``bins``, and the edges of those: a number of equal ones, or a vector of edges.

    ``range`` are the outer edges of equal bins, by default the extremes of the data. ``weight`` sums weights instead
    of counting; ``density`` makes the integral over all bins 1. Each bin includes its left edge, the last one both.
    Example: ``histogram([1., 2., 1.], 4, range=(0., 3.)) -> Histogram([0., 2., 1., 0.], [0., .75, 1.5, 2.25, 3.])``.

    Raises:
        ShapeError: ``weight`` is not of the shape of ``input``, or the edges are no vector.
    """
    _check_weight("histogram", weight, input.shape, input)
    flat = input.detach().reshape((-1,))
    edges = _edges("histogram", flat, bins, range)
    return Histogram(_binned(flat.reshape((-1, 1)), [edges], weight, density), edges)


@front()
def histogramdd(
    input: Tensor,
    bins: int | Sequence[int] | Sequence[Tensor],
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> HistogramOfPoints:
    """Counts of the points ``input (..., n)`` in boxes of ``n`` dimensions, and the edges along each of those.

    ``bins`` is a number of equal bins, one for each dimension, or a vector of edges for each; ``range`` lists the
    lower and the upper limit of each dimension. The rest as for :func:`histogram`.

    Raises:
        ArgumentError: ``bins`` or ``range`` are for another number of dimensions.
    """
    if input.ndim < 2:
        raise ShapeError(f"histogramdd: input must be points (..., n), not of shape {tuple(input.shape)}")
    count = input.shape[-1]
    listed: tuple[int | Tensor, ...] = (bins,) * count if isinstance(bins, int) else tuple(bins)
    if len(listed) != count or (range is not None and len(range) != 2 * count):
        raise ArgumentError(
            f"histogramdd: points of {count} dimensions need as many bins and twice as many limits, not "
            f"{len(listed)} and {0 if range is None else len(range)}"
        )
    _check_weight("histogramdd", weight, input.shape[:-1], input)
    points = input.detach().reshape((-1, count))
    limits = [None if range is None else range[2 * i : 2 * i + 2] for i in builtins.range(count)]
    edges = [
        _edges("histogramdd", select(points, 1, column), each, limit)
        for column, (each, limit) in enumerate(zip(listed, limits, strict=True))
    ]
    return HistogramOfPoints(_binned(points, edges, weight, density), tuple(edges))
