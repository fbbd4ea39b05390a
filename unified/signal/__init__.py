"""Signals, by the names of ``torch.signal``."""

from unified.signal import windows
