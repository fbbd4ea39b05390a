"""Optimisers and learning-rate schedules, written once over all backends."""

from unified.optim import lr_scheduler
from unified.optim.adam import Adam, Adamax, AdamW, NAdam, RAdam
from unified.optim.adaptive import Adadelta, Adagrad, RMSprop, Rprop
from unified.optim.factored import Adafactor, Muon
from unified.optim.large_batch import LAMB, Lion
from unified.optim.lbfgs import LBFGS
from unified.optim.optimizer import Optimizer
from unified.optim.sgd import ASGD, SGD

__all__ = [
    "ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "LAMB", "LBFGS", "Lion", "Muon", "NAdam",
    "Optimizer", "RAdam", "RMSprop", "Rprop", "SGD", "lr_scheduler",
]  # fmt: skip
