"""One check of many names on one backend, and what is printed of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple, TextIO

import torch

import unified as un
from tests.conformance import checks, database, expected


class Result(NamedTuple):
    """One check of one name: of all its entries together."""

    backend: str
    check: str
    dtype: str
    name: str
    samples: int
    failure: str | None
    reason: str | None
    """Why a failure is expected, from the published list."""

    @property
    def unexpected(self) -> bool:
        return (self.failure is None) is (self.reason is not None)


def run(
    backend: str,
    check: str,
    dtype: torch.dtype | None,
    names: Sequence[str],
    seed: int,
    limit: int,
    progress: bool = True,
) -> list[Result]:
    """Checks each name, in ``dtype`` or (None) the first of ``database.DTYPES`` that an entry supports.

    Names that do not support the dtype, and names without a sample to check, are left out.
    """
    results = []
    needs_grad = check in ("grad", "gradgrad")
    with un.backend(backend):
        for position, name in enumerate(names):
            if progress and sys.stderr.isatty():
                print(f"\r{position + 1}/{len(names)} {name:50}", end="", file=sys.stderr)
            count, failure = 0, None
            for info in database.entries()[name]:
                tested = dtype if dtype is not None else database.first_dtype(info)
                if tested is None or not database.supports(info, tested, needs_grad):
                    continue
                outcome = checks.run(check, info, tested, seed, limit)
                count += outcome.samples
                if outcome.failure is not None:
                    variant = f" ({info.variant_test_name})" if info.variant_test_name else ""
                    failure = failure or outcome.failure + variant
            if count or failure:
                named = "" if dtype is None else str(dtype).removeprefix("torch.")
                why = expected.why(name, backend, check, named)
                results.append(Result(backend, check, named, name, count, failure, why))
    return results


def report(results: Sequence[Result], out: TextIO) -> list[Result]:
    """Prints each failure and the count; returns the results that the published list does not foresee."""
    for result in results:
        if result.failure is not None:
            note = f" [expected: {result.reason}]" if result.reason else ""
            print(f"FAIL {result.name}: {result.failure}{note}", file=out)
        elif result.reason is not None:
            print(f"PASSES UNEXPECTEDLY {result.name}: it is on the list ({result.reason})", file=out)
    passed = sum(result.failure is None for result in results)
    print(f"{passed} of {len(results)} op names pass", file=out)
    return [result for result in results if result.unexpected]
