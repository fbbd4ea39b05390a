"""Samples of the op database as ours, and our results as numpy arrays."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

import unified as un
from unified._dispatch import wrap
from unified._dtype import DType, dtype_named, narrow
from unified.backends import registry


def dtype_of(dtype: torch.dtype) -> DType:
    """Our dtype of the same name."""
    return dtype_named(str(dtype).removeprefix("torch."))


def array_of(tensor: torch.Tensor) -> np.ndarray:
    with temporarily_clear_interpreter_stack():  # in a transform each call would wrap its result
        if tensor.dtype is torch.bfloat16:
            return tensor.to(torch.float32).numpy(force=True).astype(ml_dtypes.bfloat16)
        return tensor.numpy(force=True)


class Translator:
    """Makes our arguments of PyTorch's, on the current backend; the same Tensor for the same tensor.

    64-bit integers become 32-bit ones, as everywhere in the library, unless they are what is tested. ``adopt`` wraps
    tensors as they are, in PyTorch's graph, instead of copying them.
    """

    def __init__(self, tested: torch.dtype, adopt: bool = False) -> None:
        self.tested = tested
        self.adopt = adopt
        self.made: dict[int, tuple[torch.Tensor, un.Tensor]] = {}

    def __call__(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return self.tensor(value)
        if isinstance(value, torch.dtype):
            return dtype_of(value)
        if isinstance(value, torch.device):
            return str(value.type)
        if isinstance(value, dict):
            return {k: self(v) for k, v in value.items() if k not in ("layout", "pin_memory", "memory_format")}
        if isinstance(value, torch.Size):
            return tuple(value)
        if isinstance(value, slice):
            return slice(self(value.start), self(value.stop), self(value.step))
        if isinstance(value, (list, tuple)):
            return type(value)(self(member) for member in value)
        return value

    def tensor(self, value: torch.Tensor) -> un.Tensor:
        held = self.made.get(id(value))
        if held is not None:
            return held[1]
        if self.adopt:
            return un.from_native(value)
        dtype = dtype_of(value.dtype)
        if dtype is un.int64 and self.tested is not torch.int64:
            dtype = narrow(dtype)
        made = wrap(registry.load(un.get_backend()).from_numpy(array_of(value), dtype, None))
        if value.requires_grad:
            made.requires_grad_()
        self.made[id(value)] = (value, made)
        return made


def flat(result: Any) -> list[Any]:
    """The members of a result that is a tensor, a number, or (named) tuples and lists of them."""
    if isinstance(result, (list, tuple)) and not isinstance(result, (torch.Size, un.Size)):
        return [leaf for member in result for leaf in flat(member)]
    return [result]
