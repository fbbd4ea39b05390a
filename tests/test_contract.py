"""One autograd contract: every row of ``tests/contract`` on native PyTorch, then on each backend, in both modes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator

import pytest
import torch

import unified as un
from tests.contract import TABLE
from tests.contract.expected import BOTH, EVERYWHERE, KNOWN, PENDING
from tests.contract.row import Compiling, Row, anonymous, compare, eager, refusal, refusals

_BACKENDS = os.environ.get("UNIFIED_TEST_BACKENDS", ",".join(EVERYWHERE)).split(",")
_VIEWS = ("modified by an inplace operation", "Inference tensors cannot be saved")
"""What PyTorch says where it refuses because views share memory; ours do not."""
_INDUCTOR_EVERY = 3
"""Inductor takes seconds a program: of the rows compiled on torch, `make test` runs every third."""


def _cases() -> list:
    cases = []
    for position, row in enumerate(TABLE):
        for backend in _BACKENDS:
            for mode in BOTH:
                marks = []
                if (backend, mode) == ("torch", "compiled") and position % _INDUCTOR_EVERY:
                    marks.append(pytest.mark.full)
                reason = _expected_to_fail(row, backend, mode)
                if reason:
                    marks.append(pytest.mark.xfail(reason=reason, strict=True))
                cases.append(
                    pytest.param(row, mode, backend, marks=marks, id=f"{row.theme}-{row.name}-{backend}-{mode}")
                )
    return cases


def _expected_to_fail(row: Row, backend: str, mode: str) -> str:
    pending = [name for name in row.needs if name in PENDING]
    if pending:
        return f"not there yet: {', '.join(pending)}"
    found = [
        known.reason
        for known in KNOWN
        if row.name in known.rows and backend in known.backends and mode in known.modes
    ]
    return found[0] if found else ""


@pytest.fixture(autouse=True)
def _grad_mode() -> Iterator[None]:
    """A row that fails in the middle of a mode must not take the others with it."""
    yield
    un.set_grad_enabled(True)
    torch.set_grad_enabled(True)


@pytest.mark.filterwarnings("ignore:Torchinductor does not support code generation for complex:UserWarning")
@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"
)  # dynamo's own look
@pytest.mark.filterwarnings("ignore:`torch._prims_common.check` is deprecated:FutureWarning")  # inductor's own use
@pytest.mark.parametrize(("row", "mode", "backend"), _cases(), indirect=["backend"])
def test_row(row: Row, mode: str, backend: str) -> None:
    expected = _oracle(row)
    run = Compiling() if mode == "compiled" else eager
    found = row.body(un, run)
    compare(found, expected)
    for refused in refusals(found):
        missing = [text for text in row.says if text not in refused.message]
        assert not missing, f"{missing} not in the message: {refused.message}"
    if mode == "compiled":
        assert run.used, "nothing was compiled"
    else:
        _reads_the_same(row, found)


def _oracle(row: Row) -> object:
    library = row.reference()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice of the oracle's, on what its row does on purpose
        if row.oracle is None:
            return row.body(library, eager)
        refused = refusal(lambda: row.body(library, eager))
        assert refused is not None, "torch does not refuse what the row calls a departure"
        assert any(words in refused.message for words in _VIEWS)
        return row.oracle(library, eager)


def _reads_the_same(row: Row, found: object) -> None:
    """What a refusal says is the same on every backend; PyTorch's own wording is not asked for."""
    messages = [anonymous(refused.message) for refused in refusals(found)]
    if messages:
        with un.backend(EVERYWHERE[0]):
            assert messages == [anonymous(refused.message) for refused in refusals(row.body(un, eager))]


def test_there_are_enough_rows() -> None:
    assert len(TABLE) >= 160
    assert len({row.name for row in TABLE}) == len(TABLE)
    assert all(row.behaviour for row in TABLE)


def test_what_is_expected_to_fail_is_in_the_table() -> None:
    assert {name for known in KNOWN for name in known.rows} <= {row.name for row in TABLE}
    assert set(PENDING) <= {name for row in TABLE for name in row.needs}
