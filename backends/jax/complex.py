"""Complex numbers: their parts, their conjugates, their making on JAX."""

from __future__ import annotations

from unified.backends.protocol import Natives

natives = Natives()
