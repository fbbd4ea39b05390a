"""Spectra over time on TensorFlow."""

from __future__ import annotations

from unified.backends.protocol import Natives

natives = Natives()
