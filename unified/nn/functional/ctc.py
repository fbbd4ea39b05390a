"""Connectionist temporal classification; Graves et al. (2006)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unified._dispatch import composite, op
from unified._dtype import int32
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError, ShapeError
from unified.nn.functional import _checks
from unified.ops.creation import ones_like
from unified.ops.elementwise import clamp
from unified.ops.reduction import cumsum

_NAME = "ctc_loss"


def _sequences(log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int, *_: Any) -> None:
    _checks.base.floating(log_probs)
    if not 0 <= blank < log_probs.shape[2]:
        raise ArgumentError(f"blank must lie between 0 and {log_probs.shape[2] - 1}, not {blank}")


@op(check=_sequences)
def ctc_losses(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor,
    target_lengths: Tensor,
    blank: int,
    zero_infinity: bool,
) -> Tensor:
    """For each sequence minus the log-probability of all alignments that spell its target; inf where there is none.

    The gradient is PyTorch's, which is that by the logits of which ``log_probs`` are the log-softmax:
    ``exp(log_probs)`` minus the expected share of each class, 0 after the end of a sequence.

    Args:
        log_probs: ``(T, N, C)``.
        targets: class indices ``(N, S)``; what lies after a target's end may be anything.
        input_lengths, target_lengths: int32 ``(N,)``, at most T and S.
        blank: the class that separates repeated labels.
        zero_infinity: infinite losses become 0, and so do their gradients.
    """


@composite()
def padded_targets(targets: Tensor, lengths: Tensor, size: int) -> Tensor:
    """Targets that lie one after another in ``(total,)``, as rows ``(N, size)``; what lies after a row's end may be
    anything."""
    count, total = lengths.shape[0], targets.shape[0]
    starts = (cumsum(lengths, 0) - lengths).unsqueeze(1)
    places = starts + cumsum(ones_like(lengths).unsqueeze(1).expand((count, size)), 1) - 1
    rows: Tensor = targets.gather(0, clamp(places, max=total - 1).reshape((-1,))).reshape((count, size))
    return rows


@composite()
def ctc_mean(losses: Tensor, target_lengths: Tensor) -> Tensor:
    """The mean of the losses, each divided by the length of its target."""
    mean: Tensor = (losses / clamp(target_lengths, min=1).to(losses.dtype)).mean()
    return mean


def _lengths(name: str, given: Tensor | Sequence[int] | int, batch: int, bound: int, like: Tensor) -> Tensor:
    """Lengths as int32 ``(N,)``; those that are Python numbers are looked at."""
    if isinstance(given, Tensor):
        if given.dtype.kind not in "iu":
            raise DTypeError(f"{_NAME}: {name} must be integers, not {given.dtype.name}")
        found: Tensor = given.to(int32).reshape((-1,))
        if found.shape[0] != batch:
            raise ShapeError(f"{_NAME}: {name} {tuple(given.shape)} must have the shape ({batch},) of the batch")
        return found
    numbers = (given,) if isinstance(given, int) else tuple(given)
    if len(numbers) != batch:
        raise ShapeError(f"{_NAME}: there are {len(numbers)} {name} for a batch of {batch}")
    if any(not 0 <= number <= bound for number in numbers):
        raise ArgumentError(f"{_NAME}: {name} {numbers} must lie between 0 and {bound}")
    made: Tensor = like.new_tensor(numbers, dtype=int32)
    return made


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int] | int,
    target_lengths: Tensor | Sequence[int] | int,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Connectionist temporal classification: a sequence's probability over all alignments with its target.

    Args:
        log_probs: log-probabilities ``(T, N, C)``, or ``(T, C)`` for one sequence; from ``log_softmax``, whose
            logits' gradient is what the derivative gives (see ``ctc_losses``).
        targets: class indices ``(N, S)``, padded; or ``(total,)``, one target after another.
        input_lengths, target_lengths: ``(N,)``, as a Tensor or numbers; only numbers are checked.
        blank: the class that separates repeated labels.
        reduction: ``"mean"`` divides each loss by its target's length first.
        zero_infinity: infinite losses, of targets longer than their input allows, become 0.

    Returns:
        A scalar, or with ``reduction="none"`` ``(N,)``.

    Raises:
        ShapeError, DTypeError: the operands do not fit.
        ArgumentError: the reduction is unknown, or a length or ``blank`` out of range.
    """
    _checks.reduction(reduction)
    batched = log_probs.ndim == 3
    if log_probs.ndim not in (2, 3) or targets.ndim not in (1, 2):
        raise ShapeError(
            f"{_NAME}: log_probs {tuple(log_probs.shape)} must be (T, N, C) or (T, C), and targets "
            f"{tuple(targets.shape)} (N, S) or (total,)"
        )
    if targets.dtype.kind not in "iu":
        raise DTypeError(f"{_NAME}: targets must be class indices, not {targets.dtype.name}")
    if not batched:
        log_probs, targets = log_probs.unsqueeze(1), targets.reshape((1, -1))
    steps, batch = log_probs.shape[:2]
    inputs = _lengths("input_lengths", input_lengths, batch, steps, log_probs)
    sizes = _lengths("target_lengths", target_lengths, batch, targets.shape[-1], log_probs)
    if targets.ndim == 1:
        known = None if isinstance(target_lengths, (Tensor, int)) else tuple(target_lengths)
        if known is not None and sum(known) > targets.shape[0]:
            raise ShapeError(f"{_NAME}: targets of {sum(known)} elements in all do not fit {tuple(targets.shape)}")
        size = targets.shape[0] if known is None else max(known, default=0)
        targets = (
            padded_targets(targets, sizes, size)
            if size
            else targets.narrow(0, 0, 0).reshape((1, 0)).expand((batch, 0))
        )
    elif targets.shape[0] != batch:
        raise ShapeError(f"{_NAME}: targets {tuple(targets.shape)} must have a row for each of {batch} sequences")
    losses: Tensor = ctc_losses(log_probs, targets, inputs, sizes, blank, zero_infinity)
    if reduction == "mean":
        losses = ctc_mean(losses, sizes)
    elif reduction == "sum":
        losses = losses.sum()
    return losses if batched or reduction != "none" else losses.squeeze(0)
