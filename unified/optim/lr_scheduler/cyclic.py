"""Schedules that rise and fall, with momentum falling and rising against them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from unified.errors import ArgumentError
from unified.optim.lr_scheduler.base import LRScheduler, attributes_of, checked_optimizer, per_group, require
from unified.optim.optimizer import Optimizer
from unified.optim.param_group import ParamGroup


class _MomentumLR(LRScheduler):
    """What schedules that drive a group's ``momentum``, or the first of its ``betas``, share."""

    cycle_momentum: bool
    use_beta1: bool

    def _start_momentum(self, optimizer: Optimizer, base: Any, most: Any, last_epoch: int) -> None:
        name = type(self).__name__
        if not {"momentum", "betas"} & optimizer.defaults.keys():
            raise ArgumentError(
                f"{name}: {type(optimizer).__name__} has neither momentum nor betas; pass cycle_momentum=False"
            )
        self.use_beta1 = "betas" in optimizer.defaults
        self.base_momentums = per_group("base_momentum", optimizer, base)
        self.max_momentums = per_group("max_momentum", optimizer, most)
        if last_epoch == -1:
            for low, high, group in zip(self.base_momentums, self.max_momentums, optimizer.param_groups, strict=True):
                self._write_momentum(group, high)
                group["max_momentum"], group["base_momentum"] = high, low

    def _write_momentum(self, group: ParamGroup, value: float) -> None:
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value


