"""Optimisers of the frameworks' own over our parameters: optax's on JAX, PyTorch's on PyTorch.

What needs the framework are four ops; a backend that has none of them says so when they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from unified._dispatch import op, tracing
from unified._tensor import Tensor
from unified.backends import registry
from unified.errors import ArgumentError, CompileError, StateDictError
from unified.ops.creation import from_native
from unified.optim import _checkpoint
from unified.optim._update import Rule, Update
from unified.optim.optimizer import Optimizer, Params


@op
def optax_init(params: Sequence[Tensor], transformation: Any) -> tuple[Tensor, ...]:
    """The leaves of ``transformation.init(params)``."""


@op
def optax_update(
    params: Sequence[Tensor], grads: Sequence[Tensor], state: Sequence[Tensor], transformation: Any
) -> tuple[Tensor, ...]:
    """The updated params, then the leaves of the state that follows ``state``."""


@op
def torch_optimizer_init(params: Sequence[Tensor], holder: Any) -> tuple[Tensor, ...]:
    """Makes ``holder.inner``, PyTorch's optimizer over copies of ``params``; returns nothing."""


@op
def torch_optimizer_step(
    params: Sequence[Tensor], grads: Sequence[Tensor], present: tuple[int, ...], holder: Any
) -> tuple[Tensor, ...]:
    """The params after ``holder.inner.step()``, with ``grads`` for those at the positions ``present``."""


class _Foreign(Optimizer):
    """What both share: no rule of our own."""

    not_negative = ()

    def _rule(self, options: Mapping[str, Any]) -> Rule:
        return Rule(_no_rule, (), (), (), (), None)

    @property
    def _params(self) -> list[Tensor]:
        return [param for group in self.param_groups for param in group["params"]]


def _no_rule(update: Update) -> None:
    raise NotImplementedError


class OptaxOptimizer(_Foreign):
    """An optax ``GradientTransformation`` over Tensors of the JAX backend; see :func:`from_optax`."""

    def __init__(self, params: Params, transformation: Any) -> None:
        super().__init__(params, {})
        self.transformation = transformation
        leaves = list(optax_init([param.detach() for param in self._params], transformation))
        self.state[self._params[0]] = {"leaves": leaves}

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Adds a group; only while the optimizer is made, as optax's state is one tree over all parameters.

        Raises:
            ArgumentError: the optimizer is made already.
        """
        if hasattr(self, "transformation"):
            raise ArgumentError("an optax state covers all parameters from the start; make another optimizer")
        super().add_param_group(param_group)

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = self._loss(closure)
        params, leaves = self._params, self.state[self._params[0]]["leaves"]
        grads = [param.detach().zeros_like() if param.grad is None else param.grad for param in params]
        results = optax_update([param.detach() for param in params], grads, leaves, self.transformation)
        self._store([*params, *leaves], results)
        return loss

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Goes on from a state dict of the same transformation over the same parameters.

        Raises:
            StateDictError: the leaves do not fit; nothing is changed then.
        """
        _checkpoint.check_groups(self, state_dict)
        held = self.state[self._params[0]]["leaves"]
        saved = state_dict["state"][0]["leaves"]
        if len(saved) != len(held):
            raise StateDictError(f"the state dict has {len(saved)} leaves of optax's, the optimizer {len(held)}")
        fresh = [_checkpoint.beside(target, value) for target, value in zip(held, saved, strict=True)]
        for index, (target, value) in enumerate(zip(held, fresh, strict=True)):
            if target.shape != value.shape:
                raise StateDictError(
                    f"leaf {index} of optax's state has shape {tuple(value.shape)} in the state dict and "
                    f"{tuple(target.shape)} in the optimizer"
                )
        for target, value in zip(held, fresh, strict=True):
            target._assign(value)


class TorchOptimizer(_Foreign):
    """A ``torch.optim`` optimizer over Tensors of the PyTorch backend; see :func:`from_torch`."""

    inner: Any = None
    """PyTorch's own object, over copies of the parameters."""

    def __init__(self, params: Params, kind: Any, options: Mapping[str, Any]) -> None:
        self.kind, self.options = kind, dict(options)
        super().__init__(params, {})
        self.layout = [(len(group["params"]), {k: group[k] for k in group.options()}) for group in self.param_groups]
        torch_optimizer_init([param.detach() for param in self._params], self)
        self.defaults = dict(self.inner.defaults)
        for group, inner in zip(self.param_groups, self.inner.param_groups, strict=True):
            group.update({key: value for key, value in inner.items() if key != "params"})

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        if tracing() is not None:
            raise CompileError(
                "an optimizer of torch.optim keeps its state where un.compile cannot see it; step outside of the "
                "compiled function, or use the one of the same name in unified.optim"
            )
        loss = self._loss(closure)
        for group, inner in zip(self.param_groups, self.inner.param_groups, strict=True):
            inner.update({key: group.number(key) for key in group.options()})
        params = self._params
        present = tuple([index for index, param in enumerate(params) if param.grad is not None])
        if present:
            grads = [param.grad for param in params if param.grad is not None]
            self._store(params, torch_optimizer_step([p.detach() for p in params], grads, present, self))
        return loss

    def state_dict(self) -> dict[str, Any]:
        """PyTorch's own, with our Tensors in it."""
        return {key: _ours(value) for key, value in self.inner.state_dict().items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Goes on from PyTorch's own state dict, or from one of ours.

        Raises:
            StateDictError: groups or their sizes differ; nothing is changed then.
        """
        _checkpoint.check_groups(self, state_dict)
        self.inner.load_state_dict(_theirs(dict(state_dict)))
        for group, inner in zip(self.param_groups, self.inner.param_groups, strict=True):
            group.update({key: value for key, value in inner.items() if key != "params"})


def _ours(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _ours(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_ours(member) for member in value])
    return value if registry.owner_of(type(value)) is None else from_native(value).clone()


def _theirs(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _theirs(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_theirs(member) for member in value])
    return value.detach().native if isinstance(value, Tensor) else value


def from_optax(transformation: Any) -> Callable[[Params], OptaxOptimizer]:
    """An optax ``GradientTransformation`` as an optimiser class over Tensors of the JAX backend.

    Its state is Tensors, so that compiled steps and checkpoints carry it. Its rate is optax's own affair: a schedule
    goes into the transformation. A parameter without a gradient counts as one whose gradient is 0, as in optax.

    Example: ``optimizer = optim.from_optax(optax.adamw(3e-4))(model.parameters())``.

    Raises (when called with parameters):
        UnsupportedOpError: the parameters live on another backend.
    """
    return lambda params: OptaxOptimizer(params, transformation)


def from_torch(kind: Any) -> Callable[..., TorchOptimizer]:
    """A class of ``torch.optim``'s kind as an optimiser class over Tensors of the PyTorch backend.

    PyTorch writes in place, so it works on copies of the parameters, which costs two copies a step. Eager only.
    Options in ``param_groups`` are handed on before each step; so our schedules drive it.

    Example: ``optimizer = optim.from_torch(torch.optim.SparseAdam)(model.parameters(), lr=1e-3)``.

    Raises (when called with parameters):
        UnsupportedOpError: the parameters live on another backend.
    """
    return lambda params, **options: TorchOptimizer(params, kind, options)
