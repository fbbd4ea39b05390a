"""PyTorch's own engine behind the front end's contract.

Our Tensor's ``_grad`` slot holds the truth; the native leaf's ``.grad`` is a mailbox that torch's engine
delivers to and that we empty when somebody looks. A rebound leaf may still be wanted by a live graph, which then
delivers to the *old* native: a hook there forwards to the Tensor. Hooks are the Tensor's too, and move with it from
native to native.
"""

from __future__ import annotations

import contextlib
import re
import warnings
import weakref

import torch
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily
from torch.utils import checkpoint
from torch.utils._python_dispatch import _disable_current_modes

from unified.backends.protocol import FREED, errors


def _holders(native) -> int:
    """How many owners the C++ tensor has: its Python object is one, each graph that saved it another."""
    return native._use_count()


def _retained(native):
    """The gradient of a native that is no leaf, of which torch warns."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The .grad attribute", UserWarning)
        return native.grad


class _Hooks:
    """What a Tensor wants called in a backward pass, and the native that calls it."""

    __slots__ = ("accumulated", "gradient", "native")

    def __init__(self) -> None:
        self.gradient = {}
        self.accumulated = {}
        self.native = None


class TorchEngine:
    """Satisfies ``protocol.Engine``."""

    front = None

    def set_grad_enabled(self, enabled) -> None:
        torch._C._set_grad_enabled(enabled)

    def set_anomaly(self, enabled) -> None:
        torch.autograd.set_detect_anomaly(enabled, check_nan=False)  # the front end looks for NaN, see `backward`

    def requires_grad(self, tensor) -> bool:
        return tensor._native.requires_grad

    def require_grad(self, tensor, flag) -> None:
        if flag:  # a fresh alias, so that no other holder of the native starts to require grad
            self._rename(tensor, tensor._native.detach().requires_grad_(True))
        else:
            self._collect(tensor)
            tensor._native = tensor._native.detach()

    def _rename(self, tensor, native) -> None:
        """Another native for a leaf, which calls the same hooks."""
        tensor._native = native
        hooks = getattr(tensor, "_hooks", None)
        if hooks is not None:
            self._attach(tensor, hooks)

    def is_leaf(self, tensor) -> bool:
        return tensor._native.is_leaf

    def origin(self, tensor):
        function = tensor._native.grad_fn
        return None if function is None else f"<{function.name()}>"

    def detach(self, tensor):
        native = tensor._native
        if isinstance(native, FakeTensor):  # a trace within its own would convert it, and look at its .grad
            with unset_fake_temporarily():
                return native.detach()
        return native.detach()

    def read_grad(self, tensor):
        self._collect(tensor)
        return getattr(tensor, "_grad", None)

    def write_grad(self, tensor, grad) -> None:
        if tensor._native.is_leaf or tensor._native.retains_grad:
            tensor._native.grad = None
        tensor._grad = grad

    def _collect(self, tensor) -> None:
        native = tensor._native
        if native.requires_grad and (native.is_leaf or native.retains_grad):
            self._empty(tensor, native)

    def _empty(self, tensor, native) -> None:
        """Moves what was delivered to ``native`` into the Tensor's own gradient."""
        delivered = native.grad if native.is_leaf else _retained(native)
        if delivered is not None:
            native.grad = None
            self._add(tensor, delivered)

    def _add(self, tensor, delivered) -> None:
        held = getattr(tensor, "_grad", None)
        if held is None:
            tensor._grad = self.front.wrap(delivered)
        elif torch.is_grad_enabled() and (delivered.requires_grad or held._native.requires_grad):
            tensor._grad = self.front.wrap(held._native + delivered)
        elif isinstance(delivered, FakeTensor):
            held._native = held._native.detach() + delivered.detach()
        else:
            with _real():
                held._native = held._native.detach() + delivered.detach()

    def rebind(self, tensor, result) -> None:
        if torch.is_grad_enabled():
            retained = not tensor._native.is_leaf and tensor._native.retains_grad
            tensor._native = result._native
            if retained and result._native.requires_grad:
                result._native.retain_grad()
        else:
            self.replace(tensor, result._native)

    def replace(self, tensor, native) -> None:
        old = tensor._native
        if not old.requires_grad:
            tensor._native = native.detach()
        elif old.is_leaf:
            self._collect(tensor)
            if _holders(old) > 1:
                self._forward(tensor, old)
            self._rename(tensor, native.detach().requires_grad_(True))
            if isinstance(old, FakeTensor):
                old.heir = tensor._native
        else:
            tensor._native = _Reattach.apply(old, native.detach())

    def replace_all(self, tensors, natives) -> None:
        for tensor, native in zip(tensors, natives, strict=False):
            old = tensor._native
            if not old.requires_grad:
                tensor._native = native
            elif old.is_leaf and old.grad is None and _holders(old) == 1 and getattr(tensor, "_hooks", None) is None:
                tensor._native = native.detach().requires_grad_(True)
            else:
                self.replace(tensor, native)

    def _forward(self, tensor, old) -> None:
        target = weakref.ref(tensor)

        def deliver(leaf) -> None:
            tensor = target()
            if tensor is not None:
                self._empty(tensor, leaf)

        old.register_post_accumulate_grad_hook(deliver)

    def hooks(self, tensor):
        return self._hooks_of(tensor).gradient

    def hook_ids(self, tensor):
        hooks = getattr(tensor, "_hooks", None)
        return () if hooks is None else (*hooks.gradient, *hooks.accumulated)

    def accumulated_hooks(self, tensor):
        return self._hooks_of(tensor).accumulated

    def _hooks_of(self, tensor):
        hooks = getattr(tensor, "_hooks", None)
        native = tensor._native
        if hooks is None or (hooks.native() is not native and not native.is_leaf):
            hooks = tensor._hooks = _Hooks()
            self._attach(tensor, hooks)
        return hooks

    def _attach(self, tensor, hooks) -> None:
        """Lets the Tensor's native run ``hooks``, as long as the Tensor lives."""
        native = tensor._native
        hooks.native = weakref.ref(native)
        target = weakref.ref(tensor)

        def replaced(gradient):
            current = gradient
            for _, hook in sorted(hooks.gradient.items()):
                given = self.front.wrap(current)
                changed = hook(given)
                if changed is not None:
                    self.front.check_gradient(changed, given, "a hook")
                    current = changed._native
            return current

        native.register_hook(replaced)
        if not native.is_leaf:
            return

        def accumulated(leaf) -> None:
            tensor = target()
            if hooks.accumulated and tensor is not None:
                self._empty(tensor, leaf)
                for _, hook in sorted(hooks.accumulated.items()):
                    hook(tensor)

        native.register_post_accumulate_grad_hook(accumulated)

    def custom(self, call, inputs):
        wrap = self.front.wrap
        natives = _Ruled.apply(call, wrap, *[tensor._native for tensor in inputs])
        return [wrap(native) for native in natives[: len(call.carries)]]

    def checkpoint(self, run, again):
        runs = iter((run,))
        second = self.front.recording(True)(again)  # within a backward pass, which does not record

        def region():
            return tuple(output._native for output in next(runs, second)())

        with checkpoint.set_checkpoint_early_stop(False):  # it stops by an exception, from within an op
            natives = checkpoint.checkpoint(region, use_reentrant=False, preserve_rng_state=False)
        return [self.front.wrap(native) for native in natives]

    def retain_grad(self, tensor) -> None:
        tensor._native.retain_grad()

    def retains_grad(self, tensor) -> bool:
        return tensor._native.retains_grad

    def backward(self, roots, cotangents, retain_graph, create_graph, inputs=None) -> None:
        self._run(
            torch.autograd.backward,
            [root._native for root in roots],
            [None if cotangent is None else cotangent._native for cotangent in cotangents],
            retain_graph=retain_graph,
            create_graph=create_graph,
            inputs=None if inputs is None else [tensor._native for tensor in inputs],
        )
        for tensor in inputs or ():
            if not tensor._native.is_leaf:
                self._empty(tensor, tensor._native)

    def gradients(self, roots, cotangents, inputs, retain_graph, create_graph):
        owners, natives = [], []
        for place, tensor in enumerate(inputs):
            for native in _heirs(tensor._native):
                owners.append(place)
                natives.append(native)
        found = self._run(
            torch.autograd.grad,
            [root._native for root in roots],
            natives,
            [None if cotangent is None else cotangent._native for cotangent in cotangents],
            retain_graph=retain_graph,
            create_graph=create_graph,
            allow_unused=True,
        )
        sums = [None] * len(inputs)
        for place, native in zip(owners, found, strict=True):
            if native is not None:
                sums[place] = native if sums[place] is None else sums[place] + native
        return [None if native is None else self.front.wrap(native) for native in sums]

    def _run(self, function, roots, *args, **options):
        if not torch.is_anomaly_enabled():
            return self._translated(function, roots, *args, **options)
        watched = []
        if self.front.listens():
            watched = [node.register_hook(self._tells(node)) for node in _nodes(roots)]
        elif self.front.checks_nan():
            watched = [node.register_hook(self._looks(node)) for node in _nodes(roots)]
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Error detected in", UserWarning)  # the error says it all
                return self._translated(function, roots, *args, **options)
        finally:
            for handle in watched:
                handle.remove()

    def _translated(self, function, *args, create_graph, **options):
        try:
            with self.front.recording(create_graph):
                return function(*args, create_graph=create_graph, **options)
        except RuntimeError as error:
            if isinstance(error, errors.UnifiedError):
                raise
            raise _translate(error) from error

    def _looks(self, node):
        def look(gradients, _) -> None:
            for position, gradient in enumerate(gradients):
                if gradient is not None and bool(torch.isnan(gradient).any()):
                    raise self.front.anomaly(_name(node), position, _frames(node))

        return look

    def _tells(self, node):
        return lambda gradients, _: self.front.computed(_name(node), gradients, _frames(node))


