"""The published list of expected failures, a file a family. Each names what the framework, or the design, lacks.

A failure that is not on the list fails the suite, and so does an entry that passes.
"""

from __future__ import annotations

import fnmatch

from tests.conformance.expected import (
    arithmetic,
    factorization,
    losses,
    products,
    reduction,
    shape,
    spatial,
    special,
)  # fmt: skip
from tests.conformance.expected.entry import Expected

EXPECTED: list[Expected] = [
    entry
    for family in (arithmetic, factorization, losses, products, reduction, shape, spatial, special)
    for entry in family.EXPECTED
]


def find(name: str, backend: str, check: str, dtype: str) -> Expected | None:
    """The entry that foresees a failure here, or None."""
    for entry in EXPECTED:
        if backend in entry.backends and check in entry.checks:
            matches = any(fnmatch.fnmatchcase(name, pattern) for pattern in entry.names)
            if matches and any(fnmatch.fnmatchcase(dtype, pattern) for pattern in entry.dtypes):
                return entry
    return None
