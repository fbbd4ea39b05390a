"""Reverse-mode autograd for backends that have no ``.backward()`` of their own: the Engine over the tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from unified._dispatch import apply, backends_by_type, table, tracing, wrap
from unified._tape import Leaf, Node, grad_mode, walk
from unified.backends import registry
from unified.backends.protocol import Backend, Engine, Native, Transforms
from unified.errors import AutogradError, BackendError

if TYPE_CHECKING:
    from unified._tensor import Tensor


class TapeEngine:
    """Satisfies ``protocol.Engine`` for every backend whose ``engine`` is None."""

    transforms: Transforms
    """Set by ``_transforms``, which builds on this module."""
    wrap: Callable[[Native], Any] | None = staticmethod(wrap)

    def set_grad_enabled(self, enabled: bool) -> None:
        grad_mode.enabled = enabled

    def requires_grad(self, tensor: Tensor) -> bool:
        return tensor._node is not None

    def require_grad(self, tensor: Tensor, flag: bool) -> None:
        if flag and tensor._node is None:
            tensor._node = Leaf(tensor)
            tensor._output = 0
        elif not flag:
            tensor._node = None

    def is_leaf(self, tensor: Tensor) -> bool:
        return tensor._node is None or isinstance(tensor._node, Leaf)

    def read_grad(self, tensor: Tensor) -> Tensor | None:
        return getattr(tensor, "_grad", None)

    def write_grad(self, tensor: Tensor, grad: Tensor | None) -> None:
        tensor._grad = grad

    def detach(self, tensor: Tensor) -> Native:
        native = tensor._native
        compiler = backends_by_type[type(native)].compiler
        return compiler.stop_gradient(native) if compiler.is_traced(native) else native

    def rebind(self, tensor: Tensor, result: Tensor) -> None:
        tensor._native = result._native
        if grad_mode.enabled:
            tensor._node = result._node
            if result._node is not None:
                tensor._output = result._output

    def replace(self, tensor: Tensor, native: Native) -> None:
        tensor._native = native

    def backward(
        self,
        roots: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        retain_graph: bool,
        create_graph: bool,
    ) -> None:
        arrived = self._walk(roots, cotangents, retain_graph, create_graph, frozenset())
        for node, (cotangent,) in arrived.items():
            tensor = node.tensor() if isinstance(node, Leaf) else None
            if tensor is not None:
                self._accumulate(tensor, cotangent, create_graph)

    def gradients(
        self,
        roots: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        inputs: Sequence[Tensor],
        retain_graph: bool,
        create_graph: bool,
    ) -> list[Tensor | None]:
        nodes = [tensor._node for tensor in inputs]
        targets = frozenset(node for node in nodes if node is not None)
        arrived = self._walk(roots, cotangents, retain_graph, create_graph, targets)
        found: list[Tensor | None] = []
        for tensor, node in zip(inputs, nodes, strict=True):
            slots = arrived.get(node) if node is not None else None
            cotangent = None if slots is None else slots[tensor._output]
            found.append(cotangent if cotangent is None or create_graph else wrap(cotangent))
        return found

    def _walk(
        self,
        roots: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        retain_graph: bool,
        create_graph: bool,
        targets: frozenset[Node],
    ) -> dict[Node, list[Any]]:
        starts = []
        for root, cotangent in zip(roots, cotangents, strict=True):
            if root._node is None:
                raise AutogradError("a Tensor that does not require grad has no graph to go back through")
            starts.append((root._node, root._output, cotangent if create_graph else cotangent._native))
        if not create_graph:
            return walk(starts, _pull_natives, _add_natives, retain_graph, targets)
        return walk(starts, _pull_tensors, _add_tensors, retain_graph, targets)

    def _accumulate(self, tensor: Tensor, cotangent: Any, create_graph: bool) -> None:
        tracer = tracing()
        if tracer is not None:
            tracer.touch(tensor)
            tracer.read_grad(tensor)
        held = getattr(tensor, "_grad", None)
        if held is None:
            tensor._grad = cotangent if create_graph else wrap(cotangent)
        elif create_graph:
            tensor._grad = _add_tensors(held, cotangent)
        else:
            if tracer is not None:
                tracer.touch(held)
            held._native = _add_natives(held._native, cotangent)


def _pull_natives(node: Node, cotangents: list[Any]) -> Sequence[Any]:
    function = node.op.pullback(node.mask).implementations[node.kind]
    gradients: Sequence[Any] = function(*(node.args or ()), cotangents)
    return gradients


def _pull_tensors(node: Node, cotangents: list[Any]) -> Sequence[Any]:
    """The same through ``apply``, with every operand put back where it was in the graph, so that it records."""
    args: list[Any] = [
        [wrap(a) if _is_native(a) else a for a in v] if isinstance(v, list) else v for v in node.args or ()
    ]
    args = [wrap(a) if _is_native(a) else a for a in args]
    for (position, index), (parent, output) in zip(node.mask, node.parents, strict=True):
        operand = args[position] if index < 0 else args[position][index]
        operand._node = parent
        operand._output = output
    gradients: Sequence[Any] = apply(node.op.pullback(node.mask), (*args, cotangents))
    return gradients


def _is_native(value: Any) -> bool:
    plain = isinstance(value, (bool, int, float, complex, str, list, tuple)) or value is None
    return not plain and type(value) in backends_by_type


def _add_natives(first: Native, second: Native) -> Native:
    return table["add"].implementations[type(first)](first, second)


def _add_tensors(first: Tensor, second: Tensor) -> Tensor:
    total: Tensor = apply(table["add"], (first, second))
    return total


_TAPE = TapeEngine()


def _connect(backend: Backend) -> None:
    if backend.engine is not None:
        backend.engine.wrap = wrap
        backend.engine.set_grad_enabled(grad_mode.enabled)


for _backend in registry.loaded():
    _connect(_backend)
registry.on_load(_connect)


def engine_of(tensor: Tensor) -> Engine:
    """The engine that differentiates this Tensor: its backend's own, else the tape's."""
    return backends_by_type[type(tensor._native)].engine or _TAPE


def root_cotangent(root: Tensor, gradient: Tensor | None) -> Tensor:
    """The cotangent backward starts with: ones for a single element, else what the caller gave.

    Raises:
        AutogradError: the root does not require grad, or ``gradient`` is missing or misshapen.
    """
    if not root.requires_grad:
        raise AutogradError(
            "backward on a Tensor that does not require grad: nothing it was computed from requires grad, "
            "or it was computed under un.no_grad()"
        )
    tracer = tracing()
    if tracer is not None:
        tracer.differentiate()
    if gradient is None:
        if root.numel() != 1:
            raise AutogradError(
                f"backward on a Tensor of shape {tuple(root.shape)}: only a single element has an implicit "
                "gradient; reduce it first (x.sum().backward()) or pass gradient= of that shape"
            )
        ones: Tensor = root.detach().ones_like()
        return ones
    if gradient.shape != root.shape:
        raise AutogradError(
            f"gradient of shape {tuple(gradient.shape)} does not fit the Tensor's shape {tuple(root.shape)}"
        )
    if gradient.backend != root.backend:
        raise BackendError(f"gradient lives on {gradient.backend}, the Tensor on {root.backend}")
    return gradient
