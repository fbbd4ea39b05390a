"""Factorizations of matrices on PyTorch."""

from __future__ import annotations

from unified.backends.protocol import Natives

natives = Natives()
