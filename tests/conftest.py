"""One test body, every backend: the ``backend`` fixture runs a test once on each installed one.

``UNIFIED_TEST_BACKENDS=torch,jax`` narrows the run by hand; a name in it that is not installed fails the session.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

os.environ.setdefault("UNIFIED_CACHE", "0")  # what is tested is compiled, not remembered

import unified as un
from tests.room import make_room

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None)
settings.load_profile("repeatable")
"""A run of the suite says the same twice; `make test-full` looks for new counterexamples with the second profile."""

_REQUESTED = os.environ.get("UNIFIED_TEST_BACKENDS", "torch,jax,tensorflow").split(",")


def pytest_sessionstart(session: pytest.Session) -> None:
    absent = sorted(set(_REQUESTED) - set(un.available_backends()))
    if absent:
        raise pytest.UsageError(f"backends {absent} are to be tested but not installed; run `make test`")


@pytest.fixture(params=_REQUESTED)
def backend(request: pytest.FixtureRequest) -> str:
    """Name of the backend under test, which is the current one within the test."""
    with un.backend(request.param) as name:
        yield name


_EVERY = 20
"""Tests between two looks at what programs take: one module alone can compile more of them than there is room for."""
_count = itertools.count(1)


@pytest.fixture(autouse=True)
def _room() -> Iterator[None]:
    yield
    if next(_count) % _EVERY == 0:
        make_room()
