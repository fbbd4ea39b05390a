"""Joining, splitting and laying out again on PyTorch."""

from __future__ import annotations

from unified.backends.protocol import Natives

natives = Natives()
