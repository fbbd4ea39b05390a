"""Who holds a native: a buffer may be written to, or consumed, only while one Tensor alone does."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any


class _Holder:
    __slots__ = ("native",)

    def __init__(self) -> None:
        self.native: Any = object()


def _counted(natives: list[Any]) -> Iterator[tuple[int, int]]:
    """Each position, and how many references there are to its native."""
    return enumerate(map(sys.getrefcount, natives))


def _references() -> int:
    """What is counted where one slot and a list of natives hold it; Pythons differ."""
    holder = _Holder()
    return next(count for _, count in _counted([holder.native]))


_EXCLUSIVE = _references()


def held_elsewhere(natives: list[Any], shared: Sequence[bool]) -> list[int]:
    """Positions of natives that are ``shared``, or that more hold than one Tensor and this list, of which a buffer
    may therefore not be consumed."""
    return [position for position, count in _counted(natives) if count > _EXCLUSIVE or shared[position]]
