"""Nodes whose derivative is not an op's but a rule of the user's, or a second run of a region."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from unified._dispatch import tracing, wrap
from unified._tape import FREED, Custom, Node
from unified.errors import FreedGraphError

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


class Ruled(Custom):
    """One application of a :class:`Rule`.

    Args:
        rule: its derivative.
        inputs: the Tensors it was applied to.
    """

    __slots__ = ("_positions", "_rule", "_saved", "_size")

    def __init__(self, rule: Rule, inputs: Sequence[Tensor], width: int) -> None:
        positions = [i for i, tensor in enumerate(inputs) if tensor._node is not None]
        super().__init__(tuple((inputs[i]._node, inputs[i]._output) for i in positions), width)
        self._rule = rule
        self._positions = positions
        self._size = len(inputs)
        self._saved: list[tuple[Any, Node | None, int]] | None = None

    def save(self, saved: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        """Keeps Tensors for backward; an output without its place in the graph, which would be a circle."""
        self._saved = []
        for tensor in saved:
            node, place = tensor._node, getattr(tensor, "_output", 0)
            for index, output in enumerate(outputs):
                if tensor is output:
                    node, place = None, -1 - index
            tensor._shared = True
            self._saved.append((tensor._native, node, place))

    @property
    def name(self) -> str:
        return self._rule.name

    @property
    def freed(self) -> bool:
        return self._saved is None

    def release(self) -> None:
        self._saved = None

    def pull(self, cotangents: list[Any], wanted: Sequence[bool], record: bool) -> Sequence[Any]:
        given = cotangents if record else [None if c is None else wrap(c) for c in cotangents]
        needs = [False] * self._size
        for position, use in zip(self._positions, wanted, strict=True):
            needs[position] = use
        found = self._rule.backward(self._unpacked(), given, needs)
        chosen = [found[position] for position in self._positions]
        return chosen if record else [None if tensor is None else tensor._native for tensor in chosen]

    def _unpacked(self) -> list[Tensor]:
        tensors = []
        for native, node, place in self._saved or ():
            tensors.append(placed(native, self, -1 - place) if place < 0 else placed(native, node, place))
        return tensors


def apply_rule(rule: Rule, inputs: list[Tensor], recorded: bool) -> list[Tensor]:
    """The outputs of ``rule``, on the tape if ``recorded``."""
    node = None
    inputs = [snapshot(tensor) for tensor in inputs]
    outputs, saved, differentiable = rule.forward(inputs)
    if recorded and any(tensor._node is not None for tensor in inputs):
        node = Ruled(rule, inputs, len(outputs))
        node.save(saved, outputs)
    results = []
    for index, (output, carries) in enumerate(zip(outputs, differentiable, strict=True)):
        results.append(placed(output._native, node if carries else None, index))
    return results


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


Run = Callable[[], list[Any]]
"""A region: the Tensors it returns."""


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
        if self._run is None:
            raise FreedGraphError(FREED)
        outputs = self._run()
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
