"""A fixed stratified sample of the conformance sweep: from every namespace every few names, on every backend.

The whole sweep is ``python -m tests.conformance --all``; ``make test-full`` runs it.
"""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import torch

import unified as un
from tests.conformance import checks, database, expected, scope, sweep

_ROOT = Path(__file__).parents[1]
EVERY = 4
"""One name of so many in each stratum."""

STEPS = (sweep.Step("values", "", 3), sweep.Step("grad", "", 2))


def strata() -> dict[str, list[str]]:
    """Names in scope by namespace."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in database.names_in_scope():
        found[name.rpartition(".")[0]].append(name)
    return found


def sample() -> list[str]:
    return [name for names in strata().values() for name in names[::EVERY]]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.check)
def test_sample_of_the_op_database(backend: str, step: sweep.Step) -> None:
    results = sweep.run(backend, step, sample())
    assert len(results) > 90
    wrong = [f"{r.name}: {r.failure or 'passes, though it is on the list'}" for r in results if r.unexpected]
    assert not wrong, "\n".join(wrong)


def test_every_name_is_there(backend: str) -> None:
    results = sweep.run(backend, sweep.Step("surface", "", 1), database.names_in_scope())
    assert not [f"{r.name}: {r.failure}" for r in results if r.unexpected]


def test_a_failure_is_noticed() -> None:
    """The harness tells a wrong result from a right one, by value, by shape and by dtype."""
    (info,) = database.entries()["exp"]
    (drawn,) = database.samples(info, torch.float32, False, 0, 1)
    wrong = {
        "elements differ": lambda x: un.exp(x) + (x == x.max()) * 0.01,
        "shape": lambda x: un.exp(x)[None],
        "dtype": lambda x: un.exp(x).to(un.float16),
    }
    with un.backend("torch"):
        checks.values(info, un.exp, drawn, torch.float32)
        for words, function in wrong.items():
            with pytest.raises(checks.FailedError, match=words):
                checks.values(info, function, drawn, torch.float32)


def test_lists_name_only_what_exists() -> None:
    known = set(database.entries())
    assert all(any(scope.fnmatch.fnmatchcase(name, pattern) for name in known) for pattern in scope.OUT_OF_SCOPE)
    for entry in expected.EXPECTED:
        assert len(entry.reason) > 20, entry
        for pattern in entry.names:
            assert any(expected.fnmatch.fnmatchcase(name, pattern) for name in database.names_in_scope()), pattern


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_the_whole_sweep() -> None:
    command = [sys.executable, "-m", "tests.conformance", "--all"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
