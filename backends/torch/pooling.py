"""Pooling and its inverses on PyTorch."""

from __future__ import annotations

from unified.backends.protocol import Natives

natives = Natives()
