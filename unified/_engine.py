"""Reverse-mode autograd for backends that have no ``.backward()`` of their own: the Engine over the tape."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unified._custom import Applied, Recomputed, Run, apply_call, outside, placed
from unified._dispatch import apply, backends_by_type, depth, table, tracing, wrap
from unified._location import is_users
from unified._recording import recording
from unified._tape import Call, Custom, Hook, Leaf, Node, Walk, grad_mode, hooked_leaves, mark
from unified.backends import registry
from unified.backends.protocol import Backend, Engine, FrontEnd, Native, Transforms
from unified.errors import AnomalyError, AutogradError, BackendError, OperandError

if TYPE_CHECKING:
    from unified._tensor import Tensor

Pull = Callable[[Node, list[Any], Sequence[bool] | None], Sequence[Any]]

RETAIN = sys.maxsize
"""The handle of ``retain_grad`` among a Tensor's hooks: it runs after all the others, as in PyTorch."""


class TapeEngine:
    """Satisfies ``protocol.Engine`` for every backend whose ``engine`` is None."""

    front: FrontEnd | None = None
    transforms: Transforms
    """Set by ``_transforms``, which builds on this module."""

    def set_grad_enabled(self, enabled: bool) -> None:
        grad_mode.enabled = enabled

    def set_anomaly(self, enabled: bool) -> None:
        pass  # the tape reads the mode itself

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

    def origin(self, tensor: Tensor) -> str | None:
        return None if self.is_leaf(tensor) else f"<{tensor._node.name}>"

    def read_grad(self, tensor: Tensor) -> Tensor | None:
        return getattr(tensor, "_grad", None)

    def write_grad(self, tensor: Tensor, grad: Tensor | None) -> None:
        tensor._grad = grad

    def detach(self, tensor: Tensor) -> Native:
        native = tensor._native
        compiler = backends_by_type[type(native)].compiler
        return compiler.stop_gradient(native) if compiler.is_traced(native) else native

    def rebind(self, tensor: Tensor, result: Tensor) -> None:
        retained = self.retains_grad(tensor)
        tensor._native = result._native
        if grad_mode.enabled:
            tensor._node = result._node
            if result._node is not None:
                tensor._output = result._output
            if retained:
                self.retain_grad(tensor)

    def replace(self, tensor: Tensor, native: Native) -> None:
        tensor._native = native

    def replace_all(self, tensors: Sequence[Tensor], natives: Sequence[Native]) -> None:
        for tensor, native in zip(tensors, natives, strict=False):
            tensor._native = native

    def hooks(self, tensor: Tensor) -> dict[int, Hook]:
        found: dict[int, Hook] = tensor._node.hooks_of(tensor._output)
        return found

    def hook_ids(self, tensor: Tensor) -> tuple[int, ...]:
        node = tensor._node
        if node is None:
            return ()
        accumulated = node.accumulated if isinstance(node, Leaf) else None
        return (*(node.hooks or {}).get(tensor._output, ()), *(accumulated or ()))

    def accumulated_hooks(self, tensor: Tensor) -> dict[int, Hook]:
        leaf: Leaf = tensor._node
        if leaf.accumulated is None:
            leaf.accumulated = {}
        hooked_leaves.add(leaf)
        return leaf.accumulated

    def retain_grad(self, tensor: Tensor) -> None:
        held = weakref.ref(tensor)

        def retain(gradient: Tensor) -> None:
            tensor = held()
            if tensor is not None:
                _accumulate(tensor, gradient)

        self.hooks(tensor)[RETAIN] = retain

    def retains_grad(self, tensor: Tensor) -> bool:
        node = tensor._node
        return node is not None and node.hooks is not None and RETAIN in node.hooks.get(tensor._output, ())

    def backward(
        self,
        roots: Sequence[Tensor],
        cotangents: Sequence[Tensor | None],
        retain_graph: bool,
        create_graph: bool,
        inputs: Sequence[Tensor] | None = None,
    ) -> None:
        holders: dict[Node, list[Tensor]] | None = None
        if inputs is not None:
            holders = {}
            for tensor in inputs:
                holders.setdefault(tensor._node, []).append(tensor)
        complete: list[tuple[Tensor, Any]] = []

        def arrive(node: Node, slots: list[Any]) -> None:
            if holders is not None:
                complete.extend((t, slots[t._output]) for t in holders.get(node, ()) if slots[t._output] is not None)
                return
            assert isinstance(node, Leaf)
            tensor = node.tensor()
            if tensor is None:
                return
            if not node.accumulated:  # only once all has gone well: a failure leaves every .grad as it was
                complete.append((tensor, slots[0]))
                return
            _accumulate(tensor, _as_tensor(slots[0]))
            for hook in list(node.accumulated.values()):
                hook(tensor)

        targets = None if holders is None else frozenset(holders)
        self._walk(roots, cotangents, retain_graph, create_graph, targets, arrive)
        for tensor, cotangent in complete:
            _accumulate(tensor, _as_tensor(cotangent))

    def gradients(
        self,
        roots: Sequence[Tensor],
        cotangents: Sequence[Tensor | None],
        inputs: Sequence[Tensor],
        retain_graph: bool,
        create_graph: bool,
    ) -> list[Tensor | None]:
        nodes = [tensor._node for tensor in inputs]
        targets = frozenset(node for node in nodes if node is not None)
        arrived: dict[Node, list[Any]] = {}
        self._walk(roots, cotangents, retain_graph, create_graph, targets, arrived.__setitem__)
        found: list[Tensor | None] = []
        for tensor, node in zip(inputs, nodes, strict=True):
            slots = arrived.get(node) if node is not None else None
            cotangent = None if slots is None else slots[tensor._output]
            found.append(None if cotangent is None else _as_tensor(cotangent))
        return found

    def custom(self, call: Applied, inputs: list[Tensor]) -> list[Tensor]:
        return apply_call(call, inputs)[: len(call.carries)]

    def checkpoint(self, run: Callable[[], list[Tensor]], again: Run) -> list[Tensor]:
        first = mark()
        outputs = run()
        edges = outside(outputs, first)
        if not edges:
            return outputs

        def back(
            pairs: Sequence[tuple[Tensor, Any]], targets: frozenset[Node], record: bool
        ) -> dict[Node, list[Any]]:
            arrived: dict[Node, list[Any]] = {}
            starts = [(output._node, output._output, cotangent) for output, cotangent in pairs]
            pull, add = _algebra(record)
            Walk(pull, add, _call_hook, record, targets, arrived.__setitem__, ends=True).run(starts)
            return arrived

        node = Recomputed(recording(True)(again), back, edges, len(outputs))
        return [
            placed(output._native, None if output._node is None else node, index)
            for index, output in enumerate(outputs)
        ]

    def _walk(
        self,
        roots: Sequence[Tensor],
        cotangents: Sequence[Tensor | None],
        retain_graph: bool,
        create_graph: bool,
        targets: frozenset[Node] | None,
        arrive: Callable[[Node, list[Any]], None],
    ) -> None:
        starts = []
        for root, cotangent in zip(roots, cotangents, strict=True):
            if root._node is None:
                raise AutogradError("a Tensor that does not require grad has no graph to go back through")
            given = root.detach().ones_like() if cotangent is None else cotangent
            starts.append((root._node, root._output, given if create_graph else given._native))
        pull, add = _algebra(create_graph)
        # within a level of func the caller's mode stays: what is not recorded there may be recorded outside
        with recording(create_graph or (grad_mode.enabled and any(depth(root) for root in roots))):
            Walk(pull, add, _call_hook, retain_graph, targets, arrive).run(starts)


