"""Optimisers and learning-rate schedules, written once over all backends."""

from unified.optim import lr_scheduler
from unified.optim.adam import Adam, AdamW
from unified.optim.optimizer import Optimizer
from unified.optim.sgd import SGD

__all__ = ["Adam", "AdamW", "Optimizer", "SGD", "lr_scheduler"]
