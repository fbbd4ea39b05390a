"""The demo's evidence: what must hold between runs, and the table that shows it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np
from rich import box
from rich.table import Table

from unified.cli.training import Array, Run

ACCURACY = 0.97
WEIGHTS_AFTER_ONE_STEP = 1e-6  # absolute: sums in another order, then one Adam step of size lr
FIRST_EPOCH_LOSS = 1e-3  # relative: a whole epoch amplifies what one step allows


def reference_of(runs: Sequence[Run]) -> Run:
    """The run that the others are compared with: torch's eager one, or the first where it was not asked for."""
    return next((run for run in runs if (run.backend, run.path) == ("torch", "eager")), runs[0])


def largest_difference(one: dict[str, Array], other: dict[str, Array]) -> float:
    """The largest absolute difference between two states; infinite where a name or shape is missing, or a NaN."""
    if one.keys() != other.keys() or any(one[name].shape != other[name].shape for name in one):
        return float("inf")
    differences = [np.abs(one[name].astype(np.float64) - other[name]).max(initial=0) for name in one]
    return float(np.nan_to_num(max(differences, default=0.0), nan=np.inf))


def _identical(one: Array, other: Array) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()


def relative_loss_difference(run: Run, reference: Run) -> float:
    """Between the mean losses of the first epoch."""
    expected = statistics.fmean(reference.losses[0])
    return abs(statistics.fmean(run.losses[0]) - expected) / abs(expected)


def parity_failures(run: Run, reference: Run) -> list[str]:
    """One sentence for each promise of parity that ``run`` breaks."""
    name, other = f"{run.backend} {run.path}", f"{reference.backend} {reference.path}"
    found = []
    if run.initial.keys() != reference.initial.keys():
        found.append(f"{name}: the state has other names than on {other}")
    found += [
        f"{name}: initial {weight} is not bit-identical to {other}"
        for weight in run.initial.keys() & reference.initial.keys()
        if not _identical(run.initial[weight], reference.initial[weight])
    ]
    if not _identical(run.dropout_mask, reference.dropout_mask):
        found.append(f"{name}: the dropout mask is not bit-identical to {other}")
    weights = largest_difference(run.after_one_step, reference.after_one_step)
    if not weights <= WEIGHTS_AFTER_ONE_STEP:
        found.append(f"{name}: after one step weights differ by {weights:.1e} from {other}")
    loss = relative_loss_difference(run, reference)
    if not loss <= FIRST_EPOCH_LOSS:
        found.append(f"{name}: the first epoch's loss differs by {loss:.1e} (relative) from {other}")
    return found


def failures(runs: Sequence[Run], reference: Run) -> list[str]:
    """What ends the demo with exit code 1: broken parity, or too few digits recognised."""
    found = []
    for run in runs:
        found += parity_failures(run, reference)
        if not run.accuracy >= ACCURACY:
            found.append(f"{run.backend} {run.path}: test accuracy {run.accuracy:.2%} is below {ACCURACY:.0%}")
    return found


def table(runs: Sequence[Run], reference: Run) -> Table:
    """One row for each backend and path."""
    other = f"{reference.backend} {reference.path}"
    view = Table(
        title="the same program everywhere",
        caption=f"max |Δw|: largest weight difference from {other}",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for heading in ("backend", "path"):
        view.add_column(heading, no_wrap=True)
    for heading in ("test\naccuracy", "final\nloss", "s/epoch", "compile\ns", "max |Δw|\nstep 1", "max |Δw|\nend"):
        view.add_column(heading, justify="right", no_wrap=True)
    for run in runs:
        view.add_row(
            run.backend,
            run.path,
            f"{run.accuracy:.2%}",
            f"{statistics.fmean(run.losses[-1]):.5f}",
            f"{run.seconds_per_epoch:.3f}",
            f"{run.compile_seconds:.1f}",
            f"{largest_difference(run.after_one_step, reference.after_one_step):.1e}",
            f"{largest_difference(run.final, reference.final):.1e}",
        )
    return view
