"""PyTorch's own engine behind the front end's contract.

Our Tensor's ``_grad`` slot holds the truth; the native leaf's ``.grad`` is a mailbox that torch's engine
delivers to and that we empty when somebody looks. A rebound leaf may still be wanted by a live graph, which then
delivers to the *old* native: a hook there forwards to the Tensor.
"""

from __future__ import annotations

import weakref

import torch

from unified.backends.protocol import errors


def _holders(native) -> int:
    """How many owners the C++ tensor has: its Python object is one, each graph that saved it another."""
    return native._use_count()


class TorchEngine:
    """Satisfies ``protocol.Engine``."""

    wrap = None

    def set_grad_enabled(self, enabled) -> None:
        torch._C._set_grad_enabled(enabled)

    def requires_grad(self, tensor) -> bool:
        return tensor._native.requires_grad

    def require_grad(self, tensor, flag) -> None:
        if flag:  # a fresh alias, so that no other holder of the native starts to require grad
            tensor._native = tensor._native.detach().requires_grad_(True)
        else:
            self._collect(tensor)
            tensor._native = tensor._native.detach()

    def is_leaf(self, tensor) -> bool:
        return tensor._native.is_leaf

    def detach(self, tensor):
        return tensor._native.detach()

    def read_grad(self, tensor):
        self._collect(tensor)
        return getattr(tensor, "_grad", None)

    def write_grad(self, tensor, grad) -> None:
        if tensor._native.is_leaf:
            tensor._native.grad = None
        tensor._grad = grad

    def _collect(self, tensor) -> None:
        native = tensor._native
        if native.is_leaf and native.requires_grad and native.grad is not None:
            delivered, native.grad = native.grad, None
            self._add(tensor, delivered)

    def _add(self, tensor, delivered) -> None:
        held = getattr(tensor, "_grad", None)
        if held is None:
            tensor._grad = self.wrap(delivered)
        elif torch.is_grad_enabled() and (delivered.requires_grad or held._native.requires_grad):
            tensor._grad = self.wrap(held._native + delivered)
        else:
            held._native = held._native.detach() + delivered.detach()

    def rebind(self, tensor, result) -> None:
        if torch.is_grad_enabled():
            tensor._native = result._native
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
            tensor._native = native.detach().requires_grad_(True)
        else:
            tensor._native = _Reattach.apply(old, native.detach())

    def _forward(self, tensor, old) -> None:
        target = weakref.ref(tensor)

        def deliver(leaf) -> None:
            delivered, leaf.grad = leaf.grad, None
            tensor = target()
            if tensor is not None and delivered is not None:
                self._add(tensor, delivered)

        old.register_post_accumulate_grad_hook(deliver)

    def backward(self, roots, cotangents, retain_graph, create_graph) -> None:
        try:
            torch.autograd.backward(
                [root._native for root in roots],
                [cotangent._native for cotangent in cotangents],
                retain_graph=retain_graph,
                create_graph=create_graph,
            )
        except RuntimeError as error:
            raise _translate(error) from error

    def gradients(self, roots, cotangents, inputs, retain_graph, create_graph):
        try:
            found = torch.autograd.grad(
                [root._native for root in roots],
                [tensor._native for tensor in inputs],
                [cotangent._native for cotangent in cotangents],
                retain_graph=retain_graph,
                create_graph=create_graph,
                allow_unused=True,
            )
        except RuntimeError as error:
            raise _translate(error) from error
        return [None if native is None else self.wrap(native) for native in found]


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
        return errors.FreedGraphError(
            "backward through a graph a second time: the first pass released what it had saved; "
            "call the first one as .backward(retain_graph=True), or run the forward pass again"
        )
    return errors.AutogradError(str(error).splitlines()[0])
