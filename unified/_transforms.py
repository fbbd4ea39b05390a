"""The levels behind ``unified.func`` where the tape differentiates."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from unified import _levels
from unified._caller import Parameter, ParameterKind
from unified._dispatch import Op, apply, depth, lifted, wrap
from unified._engine import TapeEngine, engine_of
from unified._recording import recording
from unified._tape import Leaf, Node, grad_mode
from unified._tensor import Tensor
from unified.backends.protocol import Transforms

_ALIAS = Op("alias", (Parameter("input", ParameterKind.TENSOR, required=True, keyword=False),), None)
_ALIAS.composite = lambda native: native


class Reverse:
    """One ``grad`` or ``vjp`` on the tape. Satisfies ``protocol.ReverseLevel``.

    The aliases that it differentiates by lie in the innermost level at work, so that what is computed from them is
    recorded there. The backward pass is recorded when something outside can see it: when the graph goes on beyond the
    aliases, or a cotangent has a graph of its own.
    """

    wraps = False
    constructs = True

    def __init__(self) -> None:
        self._own: set[Node] = set()
        self._recording = grad_mode.enabled
        """Whether the caller records."""

    def __enter__(self) -> Reverse:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def put(self, tensor: Tensor) -> Tensor:
        level = _levels.innermost()
        if level is not None and depth(tensor) < level.depth:
            tensor = wrap(level.constant(tensor))
        if tensor._node is None:
            alias = wrap(tensor._native)
            engine_of(alias).require_grad(alias, True)
        else:
            alias = apply(_ALIAS, (tensor,))
        self._own.add(alias._node)
        return alias

    def take(self, tensor: Tensor) -> Tensor:
        return self._outside(tensor) if self._recording else _without_graphs(tensor)

    def gradients(
        self, roots: Sequence[Tensor], cotangents: Sequence[Tensor], inputs: Sequence[Tensor]
    ) -> list[Tensor | None]:
        if not any(root._node is not None for root in roots):
            return [None] * len(inputs)
        pairs = [
            (root, _lifted(c, root)) for root, c in zip(roots, cotangents, strict=True) if root._node is not None
        ]
        recorded = grad_mode.enabled
        seen = recorded and any(self._is_seen(root) or _in_a_graph(cotangent) for root, cotangent in pairs)
        deeper = any(depth(root) != depth(cotangent) for root, cotangent in pairs)
        inside = any(depth(root) for root, _ in pairs)
        engine = engine_of(pairs[0][0])
        with recording(seen or inside or not deeper):
            found: list[Tensor | None] = engine.gradients(
                [root for root, _ in pairs], [c for _, c in pairs], inputs, True, seen or deeper
            )
        return [None if gradient is None else self._result(gradient, recorded) for gradient in found]

    def _result(self, gradient: Tensor, recorded: bool) -> Tensor:
        return self._outside(gradient) if recorded else _without_graphs(gradient)

    def _outside(self, tensor: Tensor) -> Tensor:
        """``tensor`` without the graphs that end in this level's aliases alone."""
        native = tensor._native
        if isinstance(native, _levels.Value):
            native = native.map(self._outside)
        kept = self._is_seen(tensor)
        if kept and native is tensor._native:
            return tensor
        result = wrap(native)
        if kept:
            result._node, result._output = tensor._node, tensor._output
        return result

    def _is_seen(self, tensor: Tensor) -> bool:
        """Whether its graph has a leaf that is no alias of this level."""
        pending: list[Node] = [] if tensor._node is None else [tensor._node]
        known = set(pending)
        while pending:
            node = pending.pop()
            if isinstance(node, Leaf):
                if node not in self._own:
                    return True
                continue
            for parent, _ in node.parents:
                if parent not in known:
                    known.add(parent)
                    pending.append(parent)
        return False


def _lifted(cotangent: Tensor, root: Tensor) -> Tensor:
    """The cotangent in its root's level, if it is not deeper."""
    return cotangent if depth(cotangent) >= depth(root) else lifted(cotangent, root)


def _in_a_graph(tensor: Tensor) -> bool:
    native = tensor._native
    inside = native.tensors() if isinstance(native, _levels.Value) else ()
    return tensor._node is not None or any(_in_a_graph(inner) for inner in inside)


def _without_graphs(tensor: Tensor) -> Tensor:
    native = tensor._native
    if isinstance(native, _levels.Value):
        return wrap(native.map(_without_graphs))
    return tensor.detach()


class TapeTransforms:
    """Satisfies ``protocol.Transforms``."""

    batch = _levels.Batch
    dual = _levels.Forward
    reverse = Reverse

    def suspended(self) -> AbstractContextManager[None]:
        return nullcontext()

    def bare(self, tensor: Tensor) -> Tensor:
        while isinstance(tensor._native, _levels.Value):
            tensor = tensor._native.inner
        return tensor


TapeEngine.transforms = TapeTransforms()


def transforms_of(tensor: Tensor) -> Transforms:
    """The transforms of this Tensor's backend: those of its own engine, else the tape's."""
    return engine_of(tensor).transforms
