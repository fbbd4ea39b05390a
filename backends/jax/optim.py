"""Optimiser updates on JAX: none, since the composites compile to one program for all parameters."""

from __future__ import annotations

from unified.backends.protocol import Natives

natives = Natives()
