"""Joining, splitting and laying out again."""

from __future__ import annotations

__all__: list[str] = []