def _algebra(record: bool) -> tuple[Pull, Callable[[Any, Any], Any]]:
    """How a walk applies pullbacks and adds: on Tensors if it is to be differentiable itself, else on natives."""
    pull, add = (_pull_tensors, _add_tensors) if record else (_pull_natives, _add_natives)
    return (checked(pull) if grad_mode.anomaly and grad_mode.check_nan else pull), add


def _as_tensor(cotangent: Any) -> Tensor:
    return cotangent if _is_tensor(cotangent) else wrap(cotangent)


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "_native")


def _accumulate(tensor: Tensor, gradient: Tensor) -> None:
    """Adds to ``.grad``: in place, unless the sum is to be differentiated itself."""
    tracer = tracing()
    if tracer is not None:
        tracer.touch(tensor)
        tracer.read_grad(tensor)
    held = getattr(tensor, "_grad", None)
    if held is None:
        tensor._grad = gradient
    elif gradient._node is not None or held._node is not None:
        tensor._grad = _add_tensors(held, gradient)
    else:
        if tracer is not None:
            tracer.touch(held)
        held._native = _add_natives(held._native, gradient._native)


def _call_hook(hook: Hook, cotangent: Any) -> Any:
    """What the hook makes of a cotangent: a Tensor where those are Tensors, else a native."""
    recorded = _is_tensor(cotangent)
    gradient = cotangent if recorded else wrap(cotangent)
    changed = hook(gradient)
    if changed is None:
        return cotangent
    check_gradient(changed, gradient, "a hook")
    return changed if recorded else changed._native


