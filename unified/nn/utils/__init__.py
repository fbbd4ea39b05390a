"""What PyTorch keeps under ``torch.nn.utils``."""

from unified.nn.utils import rnn

__all__ = ["rnn"]
