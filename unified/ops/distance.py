"""Norms and distances."""

from __future__ import annotations

__all__: list[str] = []
