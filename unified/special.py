"""Special functions, by the names of ``torch.special``."""

from __future__ import annotations

from unified.ops.arithmetic import exp2
from unified.ops.elementwise import expm1, log1p, round

__all__ = ["exp2", "expm1", "log1p", "round"]