def check_gradient(changed: Any, gradient: Tensor, what: str) -> None:
    """Raises unless ``changed``, which ``what`` returned, can stand for ``gradient``."""
    if not _is_tensor(changed):
        raise OperandError(f"{what} must return a Tensor or None, not {type(changed).__name__}")
    if changed.shape != gradient.shape or changed.dtype is not gradient.dtype or changed.backend != gradient.backend:
        raise AutogradError(
            f"{what} returned {changed.dtype.name} {tuple(changed.shape)} on {changed.backend} for a gradient that "
            f"is {gradient.dtype.name} {tuple(gradient.shape)} on {gradient.backend}"
        )


def checked(pull: Pull) -> Pull:
    """``pull`` followed by a look for NaN, for ``detect_anomaly``."""

    def looked_at(node: Node, cotangents: list[Any], wanted: Sequence[bool] | None) -> Sequence[Any]:
        found = pull(node, cotangents, wanted)
        for position, gradient in enumerate(found):
            if gradient is not None and _has_nan(gradient):
                raise anomaly(node.name, position, node.where)
        return found

    return looked_at


def anomaly(name: str, position: int, where: str | None) -> AnomalyError:
    """The error about NaN in a gradient that backward through ``name`` made."""
    line = where or "a line that was not noted: enter detect_anomaly before the forward pass"
    return AnomalyError(
        f"backward through {name!r} returned nan values in its output {position}\n  recorded at {line}"
    )


def _has_nan(gradient: Any) -> bool:
    native = gradient._native if _is_tensor(gradient) else gradient
    backend = backends_by_type[type(native)]
    if backend.compiler.is_traced(native):
        return False
    values = backend.to_numpy(native)
    return values.dtype.kind in "fcV" and bool(np.isnan(values.astype(np.complex128)).any())


def _pull_natives(node: Node, cotangents: list[Any], wanted: Sequence[bool] | None) -> Sequence[Any]:
    if isinstance(node, Call):
        mask = node.mask if wanted is None else _chosen(node.mask, wanted)
        pullback = node.op.pullback(mask)
        found = pullback.implementations[node.kind](*(node.args or ()), cotangents)
        if grad_mode.computed is not None:
            grad_mode.computed(pullback.name, found, node.where)
        return _spread(found, wanted)
    assert isinstance(node, Custom)
    return node.pull(cotangents, wanted or [True] * len(node.parents), record=False)


def _pull_tensors(node: Node, cotangents: list[Any], wanted: Sequence[bool] | None) -> Sequence[Any]:
    """The same through ``apply``, with every operand put back where it was in the graph, so that it records."""
    if isinstance(node, Custom):
        return node.pull(cotangents, wanted or [True] * len(node.parents), record=True)
    assert isinstance(node, Call)
    args: list[Any] = [
        [wrap(a) if _is_native(a) else a for a in v] if isinstance(v, list) else v for v in node.args or ()
    ]
    args = [wrap(a) if _is_native(a) else a for a in args]
    for (position, index), (parent, output) in zip(node.mask, node.parents, strict=True):
        operand = args[position] if index < 0 else args[position][index]
        operand._node, operand._output = (node, 0) if node.op.of_result else (parent, output)
    mask = node.mask if wanted is None else _chosen(node.mask, wanted)
    return _spread(apply(node.op.pullback(mask), (*args, cotangents)), wanted)


def _chosen(mask: tuple[tuple[int, int], ...], wanted: Sequence[bool]) -> tuple[tuple[int, int], ...]:
    return tuple(entry for entry, use in zip(mask, wanted, strict=True) if use)


def _spread(gradients: Sequence[Any], wanted: Sequence[bool] | None) -> Sequence[Any]:
    """None in the place of each gradient that was not computed."""
    if wanted is None or all(wanted):
        return gradients
    iterator = iter(gradients)
    return [next(iterator) if use else None for use in wanted]


def _is_native(value: Any) -> bool:
    plain = isinstance(value, (bool, int, float, complex, str, list, tuple)) or value is None
    return not plain and type(value) in backends_by_type


def _add_natives(first: Native, second: Native) -> Native:
    return table["add"].implementations[type(first)](first, second)


