"""Linear algebra, by the names of ``torch.linalg``."""

from __future__ import annotations
