"""Norms of matrices and distances on JAX."""

from __future__ import annotations

from unified.backends.protocol import Natives

natives = Natives()
