"""More arithmetic, comparison and rounding of elements."""

from __future__ import annotations

__all__: list[str] = []
