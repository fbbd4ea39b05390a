"""What the options of several optimisers have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from unified.errors import ArgumentError


def decay_rate(name: str, beta: float) -> dict[str, float]:
    """``beta``, ``1 - beta`` and ``log(beta)``, each rounded on its own: float32's ``1 - 0.999`` lost 3 digits."""
    beta = float(beta)
    return {name: beta, f"1-{name}": 1.0 - beta, f"log {name}": math.log(beta) if beta else -math.inf}


def beta_numbers(options: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of the two decay rates of Adam and its kin."""
    first, second = options["betas"]
    return {**decay_rate("beta1", first), **decay_rate("beta2", second)}


def require(fits: bool, optimizer: object, what: str, value: object) -> None:
    """Raises ArgumentError, in the words "Adam: <what>, but it is <value>", unless ``fits``."""
    if not fits:
        raise ArgumentError(f"{type(optimizer).__name__}: {what}, but it is {value}")
