"""A multilayer perceptron."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from unified import Tensor, nn


class MLP(nn.Module):
    """Linear layers with ReLU between them: ``(..., in_features) -> (..., out_features)``.

    Args:
        in_features: length of an input vector.
        hidden: widths of the hidden layers, e.g. ``(64, 64)``; may be empty.
        out_features: length of an output vector.
        dropout: probability of zeroing a hidden activation while training.
    """

    def __init__(self, in_features: int, hidden: Sequence[int], out_features: int, dropout: float = 0.0) -> None:
        super().__init__()
        widths = (in_features, *hidden)
        layers: list[nn.Module] = []
        for narrow, wide in itertools.pairwise(widths):
            layers += [nn.Linear(narrow, wide), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
        layers.append(nn.Linear(widths[-1], out_features))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(..., out_features)`` of ``x (..., in_features)``."""
        output: Tensor = self.layers(x)
        return output
