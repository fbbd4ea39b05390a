"""Affine layers."""

from __future__ import annotations

import math
from typing import Any

from unified._dtype import DType
from unified._tensor import Tensor
from unified.nn import functional as F
from unified.nn import init
from unified.nn.module import Module
from unified.nn.parameter import Parameter
from unified.ops.creation import empty


class Identity(Module):
    """Returns its input; takes and ignores any arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """``input``."""
        return input


class Linear(Module):
    """``input @ weight.T + bias``: ``(..., in_features) -> (..., out_features)``.

    Args:
        in_features: length of an input vector.
        out_features: length of an output vector.
        bias: whether there is one.

    Example:
        >>> nn.Linear(4, 8)(un.ones(2, 4)).shape
        unified.Size([2, 8])
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: DType | None = None
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(empty(out_features, in_features, device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(out_features, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform within ``1 / sqrt(in_features)``, as in PyTorch."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0.0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """``(..., out_features)`` of ``input (..., in_features)``."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
