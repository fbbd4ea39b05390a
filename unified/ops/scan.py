"""Running extremes and sums along a dimension."""

from __future__ import annotations

__all__: list[str] = []
