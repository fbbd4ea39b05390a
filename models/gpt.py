"""A small GPT: learned positions, pre-layer-norm blocks, causal self-attention, untied output layer.

Radford et al., "Language Models are Unsupervised Multitask Learners" (2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import unified as un
import unified.nn.functional as F
from unified import Tensor, nn


@dataclass(frozen=True)
class GPTConfig:
    """Sizes of a GPT.

    Attributes:
        vocabulary: number of token ids.
        width: features per token, a multiple of ``heads``.
        layers: number of blocks.
        heads: attention heads per block.
        context: the longest sequence, in tokens.
        dropout: probability of zeroing an activation while training.
    """

    vocabulary: int
    width: int
    layers: int
    heads: int
    context: int
    dropout: float = 0.0

    @classmethod
    def tiny(cls) -> GPTConfig:
        """For tests: 2 layers of 32 features, 16 tokens."""
        return cls(vocabulary=100, width=32, layers=2, heads=2, context=16)

    @classmethod
    def small(cls) -> GPTConfig:
        """For benchmarks: 4 layers of 128 features, 64 tokens."""
        return cls(vocabulary=1000, width=128, layers=4, heads=4, context=64)


class CausalSelfAttention(nn.Module):
    """Multi-head attention of each token to itself and those before it: ``(N, T, width)`` in and out."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        if config.width % config.heads:
            raise ValueError(f"width {config.width} must be a multiple of heads {config.heads}")
        self.heads = config.heads
        self.dropout = config.dropout
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.projection = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """The attended values of ``x (N, T, width)``."""
        n, t, width = x.shape
        query, key, value = (
            part.reshape(n, t, self.heads, width // self.heads).transpose(1, 2)
            for part in self.qkv(x).split(width, dim=2)
        )
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
        output: Tensor = self.projection(attended.transpose(1, 2).reshape(n, t, width))
        return output


class Block(nn.Module):
    """Attention and a two-layer perceptron, each behind a layer norm and beside a residual connection."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width)
        self.attention = CausalSelfAttention(config)
        self.norm2 = nn.LayerNorm(config.width)
        self.expand = nn.Linear(config.width, 4 * config.width)
        self.contract = nn.Linear(4 * config.width, config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``x (N, T, width)`` and what the block adds to it."""
        x = x + self.dropout(self.attention(self.norm1(x)))
        hidden = F.gelu(self.expand(self.norm2(x)), approximate="tanh")
        output: Tensor = x + self.dropout(self.contract(hidden))
        return output


class GPT(nn.Module):
    """Next-token logits of token ids: ``(N, T) -> (N, T, vocabulary)``.

    Example:
        >>> model = GPT(GPTConfig.tiny())
        >>> model(un.zeros(4, 16, dtype=un.int32)).shape
        unified.Size([4, 16, 100])
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Embedding(config.context, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.vocabulary, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of the token after each of ``ids (N, T)``.

        Raises:
            ValueError: T exceeds ``config.context``.
        """
        length = ids.shape[1]
        if length > self.config.context:
            raise ValueError(f"{length} tokens exceed the context of {self.config.context}")
        x = self.dropout(self.tokens(ids) + self.positions(un.arange(length, device=ids.device)))
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x))
        return logits
