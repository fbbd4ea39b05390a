"""PyTorch's place for ``checkpoint``."""

from unified.autograd import checkpoint

__all__ = ["checkpoint"]
