"""The tape: what an op leaves behind when a gradient may be wanted, and the walk back over it.

A node keeps the op and the native arguments of one call. Its derivative is *another op*, the pullback, which
takes those arguments and the cotangents of the outputs; so backward is a sequence of ordinary op calls, each
compiled once, and differentiating a backward pass (``create_graph``) is nothing special.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from unified.errors import FreedGraphError

_order = itertools.count(1)


class _Modes(threading.local):
    enabled: bool = True
    inference: bool = False
    anomaly: bool = False
    check_nan: bool = True
    accessed: Callable[[Any], None] | None = None
    """Told of each Tensor that an op takes, while a GradientTape wants to know."""
    computed: Callable[[str, Any, str | None], None] | None = None
    """Told of each op's name and native results, with the line that recorded it in a backward pass."""
    autocast: Any = None
    """What casts the operands of ops before they are computed, see ``amp``; else None."""
    lifted: Any = None
    """The tracer that is not to be told, since a composite's body runs, whose ops are parts of one that it knows."""
    uncompiled: bool = False
    """Whether compiled functions run as plain Python."""


grad_mode = _Modes()
"""Whether ops record, per thread, and how. Written by ``autograd``'s modes, which tell the engines too."""

Hook = Callable[[Any], Any]
"""From a gradient to the one that takes its place, or None to leave it."""


class Node:
    """One place in the graph: ``width`` values that came from ``parents``, each an output of another node."""

    __slots__ = ("hooks", "order", "parents", "where", "width")

    def __init__(self, parents: tuple[tuple[Node, int], ...], width: int) -> None:
        self.parents = parents
        self.width = width
        self.order = next(_order)
        self.hooks: dict[int, dict[int, Hook]] | None = None
        self.where: str | None = None
        """The user's line that recorded it, while anomalies are looked for."""

    @property
    def name(self) -> str:
        """What messages call it."""
        raise NotImplementedError

    @property
    def freed(self) -> bool:
        """Whether backward has released what it had saved."""
        raise NotImplementedError

    def release(self) -> None:
        """Lets go of what it had saved."""
        raise NotImplementedError

    def hooks_of(self, output: int) -> dict[int, Hook]:
        """The hooks on the gradient of one output, by the id of their handle."""
        if self.hooks is None:
            self.hooks = {}
        return self.hooks.setdefault(output, {})


class Call(Node):
    """One recorded call of an op. ``args`` is None once backward has released it."""

    __slots__ = ("args", "kind", "mask", "op")

    def __init__(
        self,
        op: Any,
        args: Sequence[Any],
        kind: Any,
        mask: tuple[tuple[int, int], ...],
        parents: tuple[tuple[Node, int], ...],
        width: int,
    ) -> None:
        super().__init__(parents, width)
        self.op = op
        self.args: Sequence[Any] | None = args
        self.kind = kind
        self.mask = mask

    @property
    def name(self) -> str:
        name: str = self.op.name
        return name

    @property
    def freed(self) -> bool:
        return self.args is None

    def release(self) -> None:
        self.args = None


class Leaf(Node):
    """Stands for a Tensor that requires grad and was not computed. Does not keep it alive."""

    __slots__ = ("__weakref__", "accumulated", "tensor")

    def __init__(self, tensor: Any) -> None:
        super().__init__((), 1)
        self.tensor = weakref.ref(tensor)
        self.accumulated: dict[int, Hook] | None = None
        """What runs on the Tensor after its ``.grad`` has grown."""

    @property
    def name(self) -> str:
        return "leaf"

    @property
    def freed(self) -> bool:
        return False

    def release(self) -> None:
        pass


class Custom(Node):
    """A node with a derivative of its own (``autograd.Function``, ``checkpoint``), not of an op."""

    __slots__ = ()

    def pull(self, cotangents: list[Any], wanted: Sequence[bool], record: bool) -> Sequence[Any]:
        """The cotangents of the parents.

        Args:
            cotangents: of its outputs, None where nothing arrived; Tensors if ``record``, else natives.
            wanted: which parents' cotangents will be used; any others may be None.
            record: whether the computation is to be differentiable itself.
        """
        raise NotImplementedError


FREED = (
    "backward through a graph a second time: the first pass released what it had saved; call the first one as "
    ".backward(retain_graph=True), or run the forward pass again"
)

Roots = Iterable[tuple[Node, int, Any]]
"""Where a walk starts: node, output and its cotangent."""


