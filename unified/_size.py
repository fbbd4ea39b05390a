"""The shape of a Tensor."""

from __future__ import annotations


class Size(tuple[int, ...]):
    """A shape: a tuple of ints that also counts its elements."""

    __slots__ = ()

    def numel(self) -> int:
        """Number of elements of a tensor of this shape; 1 for ``Size()``."""
        count = 1
        for length in self:
            count *= length
        return count

    def __repr__(self) -> str:
        return f"unified.Size({list(self)})"
