"""A schedule that watches a metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import SupportsFloat

from unified.errors import ArgumentError
from unified.optim.lr_scheduler.base import LRScheduler, checked_optimizer, per_group, require
from unified.optim.optimizer import Optimizer


class ReduceLROnPlateau(LRScheduler):
    """Times ``factor`` once a metric has not improved for more than ``patience`` epochs.

    Args:
        optimizer: whose groups it drives.
        mode: ``"min"`` where the metric should fall, ``"max"`` where it should rise.
        factor: below 1.
        patience: epochs without improvement that are borne.
        threshold: smallest improvement that counts, relative to the best (``threshold_mode="rel"``) or ``"abs"``.
        threshold_mode: see there.
        cooldown: epochs after a reduction in which none counts as bad.
        min_lr: the smallest rate; one, or one for each group.
        eps: smallest change of a rate that is made.

    Raises:
        ArgumentError: an option makes no sense.
    """

    def __init__(
        self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10,
        threshold: float = 1e-4, threshold_mode: str = "rel", cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0, eps: float = 1e-8,
    ) -> None:  # fmt: skip
        name = type(self).__name__
        require(name, "factor must be below 1", factor, factor < 1.0)
        require(name, "mode must be 'min' or 'max'", repr(mode), mode in ("min", "max"))
        require(name, "threshold_mode must be 'rel' or 'abs'", repr(threshold_mode), threshold_mode in ("rel", "abs"))
        self.optimizer = checked_optimizer(optimizer)
        self.default_min_lr = None if isinstance(min_lr, (list, tuple)) else min_lr
        self.min_lrs = per_group("min_lr", optimizer, min_lr)
        self.factor, self.patience, self.cooldown, self.eps = factor, patience, cooldown, eps
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.last_epoch = 0
        self._last_lr = self._rates()
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    @property
    def in_cooldown(self) -> bool:
        """Whether a reduction is so fresh that no epoch counts as bad."""
        return self.cooldown_counter > 0

    def step(self, metrics: SupportsFloat) -> None:  # type: ignore[override]
        """Takes one epoch's metric, a number or a Tensor with one element."""
        self._refuse_traced()
        current = float(metrics)
        self.last_epoch += 1
        if self._improves(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = self._rates()

    def _improves(self, current: float) -> bool:
        if self.threshold_mode == "rel":
            share = 1.0 - self.threshold if self.mode == "min" else self.threshold + 1.0
            bound = self.best * share
        else:
            bound = self.best - self.threshold if self.mode == "min" else self.best + self.threshold
        return current < bound if self.mode == "min" else current > bound

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise ArgumentError(
                    f"ReduceLROnPlateau: {len(groups)} parameter groups now, and {len(self.min_lrs)} values of min_lr"
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, least in zip(groups, self.min_lrs, strict=True):
            old = group.number("lr")
            new = max(old * self.factor, least)
            if old - new > self.eps:
                group["lr"] = new
