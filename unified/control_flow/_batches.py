"""A construct whose operands are values of a ``vmap``: the same construct over the Tensors inside."""

from __future__ import annotations

from collections.abc import Sequence

from unified._dispatch import depth
from unified._levels import Batch, Value
from unified._tensor import Tensor
from unified.control_flow._derivatives import Body


def deepest_level(tensors: Sequence[Tensor]) -> Batch | None:
    """The deepest level that one of the Tensors is a value of, or None where all are plain."""
    deepest = max(tensors, key=depth, default=None)
    if deepest is None or not isinstance(deepest._native, Value):
        return None
    level: Batch = deepest._native.level
    return level


class Operands:
    """Operands seen from outside of a level: plain Tensors, with the examples along dimension 0 where they vary."""

    def __init__(self, level: Batch, tensors: Sequence[Tensor], varies: Sequence[bool] | None = None) -> None:
        self._level = level
        self.varies = [level.varies(tensor) for tensor in tensors] if varies is None else list(varies)
        self.outside = [
            level.take(tensor) if there else level.lower(tensor)
            for tensor, there in zip(tensors, self.varies, strict=True)
        ]

    def inside(self, outside: Sequence[Tensor]) -> list[Tensor]:
        """What stands for them within the level."""
        return [
            self._level.put(tensor, 0) if there else tensor
            for tensor, there in zip(outside, self.varies, strict=True)
        ]

    def body(self, body: Body) -> Body:
        """``body`` of examples, outside of the level; every result varies."""

        def of_examples(tensors: list[Tensor]) -> list[Tensor]:
            return [self._level.take(result) for result in body(self.inside(tensors))]

        return of_examples
