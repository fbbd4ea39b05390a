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


class _GradMode(threading.local):
    enabled: bool = True


grad_mode = _GradMode()
"""Whether ops record, per thread. Written through ``autograd.set_grad_enabled``, which tells the engines too."""


class Node:
    """One recorded call. ``args`` is None once backward has released it."""

    __slots__ = ("args", "kind", "mask", "op", "order", "parents", "width")

    def __init__(
        self,
        op: Any,
        args: Sequence[Any],
        kind: type,
        mask: tuple[tuple[int, int], ...],
        parents: tuple[tuple[Node, int], ...],
        width: int,
    ) -> None:
        self.op = op
        self.args: Sequence[Any] | None = args
        self.kind = kind
        self.mask = mask
        self.parents = parents
        self.width = width
        self.order = next(_order)


class Leaf(Node):
    """Stands for a Tensor that requires grad and was not computed. Does not keep it alive."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Any) -> None:
        super().__init__(None, (), type(None), (), (), 1)
        self.tensor = weakref.ref(tensor)


Pull = Callable[[Node, list[Any]], Sequence[Any]]
Add = Callable[[Any, Any], Any]


def walk(
    roots: Iterable[tuple[Node, int, Any]], pull: Pull, add: Add, retain_graph: bool, targets: frozenset[Node]
) -> dict[Node, list[Any]]:
    """Sends cotangents from ``roots`` back through the graph.

    Args:
        roots: where to start, as (node, output index, cotangent).
        pull: applies a node's pullback to the cotangents of its outputs (None where nothing arrived).
        add: sums two cotangents.
        retain_graph: keep the saved arguments for another pass.
        targets: interior nodes whose cotangents the caller wants besides those of the leaves.

    Returns:
        The cotangents that arrived at each leaf and target. Nothing outside the graph is written, so a
        failure on the way leaves every ``.grad`` as it was.

    Raises:
        FreedGraphError: an earlier pass released what this one needs.
    """
    arrived: dict[Node, list[Any]] = {}
    queue: list[tuple[int, Node]] = []

    def send(node: Node, index: int, cotangent: Any) -> None:
        slots = arrived.get(node)
        if slots is None:
            slots = arrived[node] = [None] * node.width
            heapq.heappush(queue, (-node.order, node))
        held = slots[index]
        slots[index] = cotangent if held is None else add(held, cotangent)

    for node, index, cotangent in roots:
        send(node, index, cotangent)
    results: dict[Node, list[Any]] = {}
    while queue:
        node = heapq.heappop(queue)[1]
        cotangents = arrived.pop(node)
        if node in targets or isinstance(node, Leaf):
            results[node] = cotangents
        if isinstance(node, Leaf):
            continue
        if node.args is None:
            raise FreedGraphError(
                f"backward through {node.op.name!r} a second time: the first pass released what it had saved; "
                "call the first one as .backward(retain_graph=True), or run the forward pass again"
            )
        for (parent, index), cotangent in zip(node.parents, pull(node, cotangents), strict=True):
            if cotangent is not None:
                send(parent, index, cotangent)
        if not retain_graph:
            node.args = None
    return results
