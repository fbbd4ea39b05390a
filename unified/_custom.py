"""Nodes whose derivative is not an op's but a rule of the user's, or a second run of a region."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from unified._dispatch import depth, lifted, tracing, wrap
from unified._recording import recording
from unified._tape import Custom, Node, grad_mode

if TYPE_CHECKING:
    from unified._tensor import Tensor


class Rule(Protocol):
    """A forward computation with a derivative of its own; what an engine needs of an ``autograd.Function``."""

    name: str

    def forward(self, inputs: list[Tensor]) -> tuple[list[Tensor], list[Tensor], list[bool]]:
        """The outputs, the Tensors to save, and which outputs can have a gradient. Called without recording."""

    def backward(
        self, saved: Sequence[Tensor], cotangents: list[Tensor | None], wanted: Sequence[bool]
    ) -> list[Tensor | None]:
        """The gradients of the inputs; recorded where the backward pass is."""

    def jvp(self, saved: Sequence[Tensor], tangents: Sequence[Tensor | None]) -> list[Tensor | None]:
        """The tangents of the outputs, from those of the inputs; None is zero."""


def snapshot(tensor: Tensor) -> Tensor:
    """The same value at the same place in the graph, which later in-place changes of ``tensor`` do not reach."""
    tracer = tracing()
    if tracer is not None:
        tracer.touch(tensor)
    copy = placed(tensor._native, tensor._node, getattr(tensor, "_output", 0))
    tensor._shared = True
    return copy


def placed(native: Any, node: Node | None, output: int) -> Tensor:
    """A Tensor around ``native`` at a place in the graph."""
    tensor = wrap(native)
    if node is not None:
        tensor._node, tensor._output = node, output
    tracer = tracing()
    if tracer is not None:
        tracer.made(tensor)
    return tensor


class Applied(Protocol):
    """One application of a rule, seen from one level of ``unified.func`` or from outside of all."""

    name: str

    @property
    def carries(self) -> list[bool]:
        """Of each output whether it can have a gradient."""

    @property
    def slots(self) -> list[tuple[bool, int]]:
        """Where each saved Tensor is found: whether among the results, and at which place of them or the inputs."""

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        """The outputs, then the Tensors that the rule saved and that are neither inputs nor outputs."""

    def saved(self, inputs: Sequence[Tensor], results: Sequence[Tensor]) -> list[Tensor]:
        """The saved Tensors, by their places."""

    def backward(
        self, saved: Sequence[Tensor], cotangents: list[Tensor | None], wanted: Sequence[bool]
    ) -> list[Tensor | None]: ...
    def jvp(self, saved: Sequence[Tensor], tangents: Sequence[Tensor | None]) -> list[Tensor | None]: ...


class RuleCall:
    """A rule applied to plain Tensors. Satisfies :class:`Applied`."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self.name = rule.name
        self.carries: list[bool] = []
        self.slots: list[tuple[bool, int]] = []

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        given = [tensor._native for tensor in inputs]
        with recording(False):
            outputs, saved, self.carries = self._rule.forward(inputs)
        results = list(outputs)
        self.slots = []
        for tensor in saved:
            place = next((i for i, result in enumerate(results) if result is tensor), None)
            if place is not None:
                self.slots.append((True, place))
                continue
            place = next((i for i, known in enumerate(inputs) if known is tensor), None)
            if place is not None and tensor._native is given[place]:
                self.slots.append((False, place))
                continue
            self.slots.append((True, len(results)))
            results.append(tensor)
        return results

    def saved(self, inputs: Sequence[Tensor], results: Sequence[Tensor]) -> list[Tensor]:
        return [(results if among else inputs)[place] for among, place in self.slots]

    def backward(
        self, saved: Sequence[Tensor], cotangents: list[Tensor | None], wanted: Sequence[bool]
    ) -> list[Tensor | None]:
        return self._rule.backward(saved, cotangents, wanted)

    def jvp(self, saved: Sequence[Tensor], tangents: Sequence[Tensor | None]) -> list[Tensor | None]:
        return self._rule.jvp(saved, tangents)


