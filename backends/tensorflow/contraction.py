"""Products of tensors beyond the plain matrix product on TensorFlow."""

from __future__ import annotations

from unified.backends.protocol import Natives

natives = Natives()
