"""Compares our ops with PyTorch's own op database.

    python -m tests.conformance --backend jax                     values in float32, of every name in scope
    python -m tests.conformance --backend jax --grad add linalg.  gradients, of names that are or start with these
    python -m tests.conformance --backend jax --check errors      values, grad, gradgrad, inplace, errors or compiled
    python -m tests.conformance --backend jax --dtype int32

Prints ``N of M op names pass`` and why the others do not. Exit code 1 if one fails that is not on the published
list (``expected.py``), or if one on it passes.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")  # a sweep compiles more than it computes

import torch

import unified as un
from tests.conformance import checks, database, sweep


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("names", nargs="*", help="names, or what they start with if it ends in a dot")
    parser.add_argument("--backend", required=True, choices=un.available_backends())
    parser.add_argument("--check", default="values", choices=list(checks.CHECKS))
    parser.add_argument("--grad", action="store_true", help="the same as --check grad")
    parser.add_argument("--dtype", help="by default float32, or what a name has where that is not supported")
    parser.add_argument("--samples", type=int, default=8, help="samples of each entry, spread over all of them")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    check = "grad" if options.grad else options.check
    names = _chosen(options.names)
    start = time.monotonic()
    dtype = getattr(torch, options.dtype) if options.dtype else None
    results = sweep.run(options.backend, check, dtype, names, options.seed, options.samples)
    unexpected = sweep.report(results, sys.stdout)
    print(f"{time.monotonic() - start:.0f} s")
    return 1 if unexpected else 0


def _chosen(asked: list[str]) -> list[str]:
    known = database.names_in_scope()
    if not asked:
        return known
    chosen = [n for n in known if any(n == a or (a.endswith(".") and n.startswith(a)) for a in asked)]
    absent = [a for a in asked if a not in chosen and not a.endswith(".")]
    if absent:
        raise SystemExit(f"not in the op database, or out of scope: {', '.join(absent)}")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
