"""Look-up tables."""

from __future__ import annotations

from typing import Any

from unified._dtype import DType
from unified._tensor import Tensor
from unified.autograd.grad_mode import no_grad
from unified.errors import ArgumentError
from unified.nn import functional as F
from unified.nn import init
from unified.nn.module import Module
from unified.nn.parameter import Parameter
from unified.ops.creation import empty


class Embedding(Module):
    """A row of ``weight (num_embeddings, embedding_dim)`` for each integer of the input.

    Args:
        num_embeddings: rows.
        embedding_dim: length of a row.
        padding_idx: a row that starts as zeros and is not trained.

    Raises:
        ArgumentError: ``padding_idx`` lies outside of the table.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ArgumentError("padding_idx must be within num_embeddings")
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = Parameter(empty(num_embeddings, embedding_dim, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Standard normal, zeros at ``padding_idx``."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    def forward(self, input: Tensor) -> Tensor:
        """``(..., embedding_dim)`` of indices ``input (...)``."""
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """The sizes."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