def _heirs(native):
    """A leaf, and those that took its place when its Tensor was written to within a trace: all are one leaf there."""
    while native is not None:
        yield native
        native = getattr(native, "heir", None)


def _real():
    """Computes with values also where a trace is at work, which looks for gradients delivered before it."""
    if torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE) is None:
        return contextlib.nullcontext()
    return _disable_current_modes()


def _frames(node):
    """The stack that recorded a node, as (file, line, function)."""
    return _FRAME.findall("".join(node.metadata.get("traceback_", ())))


_FRAME = re.compile(r'File "(.*)", line (\d+), in (.*)')


def _nodes(roots):
    """Every node of the graph behind ``roots``."""
    seen, stack = set(), [root.grad_fn for root in roots]
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            stack.extend(parent for parent, _ in node.next_functions)
    return seen


def _name(node):
    """The op's name behind ``LogBackward0``."""
    words = re.sub(r"Backward\d*$", "", node.name().rpartition("::")[2])
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", words).lower()


class _Ruled(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(call, wrap, *natives):
        results = [result._native for result in call.forward([wrap(native) for native in natives])]
        count = len(call.carries)
        outputs = [r.view_as(r) if any(r is native for native in natives) else r for r in results[:count]]
        return (*outputs, *[extra.detach() for extra in results[count:]])

    @staticmethod
    def setup_context(ctx, inputs, output):
        call, wrap, *natives = inputs
        ctx.call, ctx.wrap = call, wrap
        ctx.set_materialize_grads(False)
        saved = call.saved(natives, output)
        ctx.save_for_backward(*saved)
        ctx.save_for_forward(*saved)
        count = len(call.carries)
        constant = [o for o, carries in zip(output, call.carries, strict=False) if not carries]
        ctx.mark_non_differentiable(*output[count:], *constant)

    @staticmethod
    def backward(ctx, *cotangents):
        wrap = ctx.wrap
        given = [None if c is None else wrap(c) for c in cotangents[: len(ctx.call.carries)]]
        if all(c is None for c in given):
            return (None,) * len(ctx.needs_input_grad)
        found = ctx.call.backward([wrap(native) for native in ctx.saved_tensors], given, ctx.needs_input_grad[2:])
        return None, None, *[None if tensor is None else tensor._native for tensor in found]

    @staticmethod
    def jvp(ctx, _call, _wrap, *tangents):
        wrap = ctx.wrap
        given = [None if t is None else wrap(t) for t in tangents]
        found = ctx.call.jvp([wrap(native) for native in ctx.saved_tensors], given)
        return tuple(None if tensor is None else tensor._native for tensor in found)


class _Reattach(torch.autograd.Function):
    """A value written under no_grad to a Tensor inside a graph: the new value, the old place in the graph."""

    @staticmethod
    def forward(ctx, old, new):
        return new.view_as(new)

    @staticmethod
    def backward(ctx, cotangent):
        return cotangent, None


def _translate(error: RuntimeError) -> Exception:
    if "second time" in str(error):
        return errors.FreedGraphError(FREED)
    return errors.AutogradError(str(error).splitlines()[0])
