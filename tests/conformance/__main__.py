"""Compares our ops with PyTorch's own op database.

    python -m tests.conformance --backend jax                     values in float32, of every name in scope
    python -m tests.conformance --backend jax --grad add linalg.  gradients, of names that are or start with these
    python -m tests.conformance --backend jax --check errors      values, grad, gradgrad, inplace, errors or compiled
    python -m tests.conformance --backend jax --check gradcheck   finite differences, gradgradcheck too
    python -m tests.conformance --backend jax --check vmap        against a loop over examples
    python -m tests.conformance --backend jax --check jvp         against torch.func.jvp
    python -m tests.conformance --backend jax --dtype int32
    python -m tests.conformance --all --write docs/conformance.md
    python -m tests.conformance --all --only vmap --only jvp --update --write docs/conformance.md

Prints ``N of M op names pass`` and why the others do not. Exit code 1 if one fails that is not on the published
list (``expected.py``), or if one on it passes.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")  # a sweep compiles more than it computes

import unified as un
from tests.conformance import checks, database, handwritten, publish, sweep

KEPT = Path("build/conformance.json")
"""Results of the last ``--all``, for ``--update``."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="names, or what they start with if it ends in a dot")
    parser.add_argument("--backend", choices=un.available_backends(), help="one backend; --all takes all by default")
    parser.add_argument("--check", default="values", choices=list(checks.CHECKS))
    parser.add_argument("--grad", action="store_true", help="the same as --check grad")
    parser.add_argument(
        "--dtype", default="", help="by default float32, or what a name has where that is not supported"
    )
    parser.add_argument("--samples", type=int, default=8, help="samples of each entry, spread over all of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="every check, dtype and backend of the plan")
    parser.add_argument("--only", action="append", default=[], choices=list(checks.CHECKS), help="a check of --all")
    parser.add_argument("--jobs", type=int, default=2, help="processes of --all")
    parser.add_argument("--update", action="store_true", help="take the other results from the last --all")
    parser.add_argument("--write", type=Path, help="where --all writes its tables, in Markdown")
    options = parser.parse_args()
    names = _chosen(options.names)
    start = time.monotonic()
    if options.all:
        backends = (options.backend,) if options.backend else un.available_backends()
        steps = sweep.planned(options.only)
        results = sweep.run_all(backends, names, options.jobs, steps)
        if options.update:
            results = sweep.updated(sweep.load(KEPT), results, backends, names, steps)
        sweep.keep(KEPT, results)
        unexpected = publish.summarize(results, sys.stdout)
        if options.write is not None:
            options.write.write_text(publish.page(results, database.names_in_scope()))
    elif options.backend is None:
        parser.error("--backend is needed, or --all")
    else:
        step = sweep.Step("grad" if options.grad else options.check, options.dtype, options.samples, options.seed)
        unexpected = sweep.report(sweep.run(options.backend, step, names), sys.stdout)
    print(f"{time.monotonic() - start:.0f} s")
    return 1 if unexpected else 0


def _chosen(asked: list[str]) -> list[str]:
    known = [*database.names_in_scope(), *handwritten.NAMES]
    if not asked:
        return known
    chosen = [n for n in known if any(n == a or (a.endswith(".") and n.startswith(a)) for a in asked)]
    absent = [a for a in asked if a not in chosen and not a.endswith(".")]
    if absent:
        raise SystemExit(f"not in the op database, or out of scope: {', '.join(absent)}")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
