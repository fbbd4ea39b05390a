"""Optimisers of TensorFlow's own over our parameters: none."""

from __future__ import annotations

from unified.backends.protocol import Natives

natives = Natives()
