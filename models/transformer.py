"""The Transformer that translates one sequence into another; Vaswani et al., "Attention Is All You Need" (2017)."""

from __future__ import annotations

import math

import unified as un
from unified import Tensor, nn


def sinusoids(length: int, width: int) -> Tensor:
    """``(length, width)``: sines and cosines of each position, in wavelengths from 2 pi to 10,000 times that."""
    position = un.arange(length).unsqueeze(1)
    rates = un.exp(un.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = position * rates
    pairs: Tensor = un.stack([un.sin(angles), un.cos(angles)], -1)
    table: Tensor = pairs.flatten(1)[:, :width]
    return table


class TranslationTransformer(nn.Module):
    """Logits of the next target token at each position: ``(N, S)`` and ``(N, T)`` ids to ``(N, T, vocabulary)``.

    Args:
        source_vocabulary, target_vocabulary: numbers of token ids.
        width: features per token, a multiple of ``heads``.
        heads: attention heads.
        layers: of the encoder, and as many of the decoder.
        hidden: features within a layer's feed-forward part.
        context: the longest sequence.
        dropout: probability of zeroing an activation while training.
        padding: the source id that is not to be seen, if there is one.
    """

    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        width: int = 512,
        heads: int = 8,
        layers: int = 6,
        hidden: int = 2048,
        context: int = 512,
        dropout: float = 0.1,
        padding: int | None = None,
    ) -> None:
        super().__init__()
        self.padding = padding
        self.scale = math.sqrt(width)
        self.source_embedding = nn.Embedding(source_vocabulary, width)
        self.target_embedding = nn.Embedding(target_vocabulary, width)
        self.register_buffer("positions", sinusoids(context, width), persistent=False)
        self.register_buffer("causal", nn.Transformer.generate_square_subsequent_mask(context), persistent=False)
        self.dropout = nn.Dropout(dropout)
        self.transformer = nn.Transformer(width, heads, layers, layers, hidden, dropout, batch_first=True)
        self.head = nn.Linear(width, target_vocabulary)

    def _embedded(self, embedding: nn.Module, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.dropout(embedding(tokens) * self.scale + self.positions[: tokens.shape[1]])
        return embedded

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits ``(N, T, target_vocabulary)``; position t sees the source ``(N, S)`` and ``target[:, : t + 1]``."""
        length = target.shape[1]
        hidden = None if self.padding is None else source == self.padding
        decoded = self.transformer(
            self._embedded(self.source_embedding, source),
            self._embedded(self.target_embedding, target),
            tgt_mask=self.causal[:length, :length],
            src_key_padding_mask=hidden,
            memory_key_padding_mask=hidden,
            tgt_is_causal=True,
        )
        logits: Tensor = self.head(decoded)
        return logits
