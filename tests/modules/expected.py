"""Known failures of the comparison, by name and backend, with the reason. Each fails the suite once it passes."""

from __future__ import annotations

from typing import NamedTuple


class Known(NamedTuple):
    """``check`` is ``"equal"`` or ``"refuses"``; ``backend`` and ``dtype`` are ``"*"`` for all."""

    name: str
    check: str
    backend: str
    dtype: str
    reason: str


KNOWN: tuple[Known, ...] = ()


def why(name: str, check: str, backend: str, dtype: str) -> str | None:
    """Why this is expected to fail, or None."""
    for known in KNOWN:
        if (
            (known.name, known.check) == (name, check)
            and known.backend in ("*", backend)
            and known.dtype in ("*", dtype)
        ):
            return known.reason
    return None
