"""The main promise: from one seed, the same numbers on every backend, eager and compiled.

The oracle is the run on torch's eager path. Tolerances: initial weights and dropout masks to the bit; weights after
one step to 1e-6 (sums in another order, through one Adam step); the first epoch's loss to 1e-3 relative (a whole
epoch amplifies what one step allows).
"""

from __future__ import annotations

import functools

import pytest

from unified.cli import report
from unified.cli.digits import load_digits
from unified.cli.training import PATHS, Run, train


@functools.cache
def _run(backend: str, path: str) -> Run:
    return train(backend, path, load_digits(), 1, lambda loss: None)


@pytest.mark.parametrize("path", PATHS)
def test_one_epoch_of_the_demo_is_the_same_everywhere(backend: str, path: str) -> None:
    run = _run(backend, path)
    assert report.parity_failures(run, _run("torch", "eager")) == []


def test_the_run_learns(backend: str) -> None:
    """So that parity is not that of runs that all stand still."""
    losses = _run(backend, "eager").losses[0]
    assert losses[-1] < losses[0] / 2


def test_dropout_drops_a_quarter(backend: str) -> None:
    """The mask that is compared is a mask: of 8,192 draws, a quarter within 4 standard deviations (1.9 %)."""
    mask = _run(backend, "eager").dropout_mask
    assert sorted(set(mask.ravel().tolist())) == [0.0, pytest.approx(4 / 3)]
    assert abs((mask == 0).mean() - 0.25) < 0.02
