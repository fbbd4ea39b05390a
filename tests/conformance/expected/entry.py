"""One entry of the published list."""

from __future__ import annotations

from typing import NamedTuple


class Expected(NamedTuple):
    """Names (patterns allowed) that fail a check on some backends, and what is lacking."""

    names: tuple[str, ...]
    reason: str
    backends: tuple[str, ...] = ("torch", "jax", "tensorflow")
    checks: tuple[str, ...] = (
        "values", "grad", "gradgrad", "inplace", "errors", "compiled", "surface", "gradcheck", "gradgradcheck",
        "vmap", "jvp",
    )  # fmt: skip
    dtypes: tuple[str, ...] = ("*",)
    always: bool = True
    """False where some samples fail and others do not, so that a run of a few may pass."""
