"""Attention layers."""

from __future__ import annotations

from typing import Any

from unified._dtype import DType
from unified._tensor import Tensor
from unified.errors import ArgumentError
from unified.nn import functional as F
from unified.nn import init
from unified.nn.linear import Linear
from unified.nn.module import Module
from unified.nn.parameter import Parameter
from unified.ops.creation import empty


class NonDynamicallyQuantizableLinear(Linear):
    """Linear under the name by which PyTorch prints the projection of an attention layer's output."""


class MultiheadAttention(Module):
    """Attention of several heads; Vaswani et al. (2017). Parameters have PyTorch's names and shapes.

    Args:
        embed_dim: features E of query and output.
        num_heads: heads, a divisor of it.
        dropout: probability of zeroing an attention weight while training.
        bias: whether the projections have one.
        add_bias_kv: one key and one value more, both learned.
        add_zero_attn: one key and one value more, of zeros.
        kdim: features of key, E unless given.
        vdim: features of value, E unless given.
        batch_first: ``(N, L, E)`` instead of ``(L, N, E)``.

    Raises:
        ArgumentError: E is no multiple of ``num_heads``.

    Example:
        >>> x = un.ones(5, 3, 8)
        >>> output, weights = nn.MultiheadAttention(8, 2)(x, x, x)
        >>> output.shape, weights.shape
        (unified.Size([5, 3, 8]), unified.Size([3, 5, 5]))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
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
        self.add_zero_attn = add_zero_attn
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
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias, device, dtype)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, Parameter(empty(1, 1, embed_dim, **place)) if add_bias_kv else None)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

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
        swap = self.batch_first and query.ndim == 3
        if swap and key.ndim == 3 and value.ndim == 3:
            query, key, value = query.transpose(0, 1), key.transpose(0, 1), value.transpose(0, 1)
        output, weights = F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=self.in_proj_weight is None,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return output.transpose(0, 1) if swap else output, weights
