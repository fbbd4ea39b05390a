"""Special functions, by the names of ``torch.special``."""

from __future__ import annotations
