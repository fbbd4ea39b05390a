"""PyTorch's op database: which entries a name has, and samples drawn from them."""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import torch

from tests.conformance import eigenvalues
from tests.conformance.scope import why_out_of_scope


@functools.cache
def entries() -> dict[str, list[Any]]:
    """Every OpInfo by name; several where PyTorch tests variants of one op."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db  # ten seconds: only when asked for
    found: dict[str, list[Any]] = {}
    for info in op_db:
        found.setdefault(info.name, []).append(info)
    return found


def names_in_scope() -> list[str]:
    return [name for name in entries() if why_out_of_scope(name) is None]


def supports(info: Any, dtype: torch.dtype, grad: bool = False) -> bool:
    """Whether PyTorch's CPU kernels take this dtype (and differentiate it)."""
    listed = info.supported_backward_dtypes("cpu") if grad else info.supported_dtypes("cpu")
    return dtype in listed and (info.supports_autograd or not grad)


DTYPES = (torch.float32, torch.int32, torch.bool, torch.complex64, torch.int64)


def first_dtype(info: Any) -> torch.dtype | None:
    """float32 where the entry supports it, else the next that it does."""
    return next((dtype for dtype in DTYPES if supports(info, dtype)), None)


def samples(info: Any, dtype: torch.dtype, requires_grad: bool, seed: int, limit: int) -> list[Any]:
    """Up to ``limit`` samples, spread evenly over those that the database draws from ``seed``."""
    torch.manual_seed(seed)
    drawn = [s for s in info.sample_inputs("cpu", dtype, requires_grad) if _comparable(s)]
    if info.name in eigenvalues.NAMES:
        for sample in drawn:
            sample.output_process_fn_grad = eigenvalues.in_order(sample.output_process_fn_grad)
    if len(drawn) <= limit:
        return drawn
    places = sorted({round(i * (len(drawn) - 1) / (limit - 1)) for i in range(limit)}) if limit > 1 else [0]
    return [drawn[place] for place in places]


def leaves(value: Any) -> Iterator[Any]:
    """The members of nested tuples, lists and dicts."""
    if isinstance(value, dict):
        value = value.values()
    elif isinstance(value, slice):
        value = (value.start, value.stop, value.step)
    elif not isinstance(value, (list, tuple)) or isinstance(value, torch.Size):
        yield value
        return
    yield from itertools.chain.from_iterable(leaves(member) for member in value)


_NO_COUNTERPART = (torch.memory_format, torch.layout)
_NO_OPTIONS = ("pin_memory", "layout", "out")


def expressible(sample: Any) -> bool:
    """Whether a bad input can be put to us: in our one layout, with values, in as many dimensions as numpy holds."""
    tensors = [leaf for leaf in leaves((sample.input, sample.args, sample.kwargs)) if isinstance(leaf, torch.Tensor)]
    plain = all(t.layout is torch.strided and t.device.type == "cpu" and t.ndim <= 64 for t in tensors)
    return plain and sample.kwargs.get("layout") in (None, torch.strided)


def _comparable(sample: Any) -> bool:
    """Whether a sample needs no memory layout, which value semantics lack; a format of dense tensors may be named."""
    if any(sample.kwargs.get(name) not in (None, False, torch.strided) for name in _NO_OPTIONS):
        return False
    for leaf in leaves((sample.input, sample.args)):
        if isinstance(leaf, _NO_COUNTERPART):
            return False
        if isinstance(leaf, torch.Tensor) and (leaf.layout is not torch.strided or leaf.dtype is torch.complex32):
            return False
    return True
