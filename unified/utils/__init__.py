"""What PyTorch keeps under ``torch.utils``."""

from unified.utils import checkpoint

__all__ = ["checkpoint"]
