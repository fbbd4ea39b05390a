"""Products of tensors beyond the plain matrix product."""

from __future__ import annotations

__all__: list[str] = []
