"""Writing at positions: scatter, put and their reductions on JAX."""

from __future__ import annotations

from unified.backends.protocol import Natives

natives = Natives()
