"""Covariance, histograms, integrals and differences."""

from __future__ import annotations

__all__: list[str] = []
