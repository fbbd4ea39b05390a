"""What a probe is, and values that many of them share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Probe = tuple[str, Callable[..., Any], list[list[Any]]]
"""A name, a function of the library (``torch`` or ``un``) and of tensors, and those tensors' values in float32."""

NAN, INF = float("nan"), float("inf")
ZEROS = [0.0, -0.0, 1.0, -2.0]
TIES = [1.0, 3.0, 3.0, -1.0]
HALVES = [-1.5, -0.5, 0.5, 1.5, 2.5, 0.0]
