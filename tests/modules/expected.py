"""Known failures of the comparison, by name and backend, with the reason. Each fails the suite once it passes."""

from __future__ import annotations

from typing import NamedTuple


class Known(NamedTuple):
    """``check`` is ``"equal"`` or ``"refuses"``; ``backend`` and ``dtype`` are ``"*"`` for all."""

    name: str
    check: str
    backend: str
    dtype: str
    reason: str


KNOWN: tuple[Known, ...] = (
    Known("MultiheadAttention", "equal", "*", "*", "add_bias_kv and add_zero_attn are not arguments yet"),
    Known("KLDivLoss", "equal", "jax", "*", "the gradient of a negative target is a number where PyTorch says NaN"),
    Known("KLDivLoss", "equal", "tensorflow", "*", "as on JAX"),
    Known("BatchNorm1d", "refuses", "*", "*", "an eps that is not positive is taken"),
    Known("BatchNorm2d", "refuses", "*", "*", "an eps that is not positive is taken"),
    Known("BatchNorm3d", "refuses", "*", "*", "an eps that is not positive is taken"),
    Known("CrossEntropyLoss", "refuses", "jax", "*", "ignore_index is taken with probabilities"),
    Known("CrossEntropyLoss", "refuses", "tensorflow", "*", "ignore_index is taken with probabilities"),
    Known("HuberLoss", "refuses", "*", "*", "a complex delta is taken"),
    Known("NLLLoss", "refuses", "*", "*", "a weight of another dtype is taken"),
)


def why(name: str, check: str, backend: str, dtype: str) -> str | None:
    """Why this is expected to fail, or None."""
    for known in KNOWN:
        if (
            (known.name, known.check) == (name, check)
            and known.backend in ("*", backend)
            and known.dtype in ("*", dtype)
        ):
            return known.reason
    return None