class Ruled(Custom):
    """A rule's application in a graph."""

    __slots__ = ("_call", "_count", "_positions", "_saved", "_size")

    def __init__(self, call: Applied, inputs: Sequence[Tensor], results: Sequence[Tensor]) -> None:
        positions = [i for i, tensor in enumerate(inputs) if tensor._node is not None]
        super().__init__(tuple((inputs[i]._node, inputs[i]._output) for i in positions), len(results))
        self._call = call
        self._count = len(call.carries)
        self._positions = positions
        self._size = len(inputs)
        self._saved: list[tuple[Any, Node | None, int]] | None = []
        for (among, place), tensor in zip(call.slots, call.saved(inputs, results), strict=True):
            # a result is kept without its place in the graph, which would be a circle
            node, output = (None, -1 - place) if among else (tensor._node, getattr(tensor, "_output", 0))
            tensor._shared = True
            self._saved.append((tensor._native, node, output))

    @property
    def name(self) -> str:
        return self._call.name

    @property
    def freed(self) -> bool:
        return self._saved is None

    def release(self) -> None:
        self._saved = None

    def pull(self, cotangents: list[Any], wanted: Sequence[bool], record: bool) -> Sequence[Any]:
        outputs = cotangents[: self._count]
        given = outputs if record else [None if c is None else wrap(c) for c in outputs]
        needs = [False] * self._size
        for position, use in zip(self._positions, wanted, strict=True):
            needs[position] = use
        found = self._call.backward(self._unpacked(), given, needs)
        chosen = [found[position] for position in self._positions]
        return chosen if record else [None if tensor is None else tensor._native for tensor in chosen]

    def _unpacked(self) -> list[Tensor]:
        tensors = []
        for native, node, place in self._saved or ():
            if place >= 0:
                tensors.append(placed(native, node, place))
            else:
                tensors.append(placed(native, self if self._carries(-1 - place) else None, -1 - place))
        return tensors

    def _carries(self, place: int) -> bool:
        return place < self._count and self._call.carries[place]


def apply_call(call: Applied, inputs: list[Tensor]) -> list[Tensor]:
    """The results of ``call``, on the tape where ops record.

    They are computed at the deepest level among the inputs, and through it at those outside.
    """
    deepest = max(inputs, key=depth)
    if depth(deepest):
        level = deepest._native.level
        inputs = [lifted(tensor, deepest) for tensor in inputs]
        results: list[Tensor] = level.custom(call, inputs)
    else:
        inputs = [snapshot(tensor) for tensor in inputs]
        results = call.forward(inputs)
    node = None
    if grad_mode.enabled and any(tensor._node is not None for tensor in inputs):
        node = Ruled(call, inputs, results)
    carries = [*call.carries, *[False] * (len(results) - len(call.carries))]
    return [
        placed(result._native, node if carried else None, index)
        for index, (result, carried) in enumerate(zip(results, carries, strict=True))
    ]


recomputed_state: list[Callable[[str], Tensor]] = []
"""By a backend's name the Tensors that a region's second run starts from as the first did: the random state."""


@contextmanager
def state_of(tensors: Sequence[Tensor], values: Sequence[Any]) -> Iterator[None]:
    """``tensors`` hold the natives ``values`` in the block, and afterwards what they held before it."""
    before = [(tensor._native, tensor._node) for tensor in tensors]
    for tensor, value in zip(tensors, values, strict=True):
        tensor._native = value
    try:
        yield
    finally:
        for tensor, (native, node) in zip(tensors, before, strict=True):
            tensor._native, tensor._node = native, node


Run = Callable[[Sequence[Any]], list[Any]]
"""A region: the Tensors it returns, from the cotangents for which it is run."""


class Recomputed(Custom):
    """A region of the graph that kept nothing within and runs again when its derivative is wanted.

    Its parents are the places outside of it that the first run led to, by arguments or by closure; the second run
    leads to the same ones.
    """

    __slots__ = ("_run", "_walk")

    def __init__(
        self, run: Run, walk: Callable[..., dict[Node, list[Any]]], edges: tuple[tuple[Node, int], ...], width: int
    ) -> None:
        super().__init__(edges, width)
        self._run: Run | None = run
        self._walk = walk

    @property
    def name(self) -> str:
        return "checkpoint"

    @property
    def freed(self) -> bool:
        return self._run is None

    def release(self) -> None:
        self._run = None

    def pull(self, cotangents: list[Any], wanted: Sequence[bool], record: bool) -> Sequence[Any]:
        assert self._run is not None  # a walk asks whether it is freed
        outputs = self._run([c._native if record else c for c in cotangents if c is not None])
        pairs = [(o, c) for o, c in zip(outputs, cotangents, strict=True) if c is not None and o._node is not None]
        targets = frozenset(node for (node, _), use in zip(self.parents, wanted, strict=True) if use)
        arrived = self._walk(pairs, targets, record)
        found = []
        for (node, output), use in zip(self.parents, wanted, strict=True):
            slots = arrived.get(node) if use else None
            found.append(None if slots is None else slots[output])
        return found


def outside(outputs: Sequence[Tensor], first: int) -> tuple[tuple[Node, int], ...]:
    """The edges by which the graph behind ``outputs`` leaves what was recorded since ``first``."""
    edges: dict[tuple[Node, int], None] = {}
    seen: set[Node] = set()
    stack = [(tensor._node, tensor._output) for tensor in outputs if tensor._node is not None]
    while stack:
        node, output = stack.pop()
        if node.order < first:
            edges[(node, output)] = None
        elif node not in seen:
            seen.add(node)
            stack.extend(node.parents)
    return tuple(edges)
