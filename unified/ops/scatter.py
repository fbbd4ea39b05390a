"""Writing at positions: scatter, put and their reductions."""

from __future__ import annotations

__all__: list[str] = []
