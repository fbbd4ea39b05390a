"""Which dimensions are dynamic, and to which lengths they are padded."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unified._dispatch import backends_by_type, wrap
from unified._dtype import int32
from unified._length import Dynamic
from unified._tensor import Tensor
from unified.backends.protocol import Backend, Native
from unified.compile.padding import Cut, Layout, Ragged, cut_by, trimmed
from unified.compile.signature import Call, Signature
from unified.errors import ArgumentError, DynamicLengthError, ShapeError

_LEAST = 8
"""The smallest bucket by default; the others are the powers of two above it."""


@dataclass(frozen=True)
class Padded:
    """The dynamic dimensions of one program. Its last leaves are the true lengths.

    Attributes:
        names: each dynamic length with the least and the most that it is in this program.
        places: for each leaf, pairs of (dimension, which length).
    """

    names: tuple[tuple[str, int, int], ...]
    places: tuple[tuple[tuple[int, int], ...], ...]

    def layouts(self, leaves: Sequence[Tensor]) -> list[Layout]:
        """The layouts of the traced leaves, the lengths among them."""
        lengths = leaves[len(leaves) - len(self.names) :]
        dynamics = [Dynamic(*name, length) for name, length in zip(self.names, lengths, strict=True)]
        layouts: list[Layout] = []
        for leaf, places in zip(leaves, self.places, strict=True):
            layout: list[Ragged | None] = [None] * leaf.ndim
            for dim, which in places:
                layout[dim] = Ragged(dynamics[which])
            layouts.append(tuple(layout))
        return layouts

    def cut(self, layout: Layout) -> Cut:
        """How a result of this layout is cut to its true shape."""
        dynamics = {ragged.dynamic.name: ragged.dynamic for ragged in layout if ragged is not None}
        return cut_by(layout, [dynamics.get(name) for name, _, _ in self.names])


class Buckets:
    """``dynamic=`` and ``buckets=`` of ``un.compile``.

    Raises:
        ArgumentError: they name what does not exist, or bucket lengths are no positive ints.
    """

    def __init__(
        self,
        signature: Signature,
        dynamic: Mapping[str, Mapping[int, str]],
        buckets: Mapping[str, Sequence[int]] | None,
    ) -> None:
        self._signature = signature
        self._dynamic = {place: dict(dims) for place, dims in dynamic.items()}
        self._buckets = {name: sorted(lengths) for name, lengths in (buckets or {}).items()}
        self._found: dict[Call, list[tuple[int, dict[int, str]]]] = {}
        signature.require({re.split(r"[.\[]", place)[0] for place in self._dynamic} - signature.names, "dynamic")
        named = {name for dims in self._dynamic.values() for name in dims.values()}
        for name, lengths in self._buckets.items():
            if name not in named:
                raise ArgumentError(f"buckets= names {name!r}, which is no dimension in dynamic=")
            if not lengths or not all(isinstance(n, int) and n > 0 for n in lengths):
                raise ArgumentError(f"buckets[{name!r}] must be positive ints, not {lengths}")

    def pad(self, call: Call, leaves: list[Any], backend: Backend) -> tuple[Padded | None, tuple[int, ...]]:
        """Pads ``leaves`` and appends the true lengths, which it returns too; None where nothing is dynamic.

        Raises:
            ShapeError: one name has two lengths, or a Tensor lacks the dimension.
            DynamicLengthError: a length exceeds the largest bucket, or a Tensor to be padded requires grad.
        """
        found = self._found.get(call)
        if found is None:
            places = list(self._signature.places(call))
            found = self._found[call] = [
                (at, self._dynamic[place]) for at, place in enumerate(places) if place in self._dynamic
            ]
        lengths: dict[str, int] = {}
        for at, dims in found:
            shape = backend.shape(leaves[at]._native)
            for dim, name in dims.items():
                if not -len(shape) <= dim < len(shape):
                    raise ShapeError(f"dynamic= names dimension {dim} of a Tensor of shape {tuple(shape)}")
                if lengths.setdefault(name, shape[dim]) != shape[dim]:
                    raise ShapeError(
                        f"the dynamic length {name!r} is {lengths[name]} in one Tensor, {shape[dim]} in another"
                    )
        bounds = {name: self._bounds(name, length) for name, length in lengths.items() if length > 1}
        if not bounds:  # lengths of 0 and 1 broadcast and vanish; each is a program of its own
            return None, ()
        order = list(bounds)
        placed: list[tuple[tuple[int, int], ...]] = [()] * (len(leaves) + len(order))
        for at, dims in found:
            rank = leaves[at].ndim
            placed[at] = tuple([(dim % rank, order.index(name)) for dim, name in dims.items() if name in bounds])
            widths = {dim: bounds[order[which]][1] for dim, which in placed[at]}
            if leaves[at].requires_grad and widths:
                raise DynamicLengthError(
                    "an argument with a dynamic dimension requires grad; detach() it, or make it part of the state"
                )
            leaves[at] = wrap(_pad(backend, leaves[at]._native, widths))
        for name in order:
            leaves.append(wrap(backend.from_numpy(np.asarray(lengths[name], np.int32), int32, None)))
        padded = Padded(tuple([(name, *bounds[name]) for name in order]), tuple(placed))
        return padded, tuple([lengths[name] for name in order])

    def _bounds(self, name: str, length: int) -> tuple[int, int]:
        """The least and the most in the bucket of ``length``."""
        given = self._buckets.get(name)
        if given is None:
            high = max(_LEAST, 1 << (length - 1).bit_length())
            return (2 if high == _LEAST else high // 2 + 1), high
        low = 2
        for high in given:
            if length <= high:
                return low, high
            low = max(2, high + 1)
        raise DynamicLengthError(f"{name} is {length}, but its largest bucket is {given[-1]}; add one to buckets=")


def _pad(backend: Backend, native: Native, widths: Mapping[int, int]) -> Native:
    """With the last elements repeated, which every op that takes the real ones takes as well.

    On the host: eagerly, each length would be a program of its own on JAX.
    """
    values = backend.to_numpy(native)
    missing = [(0, widths.get(dim, n) - n) for dim, n in enumerate(values.shape)]
    if not any(after for _, after in missing):
        return native
    return backend.from_numpy(np.pad(values, missing, mode="edge"), backend.dtype(native), backend.device(native))


def cut(tensor: Tensor, by: Cut, lengths: Sequence[int]) -> Tensor:
    """A padded result without its padding, on the host as well."""
    if not by:
        return tensor
    backend = backends_by_type[type(tensor._native)]
    values = trimmed(backend.to_numpy(tensor._native), by, lengths)
    return wrap(backend.from_numpy(np.ascontiguousarray(values), tensor.dtype, tensor.device))
