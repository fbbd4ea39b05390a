"""Look-up tables and indicator vectors."""

from __future__ import annotations

from unified._dispatch import composite, op
from unified._dtype import float32
from unified._tensor import Tensor
from unified.autograd import no_grad
from unified.errors import ArgumentError, ShapeError
from unified.nn.functional import _checks
from unified.ops.creation import ones_like, zeros_like
from unified.ops.elementwise import Scalar, stop_gradient, where
from unified.ops.shape import pad

_MODES = ("sum", "mean", "max")


@op(name="embedding", check=_checks.embedding, indices=_checks.rows)
def indexed_rows(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """The rows of ``weight`` that ``input`` names; the row ``padding_idx`` gets no gradient."""


def _counts(input: Tensor, weight: Tensor) -> Tensor:
    """How often ``input`` names each row of ``weight``: float32 ``(rows, 1)``."""
    positions = input.reshape((-1,))
    counts = zeros_like(weight.narrow(1, 0, 1).reshape((-1,)), dtype=float32)
    counted: Tensor = counts.scatter_add(0, positions, ones_like(positions, dtype=float32)).unsqueeze(1)
    return counted


@composite(check=_checks.embedding, indices=_checks.rows)
def frequency_scaled_rows(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """``indexed_rows`` whose gradient is divided by how often ``input`` names the row."""
    rows = indexed_rows(input, weight, padding_idx)
    share = (1 / indexed_rows(input, _counts(input, weight))).to(weight.dtype)
    output: Tensor = rows + (share - 1) * (rows - stop_gradient(rows))
    return output


@composite(check=_checks.renormalized)
def renormalized(weight: Tensor, input: Tensor, max_norm: Scalar, norm_type: float) -> Tensor:
    """``weight`` with the rows that ``input`` names scaled to a norm of at most ``max_norm``."""
    norms = weight.norm(norm_type, 1, keepdim=True)
    too_long = (_counts(input, weight) > 0) & (norms > max_norm)
    output: Tensor = weight * where(too_long, max_norm / (norms + 1e-7), 1.0)
    return output


def _renormalize(input: Tensor, weight: Tensor, max_norm: float, norm_type: float) -> None:
    with no_grad():
        weight.copy_(renormalized(weight, input, float(max_norm), float(norm_type)))


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of ``weight (rows, features)`` that the integers ``input (...)`` name: ``(..., features)``.

    Args:
        input: int32 or int64.
        weight: the table.
        padding_idx: a row that gets no gradient.
        max_norm: rows named by ``input`` that are longer are first scaled to this norm, in ``weight`` itself.
        norm_type: the p of that norm.
        scale_grad_by_freq: divides a row's gradient by how often ``input`` names it.
        sparse: taken for PyTorch's sake; gradients are dense.

    Raises:
        DTypeError: ``input`` is neither int32 nor int64.
        ShapeError: ``weight`` is no matrix.
        ArgumentError: ``padding_idx`` lies outside of the table.
        IndexOutOfRangeError: an index lies outside of ``[0, rows)``; inside ``un.compile``, and on an accelerator,
            its row is undefined instead.
    """
    if max_norm is not None:
        _renormalize(input, weight, max_norm, norm_type)
    if scale_grad_by_freq:
        scaled: Tensor = frequency_scaled_rows(input, weight, padding_idx)
        return scaled
    return indexed_rows(input, weight, padding_idx)


# ---- bags --------------------------------------------------------------------------------------------------------


@op()
def segment_argmax(input: Tensor, segments: Tensor, count: int) -> Tensor:
    """Where each column of ``input (n, features)`` is largest within each segment: int32 ``(count, features)``.

    Args:
        input: the values.
        segments: ``(n,)``, the segment of each row; ``count`` for a row that is in none.
        count: how many segments there are.

    Returns:
        The first row with the maximum; ``n`` for a segment without rows.
    """


def _rows(input: Tensor, weight: Tensor, padding_idx: int | None, scale_grad_by_freq: bool) -> Tensor:
    return (frequency_scaled_rows if scale_grad_by_freq else indexed_rows)(input, weight, padding_idx)


def _counted(input: Tensor, weight: Tensor, padding_idx: int | None) -> Tensor:
    """Bool, like ``input``: which of its elements are no padding."""
    if padding_idx is None:
        return ones_like(input) > 0
    return input != padding_idx % weight.shape[0]


@composite(check=_checks.bags, indices=_checks.rows)
def bags_of_equal_size(
    input: Tensor,
    weight: Tensor,
    per_sample_weights: Tensor | None,
    mode: str,
    scale_grad_by_freq: bool,
    padding_idx: int | None,
) -> Tensor:
    """Each row of ``input (bags, size)`` is a bag."""
    rows = _rows(input, weight, padding_idx, scale_grad_by_freq)
    counted = _counted(input, weight, padding_idx).unsqueeze(-1)
    if mode == "max" and input.shape[1]:
        largest = where(counted, rows, -float("inf")).max(1).values
        return where(counted.any(1), largest, 0.0)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(-1)
    total: Tensor = where(counted, rows, 0.0).sum(1)
    return total / counted.sum(1).clamp(min=1).to(weight.dtype) if mode == "mean" else total


@composite(check=_checks.bags_by_offsets, indices=_checks.rows)
def bags_by_offsets(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor,
    per_sample_weights: Tensor | None,
    mode: str,
    scale_grad_by_freq: bool,
    padding_idx: int | None,
) -> Tensor:
    """Bag i is ``input[offsets[i] : offsets[i + 1]]``, the last one ends with ``input (n,)``."""
    count, length, features = offsets.shape[0], input.shape[0], weight.shape[1]
    starts = pad(zeros_like(input), (0, 1)).scatter_add(0, offsets, ones_like(offsets, dtype=input.dtype))
    bags = starts.cumsum(0).narrow(0, 0, length) - 1
    bags = where((bags >= 0) & _counted(input, weight, padding_idx), bags, count)
    rows = _rows(input, weight, padding_idx, scale_grad_by_freq)
    if mode == "max" and length:
        places = segment_argmax(stop_gradient(rows), bags, count)
        found = places < length
        output: Tensor = where(found, rows.gather(0, where(found, places, 0)), 0.0)
        return output
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(1)
    empty = pad(zeros_like(offsets, dtype=weight.dtype), (0, 1)).unsqueeze(1)
    total: Tensor = empty.expand((count + 1, features)).scatter_add(
        0, bags.unsqueeze(1).expand((length, features)), rows
    )
    if mode == "mean":
        sizes = zeros_like(empty.squeeze(1), dtype=float32).scatter_add(0, bags, ones_like(bags, dtype=float32))
        total = total / sizes.clamp(min=1).unsqueeze(1).to(weight.dtype)
    summed: Tensor = total.narrow(0, 0, count)
    return summed


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Sums, means or maxima of bags of rows of ``weight (rows, features)``: ``(bags, features)``.

    Args:
        input: int32 or int64 indices of rows, ``(bags, size)``, or ``(n,)`` cut into bags by ``offsets``.
        weight: the table.
        offsets: ``(bags,)``, where each bag starts; an empty bag gives 0.
        max_norm, norm_type, scale_grad_by_freq, sparse: as of :func:`embedding`.
        mode: ``"sum"``, ``"mean"`` or ``"max"``; of equal maxima the first gets the gradient.
        per_sample_weights: factors of the rows, like ``input``; for ``"sum"`` only.
        include_last_offset: ``offsets`` has one element more, where the last bag ends.
        padding_idx: a row that belongs to no bag, wherever ``input`` names it.

    Raises:
        ShapeError, DTypeError: the operands do not fit.
        ArgumentError: the mode is unknown, or does not go with the other arguments.
        IndexOutOfRangeError: as of :func:`embedding`.
    """
    if mode not in _MODES:
        raise ArgumentError(f"embedding_bag: mode must be 'sum', 'mean' or 'max', not {mode!r}")
    if mode == "max" and (scale_grad_by_freq or sparse):
        raise ArgumentError("embedding_bag: mode='max' goes with neither scale_grad_by_freq nor sparse")
    if per_sample_weights is not None and mode != "sum":
        raise ArgumentError(f"embedding_bag: per_sample_weights go with mode='sum' only, not with {mode!r}")
    if input.ndim not in (1, 2) or (offsets is None) is not (input.ndim == 2):
        raise ShapeError(
            f"embedding_bag: input {tuple(input.shape)} must have 2 dimensions, or 1 and come with offsets"
        )
    if max_norm is not None:
        _renormalize(input, weight, max_norm, norm_type)
    bags: Tensor
    if offsets is None:
        bags = bags_of_equal_size(input, weight, per_sample_weights, mode, scale_grad_by_freq, padding_idx)
        return bags
    starts = offsets.narrow(0, 0, offsets.shape[0] - 1) if include_last_offset else offsets
    bags = bags_by_offsets(input, weight, starts, per_sample_weights, mode, scale_grad_by_freq, padding_idx)
    return bags


# ---- indicator vectors -------------------------------------------------------------------------------------------


@op(name="one_hot", check=_checks.one_hot)
def _one_hot(tensor: Tensor, num_classes: int) -> Tensor:
    """1 at the class of each element of ``tensor (...)``, 0 elsewhere: int32 ``(..., num_classes)``."""


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """1 at the class of each element of ``tensor (...)``, 0 elsewhere: ``(..., num_classes)`` of ``tensor``'s dtype.

    With ``num_classes=-1`` it is the largest class and one more, which asks for values: not inside ``un.compile``.
    Example: ``one_hot([0, 2]) -> [[1, 0, 0], [0, 0, 1]]``.

    Raises:
        ArgumentError: ``num_classes`` is neither -1 nor positive.
        DTypeError: ``tensor`` is not of integers.
    """
    if num_classes == -1:
        if not tensor.numel():
            raise ArgumentError("one_hot: an empty tensor has no largest class; give num_classes")
        num_classes = int(tensor.amax().item()) + 1
    if num_classes < 1:
        raise ArgumentError(f"one_hot: num_classes must be positive, or -1 to infer it, not {num_classes}")
    encoded: Tensor = _one_hot(tensor, num_classes)
    return encoded
