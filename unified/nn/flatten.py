"""Layers that reshape."""

from __future__ import annotations

from unified._tensor import Tensor
from unified.nn.module import Module


class Flatten(Module):
    """Dimensions ``start_dim`` to ``end_dim`` as one. Example: ``(8, 3, 4, 4) -> (8, 48)``."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        """``input``, flattened."""
        flat: Tensor = input.flatten(self.start_dim, self.end_dim)
        return flat

    def extra_repr(self) -> str:
        """The dimensions."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Dimension ``dim`` as several. Example: ``Unflatten(1, (3, 4))`` makes ``(8, 12)`` into ``(8, 3, 4)``."""

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        super().__init__()
        self.dim = dim
        self.unflattened_size = unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        """``input``, unflattened."""
        unflat: Tensor = input.unflatten(self.dim, self.unflattened_size)
        return unflat

    def extra_repr(self) -> str:
        """The dimension and its new sizes."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
