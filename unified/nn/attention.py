"""Attention layers."""

from __future__ import annotations

import math
from typing import Any

from unified._dtype import DType
from unified._tensor import Tensor
from unified.errors import ArgumentError, ShapeError
from unified.nn import functional as F
from unified.nn import init
from unified.nn.linear import Linear
from unified.nn.module import Module
from unified.nn.parameter import Parameter
from unified.ops.creation import empty
from unified.ops.elementwise import where
from unified.ops.linalg import matmul


class MultiheadAttention(Module):
    """Attention of several heads; Vaswani et al. (2017). Parameters have PyTorch's names and shapes.

    Args:
        embed_dim: features E of query and output.
        num_heads: heads, a divisor of it.
        dropout: probability of zeroing an attention weight while training.
        bias: whether the projections have one.
        kdim: features of key, E unless given.
        vdim: features of value, E unless given.
        batch_first: ``(N, L, E)`` instead of ``(L, N, E)``.

    Raises:
        ArgumentError: E is no multiple of ``num_heads``.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ArgumentError(f"embed_dim {embed_dim} must be a positive multiple of num_heads {num_heads}")
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        packed = self.kdim == embed_dim and self.vdim == embed_dim
        sizes = {"q": embed_dim, "k": self.kdim, "v": self.vdim}
        if packed:
            self.register_parameter("in_proj_weight", Parameter(empty(3 * embed_dim, embed_dim, **place)))
        for letter, size in sizes.items():
            weight = None if packed else Parameter(empty(embed_dim, size, **place))
            self.register_parameter(f"{letter}_proj_weight", weight)
        if not packed:
            self.register_parameter("in_proj_weight", None)
        self.register_parameter("in_proj_bias", Parameter(empty(3 * embed_dim, **place)) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias, device, dtype)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The attended values and, if ``need_weights``, the attention weights.

        Args:
            query: ``(L, N, E)``, ``(N, L, E)`` with ``batch_first``, or ``(L, E)``.
            key: ``(S, N, kdim)`` and alike.
            value: ``(S, N, vdim)`` and alike.
            key_padding_mask: ``(N, S)``; bool (True is *not* seen) or added to the scores.
            need_weights: return the weights, which takes the slower way.
            attn_mask: ``(L, S)`` or ``(N * heads, L, S)``; bool (True is *not* seen) or added to the scores.
            average_attn_weights: weights ``(N, L, S)``, not ``(N, heads, L, S)``.
            is_causal: ``attn_mask`` is the causal one.

        Raises:
            ShapeError, DTypeError: the operands do not fit.
            ArgumentError: ``is_causal`` without ``attn_mask``.
        """
        if is_causal and attn_mask is None:
            raise ArgumentError("is_causal is a hint about attn_mask, which must be given too")
        if query.ndim not in (2, 3) or key.ndim != query.ndim or value.ndim != query.ndim:
            raise ShapeError(
                f"query, key and value must all have 2 or all have 3 dimensions, not {query.ndim}, {key.ndim} "
                f"and {value.ndim}"
            )
        batched = query.ndim == 3
        if not batched:
            query, key, value = query.unsqueeze(0), key.unsqueeze(0), value.unsqueeze(0)
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            query, key, value = query.transpose(0, 1), key.transpose(0, 1), value.transpose(0, 1)
        q, k, v = self._heads(query, key, value)
        mask = self._mask(attn_mask, key_padding_mask, query.shape[0], q.dtype)
        weights = None
        dropout = self.dropout if self.training else 0.0
        if need_weights:
            attended, weights = _weighted(q, k, v, mask, dropout)
        else:
            attended = F.scaled_dot_product_attention(q, k, v, mask, dropout)
        output = self.out_proj(attended.transpose(1, 2).flatten(2))
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if not batched:
            return output.squeeze(0), None if weights is None else weights.squeeze(0)
        return output if self.batch_first else output.transpose(0, 1), weights

    def _heads(self, *operands: Tensor) -> list[Tensor]:
        """The projected query, key and value, each ``(N, heads, length, head_dim)``."""
        if self.in_proj_weight is not None:
            matrices = self.in_proj_weight.chunk(3)
        else:
            matrices = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        return [
            F.linear(operand, matrix, bias).unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)
            for operand, matrix, bias in zip(operands, matrices, biases, strict=True)
        ]

    def _mask(self, attn: Tensor | None, padding: Tensor | None, batch: int, dtype: DType) -> Tensor | None:
        """Both masks as one that is added to the scores ``(N, heads, L, S)``."""
        if attn is not None:
            attn = _additive(attn, dtype)
            if attn.ndim == 3:
                attn = attn.unflatten(0, (batch, self.num_heads))
        if padding is not None:
            padding = _additive(padding, dtype).unsqueeze(1).unsqueeze(1)
        return padding if attn is None else attn if padding is None else attn + padding


def _additive(mask: Tensor, dtype: DType) -> Tensor:
    if mask.dtype.kind != "b":
        return mask.to(dtype)
    return where(mask, mask.zeros_like(dtype=dtype) - math.inf, mask.zeros_like(dtype=dtype))


def _weighted(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float
) -> tuple[Tensor, Tensor]:
    scores = matmul(query / math.sqrt(query.shape[-1]), key.transpose(-2, -1))
    weights = F.dropout(F.softmax(scores if mask is None else scores + mask, -1), dropout)
    return matmul(weights, value), weights
