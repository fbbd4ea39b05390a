"""What every schedule is."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from unified._dispatch import tracing
from unified.errors import ArgumentError, OperandError
from unified.optim.optimizer import Optimizer


class LRScheduler:
    """Base of all schedules: ``step()`` after each epoch (or batch) moves every group's ``lr`` on.

    Args:
        optimizer: whose groups it drives; their present ``lr`` is where it starts.
        last_epoch: -1 to start, or the epoch to resume after (groups then need ``initial_lr``).

    Raises:
        OperandError: ``optimizer`` is none.
        ArgumentError: resumed without ``initial_lr``.
    """

    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = checked_optimizer(optimizer)
        for index, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group.number("lr"))
            elif "initial_lr" not in group:
                raise ArgumentError(f"group {index} has no 'initial_lr' to resume a schedule from")
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def get_lr(self) -> list[float]:
        """Each group's learning rate for ``last_epoch``, from the one before."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """Each group's learning rate as this schedule last set it."""
        return self._last_lr

    def _refuse_traced(self) -> None:
        """Raises TracedValueError within ``un.compile``, before anything is counted."""
        tracer = tracing()
        if tracer is not None:
            raise tracer.refuse_value(f"{type(self).__name__}.step(), which computes the rate in Python,")

    def step(self) -> None:
        """Goes on by one epoch.

        Raises:
            TracedValueError: it is called in a compiled function; that reads the rate anew at every call.
        """
        self._refuse_traced()
        self._step_count += 1
        self.last_epoch += 1
        self._write(self.get_lr())

    def _start_over(self) -> None:
        """Goes to epoch 0, from wherever another schedule has brought the rate."""
        self.last_epoch = 0
        self._write(self._first_lr())

    def _first_lr(self) -> list[float]:
        """The rates of epoch 0, from the initial ones where this schedule has a closed form."""
        return self.get_lr()

    def _write(self, rates: Sequence[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = self._rates()

    def _rates(self) -> list[float]:
        return [group.number("lr") for group in self.optimizer.param_groups]

    def _scaled(self, factor: float) -> list[float]:
        return [rate * factor for rate in self._rates()]

    def state_dict(self) -> dict[str, Any]:
        """All that it knows but the optimizer. Of a function nothing is kept, of a callable object its attributes."""
        return {key: value for key, value in vars(self).items() if key not in ("optimizer", "_is_initial")}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Goes on from ``state_dict``; load the optimizer's too, which holds the present ``lr``."""
        vars(self).update(state_dict)


class FunctionLR(LRScheduler):
    """Base of schedules by functions: one, or one for each group."""

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        groups = len(checked_optimizer(optimizer).param_groups)
        self.lr_lambdas = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != groups:
            raise ArgumentError(
                f"{type(self).__name__}: {len(self.lr_lambdas)} functions for {groups} parameter groups"
            )
        for function in self.lr_lambdas:
            if not callable(function):
                raise OperandError(f"{type(self).__name__}: lr_lambda must be callable, not {function!r}")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """See :class:`LRScheduler`."""
        return {**super().state_dict(), "lr_lambdas": [attributes_of(function) for function in self.lr_lambdas]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """See :class:`LRScheduler`."""
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "lr_lambdas"})
        for function, attributes in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if attributes is not None:
                vars(function).update(attributes)


def attributes_of(function: Any) -> dict[str, Any] | None:
    """What a state dict keeps of a callable: None for a function."""
    return None if isinstance(function, (types.FunctionType, types.BuiltinFunctionType)) else dict(vars(function))


def checked_optimizer(optimizer: Any) -> Optimizer:
    """The optimizer, or OperandError where it is none."""
    if not isinstance(optimizer, Optimizer):
        raise OperandError(f"a scheduler drives an Optimizer, not {type(optimizer).__name__}")
    return optimizer


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """One value for each group.

    Raises:
        ArgumentError: a list of another length.
    """
    groups = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * groups
    if len(value) != groups:
        raise ArgumentError(f"{name} has {len(value)} values for {groups} parameter groups")
    return list(value)


def require(name: str, what: str, value: object, fits: bool) -> None:
    """Raises ArgumentError, in the words "LinearLR: <what>, but it is <value>", unless ``fits``."""
    if not fits:
        raise ArgumentError(f"{name}: {what}, but it is {value}")
