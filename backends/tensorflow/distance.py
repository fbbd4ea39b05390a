"""Norms of matrices and distances on TensorFlow."""

from __future__ import annotations

from unified.backends.protocol import Natives

natives = Natives()
