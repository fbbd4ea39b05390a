"""Schedules along a cosine."""

from __future__ import annotations

import math

from unified.errors import ArgumentError
from unified.optim.lr_scheduler.base import LRScheduler, require
from unified.optim.optimizer import Optimizer


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the initial rate to ``eta_min`` in ``T_max`` epochs (Loshchilov and Hutter, ICLR 2017)."""

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1,  # noqa: N803
    ) -> None:  # fmt: skip
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """See :class:`LRScheduler`."""
        period, epoch, least = self.T_max, self.last_epoch, self.eta_min
        if self._is_initial:
            return self._rates()
        if self._step_count == 1 and epoch > 0:
            wave = 1 + math.cos(epoch * math.pi / period)
            return [least + (base - least) * wave / 2 for base in self.base_lrs]
        if (epoch - 1 - period) % (2 * period) == 0:  # the recursion's denominator is 0 at the turning point
            wave = 1 - math.cos(math.pi / period)
            return [rate + (base - least) * wave / 2 for base, rate in zip(self.base_lrs, self._rates(), strict=True)]
        ratio = (1 + math.cos(math.pi * epoch / period)) / (1 + math.cos(math.pi * (epoch - 1) / period))
        return [ratio * (rate - least) + least for rate in self._rates()]

    def _first_lr(self) -> list[float]:
        wave = 1 + math.cos(math.pi * 0 / self.T_max)
        return [self.eta_min + (base - self.eta_min) * wave / 2 for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half cosines that start over after ``T_0`` epochs, each ``T_mult`` times as long as the one before.

    Loshchilov and Hutter, ICLR 2017 (https://arxiv.org/abs/1608.03983).

    Raises:
        ArgumentError: ``T_0`` or ``T_mult`` is no integer above 0.
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1,  # noqa: N803
    ) -> None:  # fmt: skip
        for name, value in (("T_0", T_0), ("T_mult", T_mult)):
            fits = isinstance(value, int) and value > 0
            require("CosineAnnealingWarmRestarts", f"{name} must be an integer above 0", value, fits)
        self.T_0, self.T_i, self.T_mult, self.eta_min = T_0, T_0, T_mult, eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """See :class:`LRScheduler`."""
        least, wave = self.eta_min, 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return [least + (base - least) * wave / 2 for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Goes on by one epoch, or to ``epoch``, which may be a fraction: ``epoch + batch / batches``.

        Raises:
            ArgumentError: ``epoch`` is negative.
        """
        self._refuse_traced()
        if epoch is None and self.last_epoch >= 0:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            epoch = 0 if epoch is None else epoch
            if epoch < 0:
                raise ArgumentError(f"CosineAnnealingWarmRestarts: epoch must not be negative, but it is {epoch}")
            self._go_to(epoch)
        self.last_epoch = math.floor(epoch)
        self._write(self.get_lr())

    def _go_to(self, epoch: float) -> None:
        if epoch < self.T_0:
            self.T_i, self.T_cur = self.T_0, epoch
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            restarts = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**restarts - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**restarts

    def _start_over(self) -> None:
        self.last_epoch = 0
        self._write(self.get_lr())


class WarmupCosineLR(LRScheduler):
    """A line from ``warmup_start_factor`` times the initial rate up to it, then half a cosine down to ``eta_min``.

    Epoch ``e`` of the first ``warmup_epochs`` has the factor ``start + (1 - start) * e / warmup_epochs``, as
    :class:`LinearLR`; the cosine takes the epochs from there to ``max_epochs``, and ``eta_min`` stays after it.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        warmup_epochs: length of the line; 0 for none.
        max_epochs: where the rate has come down; above ``warmup_epochs``.
        warmup_start_factor: where the line starts, in [0, 1].
        eta_min: the last rate.

    Raises:
        ArgumentError: the lengths or the factor make no sense.
    """

    def __init__(
        self, optimizer: Optimizer, warmup_epochs: int, max_epochs: int, warmup_start_factor: float = 0.0,
        eta_min: float = 0.0, last_epoch: int = -1,
    ) -> None:  # fmt: skip
        lengths = (warmup_epochs, max_epochs)
        fits = 0 <= warmup_epochs < max_epochs
        require("WarmupCosineLR", "warmup_epochs must lie in [0, max_epochs)", lengths, fits)
        fits = 0.0 <= warmup_start_factor <= 1.0
        require("WarmupCosineLR", "warmup_start_factor must lie in [0, 1]", warmup_start_factor, fits)
        self.warmup_epochs, self.max_epochs = warmup_epochs, max_epochs
        self.warmup_start_factor, self.eta_min = warmup_start_factor, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """See :class:`LRScheduler`; in closed form, whatever the rate was before."""
        epoch, start = self.last_epoch, self.warmup_start_factor
        if epoch < self.warmup_epochs:
            return [base * (start + (1.0 - start) * epoch / self.warmup_epochs) for base in self.base_lrs]
        done = min(1.0, (epoch - self.warmup_epochs) / (self.max_epochs - self.warmup_epochs))
        wave = 1 + math.cos(math.pi * done)
        return [self.eta_min + (base - self.eta_min) * wave / 2 for base in self.base_lrs]
