"""Complex numbers: their parts, their conjugates, their making."""

from __future__ import annotations

__all__: list[str] = []
