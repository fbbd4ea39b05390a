"""A value that no gradient flows through."""

from __future__ import annotations

from unified._dispatch import op
from unified._tensor import Tensor


@op()
def stop_gradient(input: Tensor) -> Tensor:
    """``input``, a constant to every derivative; inside a composite what ``detach()`` is outside of one."""
