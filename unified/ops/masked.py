"""Reductions and normalizations of the elements that a mask lets through."""

from __future__ import annotations

__all__: list[str] = []