def _add_tensors(first: Tensor, second: Tensor) -> Tensor:
    total: Tensor = apply(table["add"], (first, second))
    return total


TAPE = TapeEngine()


class _Front:
    """Satisfies ``protocol.FrontEnd``."""

    wrap = staticmethod(wrap)
    recording = staticmethod(recording)
    check_gradient = staticmethod(check_gradient)

    def checks_nan(self) -> bool:
        return grad_mode.check_nan

    def listens(self) -> bool:
        return grad_mode.computed is not None

    def computed(self, name: str, natives: Sequence[Native], frames: Sequence[tuple[str, str, str]]) -> None:
        if grad_mode.computed is not None:
            grad_mode.computed(f"{name}_backward", natives, _own(frames))

    def anomaly(self, name: str, position: int, frames: Sequence[tuple[str, str, str]]) -> Exception:
        return anomaly(name, position, _own(frames))


def _own(frames: Sequence[tuple[str, str, str]]) -> str | None:
    """The innermost of these lines that is the user's own."""
    own = [f"{file}:{line} (in {function})" for file, line, function in frames if is_users(file)]
    return own[-1] if own else None


def _connect(backend: Backend) -> None:
    if backend.engine is not None:
        backend.engine.front = _Front()
        backend.engine.set_grad_enabled(grad_mode.enabled)
        backend.engine.set_anomaly(grad_mode.anomaly)


for _backend in registry.loaded():
    _connect(_backend)
registry.on_load(_connect)


def engine_of(tensor: Any) -> Engine:
    """The engine that differentiates this Tensor: its backend's own, else the tape's."""
    engine: Engine = backends_by_type[type(tensor._native)].engine or TAPE
    return engine


def wanted_inputs(inputs: Any) -> list[Any] | None:
    """``inputs=`` of a backward pass as a list.

    Raises:
        AutogradError: it is empty, or a member does not require grad.
    """
    if inputs is None:
        return None
    listed = [inputs] if _is_tensor(inputs) else list(inputs)
    if not listed:
        raise AutogradError("inputs= of backward cannot be empty; leave it out for all leaves")
    for position, tensor in enumerate(listed):
        require(tensor, position)
    return listed


def require(tensor: Any, position: int) -> None:
    """Raises unless the Tensor at ``inputs[position]`` can have a gradient."""
    if not _is_tensor(tensor):
        raise OperandError(f"inputs[{position}] must be a Tensor, not {type(tensor).__name__}")
    if not tensor.dtype.is_inexact:
        raise AutogradError(
            f"inputs[{position}] is a {tensor.dtype.name} tensor, which has no gradient; only floating and complex "
            "ones have"
        )
    if not tensor.requires_grad:
        raise AutogradError(f"inputs[{position}] does not require grad; call x.requires_grad_() before using it")


def root_cotangent(root: Any, gradient: Tensor | None) -> Tensor | None:
    """The cotangent backward starts with: what the caller gave, or None, which says 1, for a single element.

    Raises:
        AutogradError: the root does not require grad, or ``gradient`` is missing or misshapen.
    """
    tracer = tracing()
    if tracer is not None:
        tracer.touch(root)
    if not root.requires_grad:
        raise AutogradError(
            "backward on a Tensor that does not require grad: nothing it was computed from requires grad, "
            "or it was computed under un.no_grad()"
        )
    if gradient is None:
        if root.dtype.is_complex:
            raise AutogradError(
                f"backward on a {root.dtype.name} Tensor: only a real one has an implicit gradient; take its real "
                "part or absolute value first, or pass gradient="
            )
        if root.numel() != 1:
            raise AutogradError(
                f"backward on a Tensor of shape {tuple(root.shape)}: only a single element has an implicit "
                "gradient; reduce it first (x.sum().backward()) or pass gradient= of that shape"
            )
        return None
    if not _is_tensor(gradient):
        raise OperandError(f"gradient must be a Tensor, not {type(gradient).__name__}")
    if gradient.shape != root.shape:
        raise AutogradError(
            f"gradient of shape {tuple(gradient.shape)} does not fit the Tensor's shape {tuple(root.shape)}"
        )
    if gradient.backend != root.backend:
        raise BackendError(f"gradient lives on {gradient.backend}, the Tensor on {root.backend}")
    if gradient.dtype.is_complex != root.dtype.is_complex:
        raise AutogradError(
            f"gradient is {gradient.dtype.name}, the Tensor {root.dtype.name}: both must be complex, or none"
        )
    if tracer is not None:
        tracer.touch(gradient)
    return gradient
