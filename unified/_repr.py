"""How a Tensor prints: PyTorch's layout, then the backend and device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unified._default import default_complex, default_dtype
from unified._dispatch import backends_by_type, tracing
from unified._dtype import bool_, int32

if TYPE_CHECKING:
    from unified._tensor import Tensor

_IMPLIED = (int32, bool_)


def render(tensor: Tensor) -> str:
    """``tensor([1., 2.], backend='jax', device='cpu', requires_grad=True)``."""
    backend = backends_by_type[type(tensor._native)]
    dtype = backend.dtype(tensor._native)
    name = "Parameter containing:\n" if type(tensor).__name__ == "Parameter" else ""
    notes = [f"backend='{backend.name}'"]
    if tracing() is not None or backend.compiler.is_traced(tensor._native):
        return f"{name}tensor(<traced>, size={tuple(tensor.shape)}, dtype={dtype}, {notes[0]})"
    notes.append(f"device='{backend.device(tensor._native)}'")
    values = backend.to_numpy(tensor._native)
    if values.dtype.name == "bfloat16":
        values = values.astype(np.float32)
    if dtype not in (*_IMPLIED, default_dtype(), default_complex()):
        notes.append(f"dtype={dtype}")
    if tensor.requires_grad:
        notes.append("requires_grad=True")
    if values.size == 0:
        return f"{name}tensor([], size={tuple(values.shape)}, {', '.join(notes)})"
    with np.printoptions(threshold=1000, edgeitems=3):
        text = np.array2string(
            values, precision=4, separator=", ", prefix="tensor(", max_line_width=80, floatmode="maxprec"
        )
    return f"{name}tensor({text}, {', '.join(notes)})"
