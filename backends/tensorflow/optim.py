"""Optimiser updates on TensorFlow: none, since the composites compile to one XLA program for all parameters."""

from __future__ import annotations

from unified.backends.protocol import Natives

natives = Natives()
