"""A small convolutional network for 8x8 digits."""

from __future__ import annotations

from unified import Tensor, nn


class DigitsCNN(nn.Module):
    """Two convolution blocks with batch norm, dropout and a linear layer: ``(N, 1, 8, 8) -> (N, classes)``.

    Args:
        classes: number of logits.
        dropout: probability of zeroing a feature before the last layer while training.
    """

    def __init__(self, classes: int = 10, dropout: float = 0.25) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1, bias=False)  # batch norm has the bias
        self.norm1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(32)
        self.pool = nn.MaxPool2d(2)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(32 * 2 * 2, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``x (N, 1, 8, 8)``."""
        x = self.pool(self.relu(self.norm1(self.conv1(x))))
        x = self.pool(self.relu(self.norm2(self.conv2(x))))
        logits: Tensor = self.head(self.dropout(x.flatten(1)))
        return logits
