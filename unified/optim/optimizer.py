"""What every optimiser is: parameter groups, state that exists from construction, one op per update."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from unified._dispatch import tracing
from unified._engine import engine_of
from unified._hooks import Hook, RemovableHandle, register
from unified._recorded import drop_gradients
from unified._tensor import Tensor
from unified.autograd.grad_mode import enable_grad, set_grad_enabled
from unified.errors import ArgumentError, OperandError
from unified.optim import _checkpoint
from unified.optim._update import Rule, Update, optimizer_update
from unified.optim.param_group import DYNAMIC, Guard, ParamGroup, scalar

Params = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[Mapping[str, Any]]


class Optimizer:
    """Base of all optimisers, with PyTorch's interface.

    State exists from construction, so that ``un.compile`` captures it; a parameter without a gradient is skipped, and
    neither its state nor its step count advances (parameters of one group share one count inside a compiled step).
    Numbers among a group's options may change at any time, also between calls of a compiled step.

    Three of PyTorch's arguments choose between its own implementations and change nothing here: an update is always
    one op over all parameters (``foreach``, ``fused``) whose counts are Tensors (``capturable``). With
    ``differentiable=True`` gradients flow through ``step()``, back to gradients, state and an ``lr`` that requires
    grad; the parameters must then not be leaves.

    Args:
        params: Tensors that require grad, pairs of names and Tensors, or dicts with ``params`` and their own options.
        defaults: the options of groups that do not set them.

    Raises:
        OperandError: ``params`` is a Tensor or a set, or holds what is no Tensor.
        ArgumentError: there is no parameter, one occurs twice, one is no leaf, or an option makes no sense.
    """

    not_negative: ClassVar[tuple[str, ...]] = ("lr", "weight_decay")
    """Options that must be 0 or more."""

    takes_complex: ClassVar[bool] = True

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise OperandError("params must be an iterable of Tensors or dicts, not one Tensor; pass [tensor]")
        self.defaults = defaults
        self.state: dict[Tensor, dict[str, Any]] = {}
        self.param_groups: list[ParamGroup] = []
        self._composition = Guard("the parameter groups or the step hooks of an optimizer changed")
        self._hooks: dict[str, dict[int, Hook]] = {}
        self._check(defaults)
        groups: list[Any] = list(params)
        if not groups:
            raise ArgumentError("the optimizer got an empty parameter list")
        if not isinstance(groups[0], Mapping):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for index, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {index}")
            lines += [f"    {key}: {group.number(key)}" for key in sorted(group.options())]
        return "\n".join([*lines, ")"])

    # ---- what a subclass brings ------------------------------------------------------------------------------

    def _validate(self, options: Mapping[str, Any]) -> None:
        """Raises ArgumentError where an option has a value that this optimiser does not take."""

    def _numbers(self, options: Mapping[str, Any]) -> dict[str, float]:
        """The numbers of the update besides ``lr`` and ``weight_decay``, by name."""
        return {}

    def _flags(self, options: Mapping[str, Any]) -> dict[str, Hashable]:
        """What else the update depends on, fixed in its program."""
        return {"maximize": bool(options.get("maximize"))}

    def _kind(self, param: Tensor) -> Hashable:
        """What sets parameters with different moments apart; those of one kind are updated together."""
        return None

    def _moments(self, options: Mapping[str, Any], kind: Hashable = None) -> tuple[str, ...]:
        """Names of the Tensors that each parameter of that kind has as state."""
        return ()

    def _scalars(self, options: Mapping[str, Any]) -> dict[str, float]:
        """State that is one number, with its first value; parameters that advance together share it."""
        return {"step": 0.0}

    def _decay(self, options: Mapping[str, Any]) -> str | None:
        """How weight decay acts, see :class:`Rule`."""
        return "decoupled" if options.get("decoupled_weight_decay") else "coupled"

    def _initial(self, name: str, param: Tensor, options: Mapping[str, Any]) -> Tensor:
        """A moment before the first update."""
        zeros: Tensor = param.detach().zeros_like()
        return zeros

    @staticmethod
    def _update(update: Update) -> None:
        """The update rule."""
        raise NotImplementedError

    def _rule(self, options: Mapping[str, Any]) -> Rule:
        numbers = [key for key in ("lr", "weight_decay") if key in options]
        return Rule(
            type(self)._update, self._moments(options), tuple(self._scalars(options)),
            (*numbers, *self._numbers(options)), tuple(self._flags(options).items()), self._decay(options),
        )  # fmt: skip

    def _check(self, options: Mapping[str, Any]) -> None:
        name = type(self).__name__
        for key in self.not_negative:
            value = options.get(key, 0.0)
            if isinstance(value, Tensor):
                if value.numel() != 1:
                    raise ArgumentError(f"{name}: {key} must be one number, not a Tensor of {tuple(value.shape)}")
            elif not isinstance(value, (int, float)):
                raise OperandError(f"{name}: {key} must be a number or a Tensor, not {type(value).__name__}")
            elif not value >= 0.0:
                raise ArgumentError(f"{name}: {key} must not be negative, but it is {value}")
        for index, beta in enumerate(options.get("betas", ())):
            if not 0.0 <= float(beta) < 1.0:
                raise ArgumentError(f"{name}: betas[{index}] must lie in [0, 1), but it is {beta}")
        self._validate(options)

    # ---- groups ------------------------------------------------------------------------------------------------

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Adds a group: a dict with ``params`` and the options in which it differs from ``defaults``.

        Raises:
            OperandError, ArgumentError: as the constructor; nothing is added then.
        """
        if not isinstance(param_group, Mapping) or "params" not in param_group:
            raise OperandError("a parameter group must be a dict with 'params'")
        given = param_group["params"]
        if isinstance(given, (set, frozenset)):
            raise OperandError("parameters must come in a fixed order; a set has none, use a list")
        params = [given] if isinstance(given, Tensor) else list(given)
        options = {**self.defaults, **param_group}
        if params and all(isinstance(param, tuple) for param in params):
            options["param_names"] = [name for name, _ in params]
            params = [param for _, param in params]
        self._check_params(params, bool(options.get("differentiable")))
        options["params"] = params
        if "betas" in options:
            options["betas"] = tuple([float(beta) for beta in options["betas"]])
        self._check(options)
        group = ParamGroup(options, self._numbers, self._rule)
        for param in params:
            self.state[param] = {}
        self._complete(group)
        self.param_groups.append(group)
        self._composition.bump()

    def _complete(self, group: ParamGroup) -> None:
        """Makes the state that the group's present options need and its parameters have not."""
        fresh: dict[Hashable, dict[str, Tensor]] = {}
        names = group.rule.scalars
        for param in group["params"]:
            state, kind = self.state[param], self._kind(param)
            for name in self._moments(group, kind):
                if name not in state:
                    state[name] = self._initial(name, param, group)
            if names and names[0] not in state:
                if kind not in fresh:
                    fresh[kind] = {name: scalar(value, param) for name, value in self._scalars(group).items()}
                state.update(fresh[kind])

    def _check_params(self, params: list[Any], differentiable: bool) -> None:
        if not params:
            raise ArgumentError("a parameter group has no parameters")
        for param in params:
            if not isinstance(param, Tensor):
                raise OperandError(f"an optimizer can only optimize Tensors, not {type(param).__name__}")
            if not differentiable and not param.is_leaf:
                raise ArgumentError("a Tensor that was computed cannot be optimized; only leaves can")
            if param.is_complex() and not self.takes_complex:
                raise ArgumentError(f"{type(self).__name__} does not take complex parameters")
        seen = {id(param) for group in self.param_groups for param in group["params"]}
        if len({id(param) for param in params} - seen) != len(params):
            raise ArgumentError("a parameter appears twice, in one group or in two")

    def _groups(self) -> list[ParamGroup]:
        """The groups, of whose parameters the program that is being traced is made."""
        tracer = tracing()
        if tracer is not None:
            tracer.read_flag(self._composition, self._composition.training)
        return self.param_groups

    # ---- the step ------------------------------------------------------------------------------------------------

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops all gradients, or fills them with zeros, which costs memory and makes no parameter skipped."""
        for group in self._groups():
            drop_gradients(group["params"], set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates every parameter that has a gradient.

        Args:
            closure: recomputes the loss and its gradients; called once, before the update.

        Returns:
            What ``closure`` returned, or None.
        """
        args: tuple[Any, ...] = () if closure is None else (closure,)
        kwargs: dict[str, Any] = {}
        for hook in list(self._hooks.get("step_pre", {}).values()):
            changed = hook(self, args, kwargs)
            if changed is not None:
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise OperandError("a step pre-hook must return None or a pair of args and kwargs")
                args, kwargs = changed
        with set_grad_enabled(bool(self.defaults.get("differentiable"))):
            loss = self._step(*args, **kwargs)
        for hook in list(self._hooks.get("step_post", {}).values()):
            hook(self, args, kwargs)
        return loss

    def _loss(self, closure: Callable[[], Any] | None) -> Any:
        if closure is None:
            return None
        with enable_grad():
            return closure()

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = self._loss(closure)
        for group in self._groups():
            rule = group.rule
            for params, grads in self._active(group):
                kind = self._kind(params[0])
                own = rule if kind is None else rule._replace(moments=self._moments(group, kind))
                self._apply(group, own, params, grads)
        return loss

    def _active(self, group: ParamGroup) -> Iterable[tuple[list[Tensor], list[Tensor]]]:
        """The parameters with gradients, and these, by kind and by the step count that they share."""
        tracer = tracing()
        if tracer is None:
            self._complete(group)
        batches: dict[Any, tuple[list[Tensor], list[Tensor]]] = {}
        idle = []
        leading = group.rule.scalars[:1]
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                idle.append(param)
                continue
            shared = id(self.state[param][leading[0]]) if leading else self._kind(param)
            params, grads = batches.setdefault(shared, ([], []))
            params.append(param)
            grads.append(grad)
        tied = [param for param in idle if id(self.state[param][leading[0]]) in batches] if leading else []
        if tied:
            part = partial(self._part, group, tied)
            if tracer is None:
                part()
            else:
                tracer.before(part)
        return batches.values()

    def _part(self, group: ParamGroup, idle: list[Tensor]) -> None:
        """Gives parameters that are skipped numbers of their own, where theirs are about to advance."""
        names = group.rule.scalars
        clones: dict[int, dict[str, Tensor]] = {}
        for param in idle:
            state = self.state[param]
            shared = id(state[names[0]])
            if shared not in clones:
                clones[shared] = {name: state[name].clone() for name in names}
            state.update(clones[shared])
        group.shared_anew()

    def _apply(self, group: ParamGroup, rule: Rule, params: list[Tensor], grads: list[Tensor]) -> None:
        tracer = tracing()
        if tracer is not None:
            for guard in (group.guard, group.sharing):
                tracer.read_flag(guard, guard.training)
        held: Mapping[str, Any] = group.floats if tracer is None and not group.wide else group.tensors
        states = [self.state[param] for param in params]
        moments = [state[name] for name in rule.moments for state in states]
        scalars = [states[0][name] for name in rule.scalars]
        numbers = [group[name] if name in DYNAMIC else held[name] for name in rule.numbers]
        decays = "weight_decay" in rule.numbers and (group.decays or tracer is not None)
        results = optimizer_update(params, grads, moments, scalars, numbers, rule, decays)
        self._store([*params, *moments, *scalars], results, bool(group.get("differentiable")))

    def _store(self, targets: Sequence[Tensor], results: Sequence[Tensor], differentiable: bool = False) -> None:
        """Rebinds each target to its result, whether or not it requires grad."""
        engine, tracer = engine_of(targets[0]), tracing()
        for target, result in zip(targets, results, strict=True):
            if differentiable:
                target._assign(result)
                continue
            if tracer is not None:
                tracer.touch(target)
            engine.replace(target, result._native)

    # ---- checkpoints ----------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """State and options in PyTorch's layout: ``state`` by the parameter's index, ``param_groups`` with indices.

        The Tensors in it are snapshots: later steps do not change them.
        """
        for hook in list(self._hooks.get("state_dict_pre", {}).values()):
            hook(self)
        saved = _checkpoint.save(self)
        for hook in list(self._hooks.get("state_dict_post", {}).values()):
            changed = hook(self, saved)
            saved = saved if changed is None else changed
        return saved

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Goes on from ``state_dict``, which may come from another backend or from ``torch.optim``.

        Raises:
            StateDictError: groups, their sizes or the shapes of the state differ; nothing is changed then.
        """
        for hook in list(self._hooks.get("load_state_dict_pre", {}).values()):
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        _checkpoint.load(self, state_dict)
        for hook in list(self._hooks.get("load_state_dict_post", {}).values()):
            hook(self)

    # ---- hooks ---------------------------------------------------------------------------------------------------

    def _register(self, kind: str, hook: Hook, prepend: bool = False) -> RemovableHandle:
        epochs = (self._composition,) if kind.startswith("step") else ()
        return register(self._hooks.setdefault(kind, {}), hook, prepend, epochs)

    def register_step_pre_hook(self, hook: Hook) -> RemovableHandle:
        """``hook(optimizer, args, kwargs)`` before every step; may return other ``(args, kwargs)``."""
        return self._register("step_pre", hook)

    def register_step_post_hook(self, hook: Hook) -> RemovableHandle:
        """``hook(optimizer, args, kwargs)`` after every step."""
        return self._register("step_post", hook)

    def register_state_dict_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """``hook(optimizer)`` before ``state_dict()``."""
        return self._register("state_dict_pre", hook, prepend)

    def register_state_dict_post_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """``hook(optimizer, state_dict)`` after ``state_dict()``; may return another."""
        return self._register("state_dict_post", hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """``hook(optimizer, state_dict)`` before ``load_state_dict``; may return another."""
        return self._register("load_state_dict_pre", hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """``hook(optimizer)`` after ``load_state_dict``."""
        return self._register("load_state_dict_post", hook, prepend)
