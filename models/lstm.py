"""A recurrent classifier of sequences: embedding, LSTM, linear layer."""

from __future__ import annotations

from collections.abc import Sequence

from unified import Tensor, nn
from unified.nn.utils.rnn import pack_padded_sequence


class LSTMClassifier(nn.Module):
    """Logits of a sequence from the LSTM's last hidden state: ``(N, L)`` token ids to ``(N, classes)``.

    Args:
        vocabulary: number of token ids.
        width: features of an embedded token.
        hidden: features of the hidden state.
        classes: number of logits.
        layers: LSTMs, each over the outputs of the one below.
        dropout: probability of zeroing a feature between layers while training.
        bidirectional: read from both ends; the logits see both last states.
    """

    def __init__(
        self,
        vocabulary: int,
        width: int,
        hidden: int,
        classes: int,
        layers: int = 1,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, hidden, layers, batch_first=True, dropout=dropout, bidirectional=bidirectional)
        self.head = nn.Linear(hidden * (1 + bidirectional), classes)

    def forward(self, tokens: Tensor, lengths: Tensor | Sequence[int] | None = None) -> Tensor:
        """Logits ``(N, classes)`` of ``tokens (N, L)``, of which ``lengths`` count where it is given."""
        embedded = self.embedding(tokens)
        if lengths is not None:
            embedded = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        _, (last, _) = self.lstm(embedded)
        directions = 1 + self.lstm.bidirectional
        logits: Tensor = self.head(last[-directions:].transpose(0, 1).flatten(1))
        return logits
