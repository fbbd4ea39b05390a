"""Optimisers and learning-rate schedules, written once over all backends."""

from unified.optim import lr_scheduler
from unified.optim.adam import Adam, Adamax, AdamW, NAdam, RAdam
from unified.optim.adaptive import Adadelta, Adagrad, RMSprop, Rprop
from unified.optim.optimizer import Optimizer
from unified.optim.sgd import ASGD, SGD

__all__ = [
    "ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "Optimizer", "RAdam", "RMSprop", "Rprop",
    "SGD", "lr_scheduler",
]  # fmt: skip
