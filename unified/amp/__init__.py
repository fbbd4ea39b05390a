"""Mixed precision: which ops compute in 16 bits, and scaling of losses whose gradients 16 bits would lose."""

from unified.amp.autocast import autocast, get_autocast_dtype, is_autocast_available, is_autocast_enabled
from unified.amp.functions import custom_bwd, custom_fwd
from unified.amp.grad_scaler import GradScaler

__all__ = [
    "GradScaler", "autocast", "custom_bwd", "custom_fwd", "get_autocast_dtype", "is_autocast_available",
    "is_autocast_enabled",
]  # fmt: skip
