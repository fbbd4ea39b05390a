"""One check of many names on one backend, what is printed of it, and the plan of the whole sweep."""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

import torch

import unified as un
from tests.conformance import checks, database, expected, gradchecks, handwritten
from tests.room import make_room


class Step(NamedTuple):
    """One check in one dtype (empty: float32, or what a name has), with samples drawn from a seed."""

    check: str
    dtype: str
    limit: int
    seed: int = 0


PLAN = (
    Step("surface", "", 1),
    Step("values", "", 6),
    Step("grad", "", 3),
    Step("gradgrad", "", 1),
    Step("inplace", "", 1),
    Step("errors", "", 99),
    Step("compiled", "", 1),
    Step("values", "bfloat16", 1),
    Step("values", "float64", 1),
    Step("values", "int32", 1),
    Step("values", "bool", 1),
    Step("values", "complex64", 1),
    Step("values", "", 4, seed=1),
    Step("grad", "", 2, seed=1),
    Step("gradcheck", "", 1),
    Step("gradcheck", "complex128", 1),
    Step("gradgradcheck", "", 1),
    Step("vmap", "", 8),
    Step("jvp", "", 4),
)  # fmt: skip
"""Everything that ``--all`` runs on each backend. Those with a seed are the second, independent draw; gradcheck's
have finite differences as their oracle, and 64 bits by default."""

BATCH = 12
"""Names that are compiled together, where one program each would take inductor an hour."""


class Result(NamedTuple):
    """One check of one name: of all its entries together."""

    backend: str
    step: Step
    name: str
    samples: int
    failure: str | None
    reason: str | None
    """Why a failure is expected, from the published list."""
    always: bool = True
    """Whether what is expected to fail must do so."""

    @property
    def unexpected(self) -> bool:
        if self.failure is None:
            return self.reason is not None and self.always
        return self.reason is None


def judged(backend: str, step: Step, name: str, samples: int, failure: str | None) -> Result:
    """A result beside what the published list says of it."""
    entry = expected.find(name, backend, step.check, step.dtype)
    known = (None, True) if entry is None else (entry.reason, entry.always)
    return Result(backend, step, name, samples, failure, *known)


def run(backend: str, step: Step, names: Sequence[str]) -> list[Result]:
    """Checks each name on one backend. Names without the dtype or without a sample to check are left out."""
    with un.backend(backend):
        passed = _compiled_together(backend, step, names) if step.check == "compiled" else {}
        results = []
        for name in names:
            results.append(passed[name] if name in passed else _check(backend, step, name))
            make_room()
    return [result for result in results if result is not None]


def _entries(step: Step, name: str) -> list[tuple[object, torch.dtype]]:
    """The entries of a name that support the step's dtype, each with the dtype it is tested in."""
    by_differences = step.check in gradchecks.NAMES
    needs_grad = step.check in checks.NEED_GRAD or by_differences
    found = []
    for info in database.entries().get(name, []):
        default = gradchecks.first_dtype if by_differences else database.first_dtype
        dtype = getattr(torch, step.dtype) if step.dtype else default(info)
        if dtype is not None and database.supports(info, dtype, needs_grad):
            found.append((info, dtype))
    return found


def _check(backend: str, step: Step, name: str) -> Result | None:
    count, failure = 0, None
    for info, dtype in _entries(step, name):
        outcome = checks.run(step.check, info, dtype, step.seed, step.limit)
        count += outcome.samples
        if outcome.failure is not None:
            variant = f" ({info.variant_test_name})" if info.variant_test_name else ""
            failure = failure or outcome.failure + variant
    if step.check in gradchecks.NAMES and not step.dtype:
        for case in handwritten.cases(name):
            outcome = checks.handwritten_case(step.check, case)
            count += outcome.samples
            failure = failure or outcome.failure
    if not count and failure is None:
        return None
    return judged(backend, step, name, count, failure)


