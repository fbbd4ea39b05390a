"""Tensors from any library that speaks DLPack; ``__dlpack__`` of a Tensor is the other way."""

from __future__ import annotations

from typing import Any

from unified._dispatch import wrap
from unified._selection import current_backend
from unified._tensor import Tensor
from unified.backends import registry
from unified.errors import OperandError
from unified.ops.creation import from_native


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A Tensor on the current backend over the memory of another library's, where the device allows it.

    Neither side sees what the other writes from then on as long as both keep to values; a write in place by the other
    library may show here.

    Example: ``un.from_dlpack(np.arange(3, dtype=np.float32))``.

    Raises:
        OperandError: it does not speak DLPack, or the backend does not take its layout or dtype.
    """
    backend = current_backend()
    if isinstance(ext_tensor, Tensor):
        return ext_tensor.detach().to(backend=backend.name)
    if registry.owner_of(type(ext_tensor)) is not None:
        return from_native(ext_tensor).detach().to(backend=backend.name)
    if not hasattr(ext_tensor, "__dlpack__"):
        raise OperandError(f"from_dlpack: a {type(ext_tensor).__name__} does not speak DLPack; use un.tensor(data)")
    try:
        found = wrap(backend.from_dlpack(ext_tensor))
    except (RuntimeError, BufferError, TypeError, ValueError) as error:
        raise OperandError(
            f"from_dlpack: {backend.name} does not take this {type(ext_tensor).__name__} ({error}); make a copy with "
            "un.tensor(data)"
        ) from error
    found._shared = True
    return found
