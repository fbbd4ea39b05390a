"""More arithmetic, comparison and rounding of elements on TensorFlow."""

from __future__ import annotations

from unified.backends.protocol import Natives

natives = Natives()
