"""Windows, by the names of ``torch.signal.windows``."""

from __future__ import annotations