def _compiled_together(backend: str, step: Step, names: Sequence[str]) -> dict[str, Result]:
    """Names that pass as parts of one program; the others are then looked at one by one."""
    passed: dict[str, Result] = {}
    hopeful = [name for name in names if expected.find(name, backend, step.check, step.dtype) is None]
    for start in range(0, len(hopeful), BATCH):
        batch = hopeful[start : start + BATCH]
        counts = checks.compiled_together([_entries(step, name) for name in batch], step.seed, step.limit)
        if counts is not None:
            pairs = zip(batch, counts, strict=True)
            passed |= {name: Result(backend, step, name, count, None, None) for name, count in pairs if count}
    return passed


def report(results: Sequence[Result], out: TextIO) -> list[Result]:
    """Prints each failure and the count; returns the results that the published list does not foresee."""
    for result in results:
        if result.failure is not None:
            note = f" [expected: {result.reason}]" if result.reason else ""
            print(f"FAIL {result.name}: {result.failure}{note}", file=out)
        elif result.unexpected:
            print(f"PASSES UNEXPECTEDLY {result.name}: it is on the list ({result.reason})", file=out)
    passed = sum(result.failure is None for result in results)
    print(f"{passed} of {len(results)} op names pass", file=out)
    return [result for result in results if result.unexpected]


def describe(result: Result) -> str:
    """One line on a result that is not as the published list says."""
    step = result.step
    said = result.failure if result.failure is not None else f"PASSES, though on the list: {result.reason}"
    return f"{result.backend} {step.check} {step.dtype or 'default'} seed {step.seed} {result.name}: {said}"


def planned(only: Sequence[str]) -> tuple[Step, ...]:
    """The steps of the plan that run one of these checks; all where none is named."""
    return tuple(step for step in PLAN if not only or step.check in only)


def _chunk(task: tuple[str, Sequence[str], Sequence[Step]]) -> list[Result]:
    backend, names, steps = task
    torch.set_num_threads(1)
    return [result for step in steps for result in run(backend, step, names)]


def load(path: Path) -> list[Result]:
    """Results that :func:`keep` wrote; none where there is no such file."""
    if not path.exists():
        return []
    return [Result(b, Step(*step), *rest) for b, step, *rest in json.loads(path.read_text())]


def keep(path: Path, results: Sequence[Result]) -> None:
    """Writes results, so that a later run of a few names can take the others' from here."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results))


def updated(
    old: Sequence[Result],
    new: Sequence[Result],
    backends: Iterable[str],
    names: Iterable[str],
    steps: Sequence[Step] = PLAN,
) -> list[Result]:
    """``old`` with what was run anew replaced by ``new``, and what is expected read from the list again."""
    again = {(backend, name) for backend in backends for name in names}
    kept = [r for r in old if r.step in PLAN and not (r.step in steps and (r.backend, r.name) in again)]
    return [judged(r.backend, r.step, r.name, r.samples, r.failure) for r in (*kept, *new)]


def run_all(
    backends: Iterable[str], names: Sequence[str], jobs: int, steps: Sequence[Step] = PLAN, chunks: int = 6
) -> list[Result]:
    """Steps of the plan on each backend, in ``jobs`` processes that each live for one chunk of the names."""
    tasks = [(backend, names[part::chunks], steps) for part in range(chunks) for backend in backends]
    found: list[Result] = []
    with multiprocessing.get_context("spawn").Pool(jobs, maxtasksperchild=1) as pool:
        for done, results in enumerate(pool.imap_unordered(_chunk, tasks), 1):
            found += results
            print(f"{done} of {len(tasks)} parts", file=sys.stderr, flush=True)
            for result in results:
                if result.unexpected:
                    print(describe(result), file=sys.stderr, flush=True)
    order = {name: place for place, name in enumerate(names)}
    return sorted(found, key=lambda result: (PLAN.index(result.step), order[result.name], result.backend))
