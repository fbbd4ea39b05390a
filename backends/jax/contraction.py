"""Products of tensors beyond the plain matrix product on JAX."""

from __future__ import annotations

from unified.backends.protocol import Natives

natives = Natives()
