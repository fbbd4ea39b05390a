"""What autograd adds to a Tensor: whether it is recorded, its gradient, its hooks, and the way back from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

from unified import _dispatch, _epoch
from unified._dispatch import tracing, wrap
from unified._engine import engine_of, root_cotangent, wanted_inputs
from unified._hooks import OF_LEAF, RemovableHandle, register
from unified.errors import AutogradError, DTypeError, OperandError, ShapeError

if TYPE_CHECKING:
    from unified._tensor import Tensor


class Recorded:
    """The autograd part of :class:`unified.Tensor`."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def _touch(self) -> Any:
        """Tells the tracer that this Tensor is used; returns the tracer, or None."""
        tracer = tracing()
        if tracer is not None:
            tracer.touch(self)
        return tracer

    @property
    def requires_grad(self) -> bool:
        """Whether backward computes a gradient for it, or for what it was computed from."""
        return engine_of(self).requires_grad(self)

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        self.requires_grad_(flag)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Starts (or stops) recording for this leaf; returns itself.

        Raises:
            DTypeError: the dtype is neither floating nor complex.
            AutogradError: it is not a leaf.
        """
        if requires_grad and not self.dtype.is_inexact:
            raise DTypeError(f"a {self.dtype.name} tensor cannot require grad; only floating and complex ones can")
        self._touch()
        engine = engine_of(self)
        if not engine.is_leaf(self):
            if not requires_grad:
                raise AutogradError("requires_grad can be switched off on leaves only; use x.detach()")
            return self
        if engine.requires_grad(self) != requires_grad:
            engine.require_grad(self, requires_grad)
            _epoch.state_epoch.bump()
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded op made it; leaves that require grad collect ``.grad``."""
        return engine_of(self).is_leaf(self)

    @property
    def grad_fn(self) -> str | None:
        """The name of the recorded op that made it, or None for a leaf: for ``is None`` and for printing."""
        return engine_of(self).origin(self)

    @property
    def grad(self) -> Tensor | None:
        """What backward has accumulated here, or None."""
        tracer = self._touch()
        if tracer is not None:
            tracer.read_grad(self)
        grad: Tensor | None = engine_of(self).read_grad(self)
        return grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Recorded):
                raise OperandError(f"grad must be a Tensor or None, not {type(value).__name__}")
            if value.shape != self.shape or value.dtype is not self.dtype:
                raise ShapeError(
                    f"grad must have the Tensor's shape and dtype, {self.dtype.name} {tuple(self.shape)}, "
                    f"not {value.dtype.name} {tuple(value.shape)}"
                )
        tracer = self._touch()
        if tracer is not None:
            tracer.write_grad(self)
        engine_of(self).write_grad(self, value)

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Tensor | Sequence[Tensor] | None = None,
    ) -> None:
        """Adds the derivative of this Tensor to the ``.grad`` of every leaf it was computed from.

        Args:
            gradient: cotangent of this Tensor, of its shape; may be left out for a single element.
            retain_graph: keep what was saved, for another pass; defaults to ``create_graph``.
            create_graph: record the backward pass too, for derivatives of higher order.
            inputs: the Tensors whose ``.grad`` is to grow, and nothing that these do not need is computed;
                all leaves if left out.

        Raises:
            AutogradError: nothing was recorded, ``gradient`` is missing or misshapen, or an input does not
                require grad.
            FreedGraphError: an earlier pass released the graph.
        """
        chosen = wanted_inputs(inputs)
        cotangent = root_cotangent(self, gradient)
        retain = create_graph if retain_graph is None else retain_graph
        tracer = tracing()
        if tracer is not None:
            tracer.differentiate()
        engine_of(self).backward([self], [cotangent], retain, create_graph, chosen)

    def detach(self) -> Tensor:
        """The same value, outside of any graph."""
        self._touch()
        detached = wrap(engine_of(self).detach(self))
        padding = _dispatch.padding()
        if padding is not None:
            padding.aliased(self, detached)
        return detached

    def detach_(self) -> Self:
        """Takes this Tensor out of its graph; returns itself."""
        self._touch()
        tensor: Any = self
        tensor._native = engine_of(self).detach(self)
        tensor._node = None
        return self

    # ---- hooks -----------------------------------------------------------------------------------------------

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Calls ``hook(gradient)`` whenever backward has the whole gradient of this Tensor.

        What the hook returns, unless None, takes the gradient's place, for ``.grad`` and for all that lies behind.
        Hooks run in the order of registration. ``handle.remove()`` takes it off.

        Raises:
            AutogradError: the Tensor does not require grad.
        """
        self._needs_grad("register_hook")
        return register(engine_of(self).hooks(self), hook, prepend=False, epochs=OF_LEAF if self.is_leaf else ())

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> RemovableHandle:
        """Calls ``hook(tensor)`` as soon as backward has added to this leaf's ``.grad``, before it goes on.

        The place for an optimiser's step inside of backward: ``p.grad = None`` there frees the gradient at once.

        Raises:
            AutogradError: the Tensor does not require grad or is no leaf.
        """
        self._needs_grad("register_post_accumulate_grad_hook")
        if not self.is_leaf:
            raise AutogradError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        return register(engine_of(self).accumulated_hooks(self), hook, prepend=False, epochs=OF_LEAF)

    def retain_grad(self) -> None:
        """Lets backward fill ``.grad`` here too, although this is no leaf; does nothing on a leaf.

        Raises:
            AutogradError: the Tensor does not require grad.
        """
        self._needs_grad("retain_grad")
        if not self.is_leaf and not self.retains_grad:
            engine_of(self).retain_grad(self)

    @property
    def retains_grad(self) -> bool:
        """Whether this is no leaf and :meth:`retain_grad` was called."""
        return not self.is_leaf and engine_of(self).retains_grad(self)

    def _needs_grad(self, what: str) -> None:
        self._touch()
        if not self.requires_grad:
            raise AutogradError(f"{what} on a Tensor that does not require grad; call x.requires_grad_() first")


def drop_gradients(params: Iterable[Any], set_to_none: bool) -> None:
    """Makes the gradients of leaves None, or zeros.

    What is there is not looked at on the way to None: torch's engine would hand it over first, and a compiled step
    would have to guard it.
    """
    traced = tracing() is not None
    for param in params:
        if set_to_none and not traced:
            engine_of(param).write_grad(param, None)
        elif set_to_none:
            param.grad = None
        elif param.grad is not None:
            param.grad = param.grad.detach().zeros_like()


def rebind_all(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Gives each Tensor of one backend the value beside it, as in-place methods do."""
    engine, tracer = engine_of(tensors[0]), tracing()
    for tensor, value in zip(tensors, values, strict=True):
        if tracer is not None:
            tracer.touch(tensor)
        engine.rebind(tensor, value)
