"""Masked reductions and normalizations, by the names of ``torch.masked``."""

from __future__ import annotations
