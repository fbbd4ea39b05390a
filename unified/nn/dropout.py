"""Dropout layers; Srivastava et al. (2014)."""

from __future__ import annotations

from unified._tensor import Tensor
from unified.errors import ArgumentError
from unified.nn import functional as F
from unified.nn.module import Module


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ArgumentError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        """The arguments."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """While training, zeroes each element with probability ``p`` and scales the rest by ``1 / (1 - p)``.

    Raises:
        ArgumentError: ``p`` is no probability.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``input``, thinned while training."""
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """While training, zeroes each channel of ``(N, C, L)`` or ``(C, L)`` with probability ``p`` and scales the rest.

    Raises:
        ArgumentError: ``p`` is no probability.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``input``, thinned while training."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """While training, zeroes each channel of ``(N, C, H, W)`` with probability ``p`` and scales the rest.

    Raises:
        ArgumentError: ``p`` is no probability.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``input``, thinned while training."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """While training, zeroes channels of ``(N, C, D, H, W)`` or ``(C, D, H, W)`` as Dropout1d does.

    Raises:
        ArgumentError: ``p`` is no probability.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``input``, thinned while training."""
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """While training, sets elements to SELU's negative limit with probability ``p``, and keeps mean and variance.

    Klambauer et al., "Self-Normalizing Neural Networks" (2017).

    Raises:
        ArgumentError: ``p`` is no probability.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``input``, thinned while training."""
        return F.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_Dropout):
    """:class:`AlphaDropout` of whole channels of ``(N, C, ...)``.

    Raises:
        ArgumentError: ``p`` is no probability.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``input``, thinned while training."""
        return F.feature_alpha_dropout(input, self.p, self.training)
