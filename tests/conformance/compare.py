"""When a result counts as PyTorch's: shape, dtype, and values to a tolerance with a reason.

``TOLERANCES`` are relative and absolute. float32 is compared to a few dozen units in the last place, for sums that
frameworks order differently. A value outside of it may still be as good as PyTorch's own: the oracle is computed once
more in float64, and ours may be off by up to ``SLACK`` times what PyTorch's float32 result is off, which is what
ill-conditioned problems (inverses, decompositions, differences of near equals) need.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import unified as un
from tests.conformance.translate import array_of, dtype_of
from unified._dtype import narrow

TOLERANCES = {
    torch.float64: (1e-7, 1e-7),  # sums that two frameworks order differently
    torch.float32: (1e-5, 1e-5),
    torch.complex64: (1e-5, 1e-5),
    torch.complex128: (1e-7, 1e-7),
    torch.bfloat16: (2e-2, 2e-2),  # 8 bits: two roundings in another order
    torch.float16: (2e-3, 2e-3),
}
SLACK = 20.0
LOOSER = {
    # its samples have logits of some hundreds, so that their last place moves the softmax by 1e-5 to 1e-4
    "nn.functional.multi_head_attention_forward": 10.0,
}
"""Names whose tolerances are so many times wider, with the reason."""


def same_kind(ours: un.DType, theirs: torch.dtype) -> bool:
    """PyTorch's dtype, or its 32-bit counterpart."""
    expected = dtype_of(theirs)
    return ours is expected or ours is narrow(expected)


def difference(ours: Any, theirs: Any, precise: Any = None, loosen: float = 1.0) -> str | None:
    """What sets a result apart from PyTorch's, or None. ``precise`` is the oracle's result in float64, if known."""
    if not isinstance(theirs, torch.Tensor):
        if isinstance(ours, un.Tensor):
            return f"a Tensor where PyTorch has {theirs!r}"
        if isinstance(theirs, torch.dtype):
            return None if same_kind(ours, theirs) else f"{ours} for {theirs}"
        if isinstance(theirs, (float, complex)):
            close = np.allclose(ours, theirs, rtol=1e-5, atol=1e-6, equal_nan=True)
            return None if close else f"{ours!r} for {theirs!r}"
        same = tuple(ours) == tuple(theirs) if isinstance(theirs, torch.Size) else ours == theirs
        return None if same else f"{ours!r} for {theirs!r}"
    if not isinstance(ours, un.Tensor):
        return f"{type(ours).__name__} where PyTorch has a tensor"
    if tuple(ours.shape) != tuple(theirs.shape):
        return f"shape {tuple(ours.shape)} for {tuple(theirs.shape)}"
    if not same_kind(ours.dtype, theirs.dtype):
        return f"dtype {ours.dtype.name} for {theirs.dtype}"
    found, expected = np.asarray(ours.detach().numpy()), array_of(theirs)
    if theirs.dtype not in TOLERANCES:
        return None if np.array_equal(found, expected) else _report(found, expected)
    wide = np.complex128 if theirs.dtype.is_complex else np.float64
    found, expected = found.astype(wide), expected.astype(wide)
    rtol, atol = (loosen * bound for bound in TOLERANCES[theirs.dtype])
    if np.allclose(found, expected, rtol=rtol, atol=atol, equal_nan=True):
        return None
    if precise is not None and found.size:
        exact = array_of(precise).astype(wide)
        gaps = np.abs(expected - exact)
        scale = gaps[np.isfinite(gaps)].max(initial=0.0)
        if np.allclose(found, exact, rtol=rtol, atol=atol + SLACK * scale, equal_nan=True):
            return None
    return _report(found, expected)


def _report(found: np.ndarray, expected: np.ndarray) -> str:
    with np.errstate(all="ignore"):
        apart = ~np.isclose(found, expected, rtol=1e-5, atol=1e-5, equal_nan=True)
    if not apart.any():
        return "values differ slightly"
    place = tuple(int(i) for i in np.argwhere(apart)[0])
    return (
        f"{int(apart.sum())} of {apart.size} elements differ, first {found[place]} for {expected[place]} at {place}"
    )
