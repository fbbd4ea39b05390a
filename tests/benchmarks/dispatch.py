"""What a call through the front end costs over the framework's own, on 8x8 tensors.

Run it as ``python -m tests.benchmarks.dispatch [torch] [jax] [tensorflow]``; :mod:`tests.benchmarks.timing` says how
it measures.
"""

from __future__ import annotations

import sys

import unified as un
from tests.benchmarks import native_gpt
from tests.benchmarks.timing import paired


def single_ops(backend: str) -> None:
    """add, relu and matmul without gradients, against the framework's own call."""
    with un.backend(backend):
        x, y = un.ones(8, 8), un.ones(8, 8)
    a, b = x.native, y.native
    for name, ours, native in (
        ("add", lambda: x + y, lambda: a + b),
        ("relu", lambda: un.relu(x), native_gpt.relu(backend, a)),
        ("matmul", lambda: x @ y, lambda: a @ b),
    ):
        mine, theirs, _ = paired(ours, native, (2000, 2000))
        print(f"{backend:11s} {name:7s} ours {mine * 1e6:7.2f} us  native {theirs * 1e6:7.2f} us  "
              f"difference {(mine - theirs) * 1e6:+6.2f} us")  # fmt: skip


def main() -> None:
    for backend in sys.argv[1:] or un.available_backends():
        single_ops(backend)


if __name__ == "__main__":
    main()
