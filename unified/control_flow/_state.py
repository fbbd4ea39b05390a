"""The Tensors from outside that several regions use, as one list; what they leave there is written back."""

from __future__ import annotations

from collections.abc import Sequence

from unified._dispatch import tracing
from unified._engine import engine_of
from unified._levels import active
from unified._tensor import Tensor
from unified.control_flow._region import Region


class State:
    """What ``regions`` capture.

    Attributes:
        captured: the Tensors, each once.
        changed: the places of those that a region rebinds.
        read: the places of the others.
    """

    def __init__(self, regions: Sequence[Region]) -> None:
        found: dict[int, Tensor] = {}
        rebound: dict[int, bool] = {}
        records: dict[int, bool] = {}
        for region in regions:
            for tensor, changes, recorded in zip(region.captured, region.rebound, region.records, strict=True):
                key = id(tensor)
                found[key] = tensor
                rebound[key] = rebound.get(key, False) or changes
                records[key] = records.get(key, False) or recorded
        self.captured = list(found.values())
        self.changed = [place for place, changes in enumerate(rebound.values()) if changes]
        self.read = [place for place, changes in enumerate(rebound.values()) if not changes]
        self._records = list(records.values())

    def inert(self, start: int) -> list[int]:
        """Which of the changed ones have no graph afterwards, counted from ``start``."""
        return [start + i for i, place in enumerate(self.changed) if not self._records[place]]

    def of(self, places: Sequence[int]) -> list[Tensor]:
        """The Tensors at these places."""
        return [self.captured[place] for place in places]

    def ordered(self, changed: Sequence[Tensor], read: Sequence[Tensor]) -> list[Tensor]:
        """Values for all captured Tensors, from those at the places ``changed`` and ``read``."""
        by_place = dict(zip([*self.changed, *self.read], [*changed, *read], strict=True))
        return [by_place[place] for place in range(len(self.captured))]

    def write(self, results: Sequence[Tensor]) -> None:
        """Rebinds the Tensors at the places ``changed``."""
        tracer = tracing()
        for place, result in zip(self.changed, results, strict=True):
            tensor = self.captured[place]
            if tracer is not None:
                tracer.touch(tensor)
            engine = engine_of(tensor)
            if self._records[place]:
                engine.rebind(tensor, result)
            else:
                engine.replace(tensor, result._native if active() else engine.detach(result))


def recorded(results: Sequence[Tensor], kept: Sequence[bool]) -> list[Tensor]:
    """The results, without a graph where the function, run eagerly, would record none.

    Within levels of ``unified.func`` they stay as they are, since ``detach`` would end the derivatives of those too.
    """
    return [result if keep or active() else result.detach() for result, keep in zip(results, kept, strict=True)]
