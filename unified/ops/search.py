"""Searching, counting and making unique."""

from __future__ import annotations

__all__: list[str] = []
