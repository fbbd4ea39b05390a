"""Schedules made of schedules: one after the other, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from unified.errors import ArgumentError, OperandError
from unified.optim.lr_scheduler.base import LRScheduler
from unified.optim.lr_scheduler.plateau import ReduceLROnPlateau
from unified.optim.optimizer import Optimizer


class _ComposedLR(LRScheduler):
    """What both share."""

    _schedulers: list[LRScheduler]

    def _take(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> Optimizer:
        name = type(self).__name__
        if not schedulers:
            raise ArgumentError(f"{name} takes at least one schedule")
        for index, schedule in enumerate(schedulers):
            if not isinstance(schedule, LRScheduler) or isinstance(schedule, ReduceLROnPlateau):
                raise OperandError(
                    f"{name}: schedule {index} is a {type(schedule).__name__}, whose step() takes more than nothing"
                    if isinstance(schedule, ReduceLROnPlateau)
                    else f"{name}: schedule {index} is a {type(schedule).__name__}"
                )
        driven = schedulers[0].optimizer if optimizer is None else optimizer
        if any(schedule.optimizer is not driven for schedule in schedulers):
            raise ArgumentError(f"{name}: the schedules drive different optimizers")
        self._schedulers, self.optimizer = list(schedulers), driven
        return driven

    def state_dict(self) -> dict[str, Any]:
        """See :class:`LRScheduler`."""
        return {**super().state_dict(), "_schedulers": [schedule.state_dict() for schedule in self._schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """See :class:`LRScheduler`."""
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "_schedulers"})
        for schedule, saved in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            schedule.load_state_dict(saved)


class SequentialLR(_ComposedLR):
    """One schedule after the other: the next one starts at each of ``milestones``.

    Raises:
        ArgumentError: there is no schedule, not one milestone less, or they drive different optimizers.
        OperandError: one is no schedule, or a :class:`ReduceLROnPlateau`.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        self._take(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ArgumentError(
                f"SequentialLR: {len(schedulers)} schedules need one milestone less, not {len(milestones)}"
            )
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:  # each of them has taken its first step already
            group["lr"] = group["initial_lr"]
        _take_back(self)
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:
        """Goes on by one epoch."""
        self._refuse_traced()
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        schedule = self._schedulers[index]
        if index > 0 and self._milestones[index - 1] == self.last_epoch:
            schedule._start_over()
        else:
            schedule.step()
        self._last_lr = schedule.get_last_lr()


def _take_back(schedule: LRScheduler) -> None:
    if isinstance(schedule, _ComposedLR):
        for inner in schedule._schedulers:
            _take_back(inner)
    else:
        schedule.last_epoch -= 1


class ChainedScheduler(_ComposedLR):
    """All schedules at every step, each on what the one before has made of the rate.

    Raises:
        ArgumentError: there is no schedule, or they drive different optimizers.
        OperandError: one is no schedule, or a :class:`ReduceLROnPlateau`.
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        self._take(schedulers, optimizer)
        self._last_lr = self._rates()

    def step(self) -> None:
        """Goes on by one epoch."""
        for schedule in self._schedulers:
            schedule.step()
        self._last_lr = self._rates()