def needed(roots: Iterable[Node], targets: frozenset[Node], ends: bool = False) -> dict[Node, int]:
    """The nodes on a way from ``roots`` to ``targets``, each with the number of such nodes' operands that it is.

    ``ends`` leaves out the ways that go on behind a target.
    """
    found: dict[Node, int] = {}
    seen: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(root, False) for root in roots]
    while stack:
        node, done = stack.pop()
        if done:
            if node in targets or any(parent in found for parent, _ in node.parents):
                found.setdefault(node, 0)
                for parent, _ in node.parents:
                    if parent in found:
                        found[parent] += 1
        elif node not in seen:
            seen.add(node)
            if ends and node in targets:
                found[node] = 0
            else:
                stack.append((node, True))
                stack.extend((parent, False) for parent, _ in node.parents)
    return found


def mark() -> int:
    """A number between the orders of all nodes so far and of all that come."""
    return next(_order)


_FIRST = -(2**62)
"""Before every order in the queue."""

hooked_leaves: weakref.WeakSet[Leaf] = weakref.WeakSet()
"""Leaves with post-accumulate hooks; while there are any, a walk counts edges to know when a leaf is complete."""


class Walk:
    """One pass of cotangents from roots back through the graph.

    Args:
        pull: (node, cotangents, wanted) to the cotangents of its parents; ``wanted`` is None for all of them.
        add: sums two cotangents.
        call: applies a hook to a cotangent and returns the one that takes its place.
        retain_graph: keep the saved arguments for another pass.
        targets: if given, only what leads to these nodes is computed.
        arrive: told of each leaf's and target's cotangents as soon as they are complete.
        ends: the walk ends at its targets; their hooks and what lies behind are another walk's.
    """

    def __init__(
        self,
        pull: Callable[[Node, list[Any], Sequence[bool] | None], Sequence[Any]],
        add: Callable[[Any, Any], Any],
        call: Callable[[Hook, Any], Any],
        retain_graph: bool,
        targets: frozenset[Node] | None,
        arrive: Callable[[Node, list[Any]], None],
        ends: bool = False,
    ) -> None:
        self._ends = ends
        self._pull = pull
        self._add = add
        self._call = call
        self._retain_graph = retain_graph
        self._targets = targets
        self._arrive = arrive
        self._arrived: dict[Node, list[Any]] = {}
        self._queue: list[tuple[int, Node]] = []
        self._edges: dict[Node, int] | None = None

    def run(self, roots: Roots) -> None:
        """Walks.

        Raises:
            FreedGraphError: an earlier pass released what this one needs.
        """
        starts = list(roots)
        nodes = [node for node, _, _ in starts]
        targets = self._targets
        on_the_way = None if targets is None else needed(nodes, targets, self._ends)
        if hooked_leaves:
            self._edges = dict(on_the_way or needed(nodes, frozenset(hooked_leaves)))
            for node in nodes:
                if node in self._edges:
                    self._edges[node] += 1
        for node, index, cotangent in starts:
            if on_the_way is None or node in on_the_way:
                self._send(node, index, cotangent)
        del starts
        queue, arrived = self._queue, self._arrived
        while queue:
            node = heapq.heappop(queue)[1]
            cotangents = arrived.pop(node, None)
            if cotangents is None:  # a leaf that was complete before its turn
                continue
            wanted_here = targets is not None and node in targets
            if wanted_here and (self._ends or not isinstance(node, Leaf)):
                self._arrive(node, list(cotangents))  # before its hooks, as in PyTorch
                if self._ends:
                    continue
            if node.hooks is not None:
                self._run_hooks(node, cotangents)
            if isinstance(node, Leaf):
                self._arrive(node, cotangents)
                continue
            wanted = None
            if targets is not None and on_the_way is not None:
                wanted = [parent in on_the_way for parent, _ in node.parents]
                if not any(wanted):
                    continue
            if node.freed:
                raise FreedGraphError(FREED)
            for (parent, index), cotangent in zip(node.parents, self._pull(node, cotangents, wanted), strict=True):
                if on_the_way is None or parent in on_the_way:
                    self._send(parent, index, cotangent)
            del cotangents, cotangent  # or they would outlive the next step
            if not self._retain_graph:
                node.release()

    def _send(self, node: Node, index: int, cotangent: Any) -> None:
        if cotangent is not None:
            slots = self._arrived.get(node)
            if slots is None:
                slots = self._arrived[node] = [None] * node.width
                heapq.heappush(self._queue, (-node.order, node))
            held = slots[index]
            slots[index] = cotangent if held is None else self._add(held, cotangent)
        if self._edges is not None and isinstance(node, Leaf) and node in self._edges:
            self._edges[node] -= 1
            if not self._edges[node] and node in self._arrived:  # complete: first in the queue
                heapq.heappush(self._queue, (_FIRST - node.order, node))

    def _run_hooks(self, node: Node, cotangents: list[Any]) -> None:
        assert node.hooks is not None
        for output, hooks in node.hooks.items():
            for _, hook in sorted(hooks.items()):  # ids of handles: the order of registration
                if cotangents[output] is not None:
                    cotangents[output] = self._call(hook, cotangents[output])
