"""Padding layers."""

from __future__ import annotations

from typing import ClassVar

from unified._dtype import Number
from unified._tensor import Tensor
from unified.errors import ShapeError
from unified.nn import functional as F
from unified.nn.functional._checks import expand
from unified.nn.module import Module

Sizes = int | tuple[int, ...]


class _Pad(Module):
    """What all of them share: ``padding`` is a length, or (before, after) of each dimension, the last one first.

    Negative lengths crop.
    """

    spatial: ClassVar[int]

    def __init__(self, padding: Sizes) -> None:
        super().__init__()
        self.padding = expand(padding, 2 * self.spatial, "padding")

    def extra_repr(self) -> str:
        """The lengths."""
        return f"{self.padding}"


class _Edge(_Pad):
    """Padding out of the input's own elements."""

    mode: ClassVar[str]

    def forward(self, input: Tensor) -> Tensor:
        """``input (N, C, *lengths)`` or ``(C, *lengths)``, padded.

        Raises:
            ShapeError: the number of dimensions is another, or a dimension is too short for its padding.
        """
        if input.ndim not in (self.spatial + 1, self.spatial + 2):
            raise ShapeError(
                f"{type(self).__name__}: input {tuple(input.shape)} must have {self.spatial + 1} or "
                f"{self.spatial + 2} dimensions"
            )
        return F.pad(input, self.padding, mode=self.mode)


class CircularPad1d(_Edge):
    """Goes on at one end of L with what is at the other. Example: ``[[1, 2, 3]] -> (1, 0) -> [[3, 1, 2, 3]]``."""

    spatial, mode = 1, "circular"


class CircularPad2d(_Edge):
    """As :class:`CircularPad1d`, of H and W; ``padding`` is a length or (left, right, top, bottom)."""

    spatial, mode = 2, "circular"


class CircularPad3d(_Edge):
    """As :class:`CircularPad1d`, of D, H and W; ``padding`` is a length or three pairs, that of W first."""

    spatial, mode = 3, "circular"


class ReflectionPad1d(_Edge):
    """Mirrors L at its edge elements. Example: ``[[1, 2, 3]] -> (2, 0) -> [[3, 2, 1, 2, 3]]``."""

    spatial, mode = 1, "reflect"


class ReflectionPad2d(_Edge):
    """As :class:`ReflectionPad1d`, of H and W; ``padding`` is a length or (left, right, top, bottom)."""

    spatial, mode = 2, "reflect"


class ReflectionPad3d(_Edge):
    """As :class:`ReflectionPad1d`, of D, H and W; ``padding`` is a length or three pairs, that of W first."""

    spatial, mode = 3, "reflect"


class ReplicationPad1d(_Edge):
    """Repeats the edge elements of L. Example: ``[[1, 2, 3]] -> (2, 0) -> [[1, 1, 1, 2, 3]]``."""

    spatial, mode = 1, "replicate"


class ReplicationPad2d(_Edge):
    """As :class:`ReplicationPad1d`, of H and W; ``padding`` is a length or (left, right, top, bottom)."""

    spatial, mode = 2, "replicate"


class ReplicationPad3d(_Edge):
    """As :class:`ReplicationPad1d`, of D, H and W; ``padding`` is a length or three pairs, that of W first."""

    spatial, mode = 3, "replicate"


class _Constant(_Pad):
    """Padding with ``value``."""

    def __init__(self, padding: Sizes, value: Number) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """``input (..., *lengths)``, padded."""
        return F.pad(input, self.padding, value=self.value)

    def extra_repr(self) -> str:
        """The lengths and the value."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_Constant):
    """Adds ``value`` at the edges of L. Example: ``[[1, 2]] -> (1, 0), 9 -> [[9, 1, 2]]``."""

    spatial = 1


class ConstantPad2d(_Constant):
    """As :class:`ConstantPad1d`, of H and W; ``padding`` is a length or (left, right, top, bottom)."""

    spatial = 2


class ConstantPad3d(_Constant):
    """As :class:`ConstantPad1d`, of D, H and W; ``padding`` is a length or three pairs, that of W first."""

    spatial = 3


class _Zeros(_Pad):
    """Padding with zeros."""

    value = 0.0

    def forward(self, input: Tensor) -> Tensor:
        """``input (..., *lengths)``, padded."""
        return F.pad(input, self.padding)


class ZeroPad1d(_Zeros):
    """Adds zeros at the edges of L. Example: ``[[1, 2]] -> (1, 0) -> [[0, 1, 2]]``."""

    spatial = 1


class ZeroPad2d(_Zeros):
    """As :class:`ZeroPad1d`, of H and W; ``padding`` is a length or (left, right, top, bottom)."""

    spatial = 2


class ZeroPad3d(_Zeros):
    """As :class:`ZeroPad1d`, of D, H and W; ``padding`` is a length or three pairs, that of W first."""

    spatial = 3
