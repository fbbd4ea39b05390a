"""Finite differences over the op table: a fixed sample here, all of it in ``python -m tests.conformance --all``.

``python -m tests.conformance --backend jax --check gradcheck`` runs one check on one backend.
"""

from __future__ import annotations

import itertools

import pytest

import unified as un
from tests.conformance import checks, coverage, database, gradchecks, handwritten, sweep
from unified._dispatch import table

EVERY = 30
"""One name of so many."""
WITHOUT = set(itertools.chain.from_iterable(handwritten.WITHOUT.values()))


def sample() -> list[str]:
    return [*database.names_in_scope()[::EVERY], *handwritten.NAMES[:: EVERY // 3]]


@pytest.mark.parametrize("check", gradchecks.NAMES)
@pytest.mark.parametrize("name", ["jax", "tensorflow"])
def test_sample_of_the_table(name: str, check: str) -> None:
    results = sweep.run(name, sweep.Step(check, "", 1), sample())
    assert len(results) > 15
    wrong = [f"{r.name}: {r.failure or 'passes, though it is on the list'}" for r in results if r.unexpected]
    assert not wrong, "\n".join(wrong)


def test_a_wrong_derivative_is_noticed() -> None:
    (info,) = database.entries()["exp"]
    (drawn,) = gradchecks.samples(info, gradchecks.DTYPES[0], 0, 1)
    with un.backend("jax"):
        checks.gradcheck(info, un.exp, drawn, gradchecks.DTYPES[0])
        with pytest.raises(un.errors.GradcheckError, match="Jacobian mismatch"):
            checks.gradcheck(info, lambda x: un.exp(x.detach()) * x, drawn, gradchecks.DTYPES[0])
        with pytest.raises(un.errors.GradcheckError, match="Jacobian mismatch"):
            checks.gradgradcheck(info, lambda x: un.exp(x.detach()) * x**2, drawn, gradchecks.DTYPES[0])


def test_the_lists_name_ops_of_the_table() -> None:
    cases = {case.op for case in handwritten.CASES}
    assert not (cases | WITHOUT) - set(table)
    assert not cases & WITHOUT
    assert len(WITHOUT) == sum(map(len, handwritten.WITHOUT.values()))


def reached_by_hand() -> set[str]:
    """Ops that the handwritten cases record, each of which must record its own."""
    found = set()
    for case in handwritten.CASES:
        result = case.function(*case.inputs())
        ops = coverage.recorded(result if isinstance(result, tuple) else (result,))
        assert case.op in ops, case.op
        found |= ops
    return found


@pytest.mark.full
@pytest.mark.timeout(900)
def test_every_op_of_the_table_is_checked_or_has_no_derivative() -> None:
    """An op that is added to the table must be reached by a sample of the database, or listed by hand."""
    with un.backend("jax"):
        reached = set().union(*coverage.of_database(database.names_in_scope()).values())
        by_hand = reached_by_hand()
    assert not set(table) - reached - by_hand - WITHOUT, "neither reached nor listed"
    assert not WITHOUT & (reached | by_hand), "listed as without a derivative, but recorded"
    needless = {case.op for case in handwritten.CASES} & reached
    assert not needless, "the database reaches it by now"
