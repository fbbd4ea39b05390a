"""The schedule of stochastic weight averaging."""

from __future__ import annotations

import math
from collections.abc import Sequence

from unified.optim.lr_scheduler.base import LRScheduler, checked_optimizer, per_group, require
from unified.optim.optimizer import Optimizer


class SWALR(LRScheduler):
    """From each group's present rate to ``swa_lr``, where it stays (Izmailov et al., UAI 2018).

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        swa_lr: the rate to stay at; one, or one for each group.
        anneal_epochs: how many epochs the way takes.
        anneal_strategy: ``"cos"`` or ``"linear"``.

    Raises:
        ArgumentError: an option makes no sense.
    """

    def __init__(
        self, optimizer: Optimizer, swa_lr: float | Sequence[float], anneal_epochs: int = 10,
        anneal_strategy: str = "cos", last_epoch: int = -1,
    ) -> None:  # fmt: skip
        known = ("cos", "linear")
        require("SWALR", f"anneal_strategy must be one of {known}", anneal_strategy, anneal_strategy in known)
        whole = isinstance(anneal_epochs, int) and anneal_epochs >= 0
        require("SWALR", "anneal_epochs must be an integer of 0 or more", anneal_epochs, whole)
        rates = per_group("swa_lr", checked_optimizer(optimizer), swa_lr)
        for rate, group in zip(rates, optimizer.param_groups, strict=True):
            group["swa_lr"] = rate
        self._anneal_strategy, self.anneal_epochs = anneal_strategy, anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        """How far on the way ``step`` is, along the strategy's curve."""
        share = max(0, min(1, step / max(1, self.anneal_epochs)))
        return share if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * share)) / 2

    def get_lr(self) -> list[float]:
        """See :class:`LRScheduler`."""
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            end, rate = group["swa_lr"], group.number("lr")
            start = end if before == 1 else (rate - before * end) / (1 - before)
            rates.append(end * now + start * (1 - now))
        return rates