class CyclicLR(_MomentumLR):
    """From ``base_lr`` to ``max_lr`` and back, batch by batch (Smith, WACV 2017, https://arxiv.org/abs/1506.01186).

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        base_lr, max_lr: the ends; one, or one for each group.
        step_size_up, step_size_down: batches up, and down (as many as up).
        mode: ``"triangular"``; ``"triangular2"`` halves the height each cycle; ``"exp_range"`` scales it by
            ``gamma ** iteration``.
        gamma: see there.
        scale_fn: scales the height instead of ``mode``, by the cycle from 1 on or the iteration from 0 on.
        scale_mode: which: ``"cycle"`` or ``"iterations"``.
        cycle_momentum: whether momentum (or the first of the betas) goes from ``max_momentum`` down to
            ``base_momentum`` while the rate rises.
        base_momentum, max_momentum: see there.

    Raises:
        ArgumentError: no such mode, lists of another length than the groups, or nothing to cycle.
    """

    def __init__(
        self, optimizer: Optimizer, base_lr: float | Sequence[float], max_lr: float | Sequence[float],
        step_size_up: int = 2000, step_size_down: int | None = None, mode: str = "triangular", gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None, scale_mode: str = "cycle", cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8, max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        known = ("triangular", "triangular2", "exp_range")
        require("CyclicLR", f"mode must be one of {known}", mode, mode in known or scale_fn is not None)
        base_lrs = per_group("base_lr", checked_optimizer(optimizer), base_lr)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        self.mode, self.gamma, self._scale_fn_custom = mode, gamma, scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else ("iterations" if mode == "exp_range" else "cycle")
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._start_momentum(optimizer, base_momentum, max_momentum, last_epoch)
        if last_epoch == -1:
            for rate, group in zip(base_lrs, optimizer.param_groups, strict=True):
                group["lr"] = rate
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """The height of a cycle, of 1."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular":
            return 1.0
        return float(1 / (2.0 ** (x - 1)) if self.mode == "triangular2" else self.gamma**x)

    def get_lr(self) -> list[float]:
        """See :class:`LRScheduler`; moves the momentum too."""
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            ends = zip(self.base_momentums, self.max_momentums, self.optimizer.param_groups, strict=True)
            for low, high, group in ends:
                self._write_momentum(group, high - (high - low) * height * scale)
        return [low + (high - low) * height * scale for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """See :class:`LRScheduler`."""
        custom = self._scale_fn_custom
        return {**super().state_dict(), "_scale_fn_custom": None if custom is None else attributes_of(custom)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """See :class:`LRScheduler`."""
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "_scale_fn_custom"})
        attributes = state_dict["_scale_fn_custom"]
        if attributes is not None:
            vars(self._scale_fn_custom).update(attributes)


class OneCycleLR(_MomentumLR):
    """Up to ``max_lr`` and down far below the start, once, batch by batch (Smith and Topin, 2019).

    See https://arxiv.org/abs/1708.07120.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        max_lr: the peak; one, or one for each group.
        total_steps: length of the cycle; or ``epochs * steps_per_epoch``.
        epochs, steps_per_epoch: see there.
        pct_start: share of the cycle that rises.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        cycle_momentum: whether momentum (or the first of the betas) goes from ``max_momentum`` down to
            ``base_momentum`` and back.
        base_momentum, max_momentum: see there.
        div_factor: the cycle starts at ``max_lr / div_factor``,
        final_div_factor: and ends at that over ``final_div_factor``.
        three_phase: down to the start first, symmetrically, and then to the end.

    Raises:
        ArgumentError: the length is missing, an option makes no sense, or there is nothing to cycle.
    """

    def __init__(
        self, optimizer: Optimizer, max_lr: float | Sequence[float], total_steps: int | None = None,
        epochs: int | None = None, steps_per_epoch: int | None = None, pct_start: float = 0.3,
        anneal_strategy: str = "cos", cycle_momentum: bool = True, base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95, div_factor: float = 25.0, final_div_factor: float = 1e4,
        three_phase: bool = False, last_epoch: int = -1,
    ) -> None:  # fmt: skip
        checked_optimizer(optimizer)
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ArgumentError("OneCycleLR takes total_steps, or epochs and steps_per_epoch")
            total_steps = epochs * steps_per_epoch
        whole = isinstance(total_steps, int) and total_steps > 0
        require("OneCycleLR", "the number of steps must be an integer above 0", total_steps, whole)
        require("OneCycleLR", "pct_start must lie in [0, 1]", pct_start, 0.0 <= pct_start <= 1.0)
        known = ("cos", "linear")
        require("OneCycleLR", f"anneal_strategy must be one of {known}", anneal_strategy, anneal_strategy in known)
        self.total_steps = total_steps
        self._schedule_phases = _phases(float(pct_start), total_steps, three_phase)
        self._anneal_func_type = anneal_strategy
        peaks = per_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for peak, group in zip(peaks, optimizer.param_groups, strict=True):
                group["initial_lr"], group["max_lr"] = peak / div_factor, peak
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._start_momentum(optimizer, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def _between(self, start: float, end: float, share: float) -> float:
        if self._anneal_func_type == "linear":
            return (end - start) * share + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)

    def get_lr(self) -> list[float]:
        """See :class:`LRScheduler`; moves the momentum too.

        Raises:
            ArgumentError: the cycle is over.
        """
        step = self.last_epoch
        if step > self.total_steps:
            raise ArgumentError(f"OneCycleLR: step {step} of a cycle of {self.total_steps} steps")
        start = 0.0
        for phase in self._schedule_phases:
            if step <= phase["end_step"] or phase is self._schedule_phases[-1]:
                break
            start = phase["end_step"]
        share = (step - start) / (phase["end_step"] - start)
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._between(group[phase["start_lr"]], group[phase["end_lr"]], share))
            if self.cycle_momentum:
                ends = group[phase["start_momentum"]], group[phase["end_momentum"]]
                self._write_momentum(group, self._between(*ends, share))
        return rates


def _phases(rising: float, total_steps: int, three_phase: bool) -> list[dict[str, Any]]:
    def phase(end_step: float, start: str, end: str, momentum: str, then: str) -> dict[str, Any]:
        return {
            "end_step": end_step, "start_lr": start, "end_lr": end, "start_momentum": momentum, "end_momentum": then
        }  # fmt: skip

    up = phase(rising * total_steps - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum")
    if not three_phase:
        return [up, phase(total_steps - 1, "max_lr", "min_lr", "base_momentum", "max_momentum")]
    down = phase(2 * rising * total_steps - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum")
    return [up, down, phase(total_steps - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum")]
