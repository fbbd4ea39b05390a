"""Schedules that multiply: by functions, in steps, along a line, a power or a polynomial."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from unified.optim.lr_scheduler.base import FunctionLR, LRScheduler, require
from unified.optim.optimizer import Optimizer


class LambdaLR(FunctionLR):
    """``initial_lr * lr_lambda(epoch)``; one function, or one for each group."""

    def get_lr(self) -> list[float]:
        """See :class:`LRScheduler`."""
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [base * function(self.last_epoch) for base, function in pairs]


class MultiplicativeLR(FunctionLR):
    """The rate of the epoch before times ``lr_lambda(epoch)``; one function, or one for each group."""

    def get_lr(self) -> list[float]:
        """See :class:`LRScheduler`."""
        if self._is_initial:
            return self._rates()
        return [
            rate * function(self.last_epoch) for rate, function in zip(self._rates(), self.lr_lambdas, strict=True)
        ]


class StepLR(LRScheduler):
    """Times ``gamma`` every ``step_size`` epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """See :class:`LRScheduler`."""
        due = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return self._scaled(self.gamma) if due else self._rates()

    def _first_lr(self) -> list[float]:
        return [base * self.gamma**0 for base in self.base_lrs]


class MultiStepLR(LRScheduler):
    """Times ``gamma`` at each of the epochs in ``milestones``."""

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """See :class:`LRScheduler`."""
        if self.last_epoch not in self.milestones:
            return self._rates()
        return self._scaled(self.gamma ** self.milestones[self.last_epoch])

    def _first_lr(self) -> list[float]:
        return [base * self.gamma ** self.milestones[0] for base in self.base_lrs]


class ConstantLR(LRScheduler):
    """``factor`` times the initial rate until epoch ``total_iters``, then the initial rate."""

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        require("ConstantLR", "factor must lie in [0, 1]", factor, 0.0 <= factor <= 1.0)
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """See :class:`LRScheduler`."""
        if self.last_epoch == 0:
            return self._scaled(self.factor)
        return self._scaled(1.0 / self.factor) if self.last_epoch == self.total_iters else self._rates()

    def _first_lr(self) -> list[float]:
        factor = self.factor + (self.total_iters <= 0) * (1 - self.factor)
        return [base * factor for base in self.base_lrs]


class LinearLR(LRScheduler):
    """From ``start_factor`` to ``end_factor`` times the initial rate, in ``total_iters`` equal steps."""

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1.0 / 3, end_factor: float = 1.0, total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        require("LinearLR", "start_factor must lie in (0, 1]", start_factor, 0.0 < start_factor <= 1.0)
        require("LinearLR", "end_factor must lie in [0, 1]", end_factor, 0.0 <= end_factor <= 1.0)
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """See :class:`LRScheduler`."""
        if self.last_epoch == 0:
            return self._scaled(self.start_factor)
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._rates()
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return self._scaled(1.0 + rise / before)

    def _first_lr(self) -> list[float]:
        rise = self.end_factor - self.start_factor
        return [
            base * (self.start_factor + rise * min(self.total_iters, 0) / self.total_iters) for base in self.base_lrs
        ]


class ExponentialLR(LRScheduler):
    """Times ``gamma`` every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """See :class:`LRScheduler`."""
        return self._rates() if self._is_initial else self._scaled(self.gamma)

    def _first_lr(self) -> list[float]:
        return list(self.base_lrs)


class PolynomialLR(LRScheduler):
    """``(1 - epoch / total_iters) ** power`` times the initial rate, 0 from ``total_iters`` on."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """See :class:`LRScheduler`."""
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._rates()
        left = 1.0 - self.last_epoch / self.total_iters
        return self._scaled((left / (1.0 - (self.last_epoch - 1) / self.total_iters)) ** self.power)

    def _first_lr(self) -> list[float]:
        return list(self.base_lrs)
