"""Optimisers and learning-rate schedules, written once over all backends."""

from unified.optim import lr_scheduler, swa_utils
from unified.optim.accumulation import GradientAccumulator
from unified.optim.adam import Adam, AdamW, Adamax, NAdam, RAdam
from unified.optim.adaptive import Adadelta, Adagrad, RMSprop, Rprop
from unified.optim.bridges import from_optax, from_torch
from unified.optim.factored import Adafactor, Muon
from unified.optim.large_batch import LAMB, Lion
from unified.optim.lbfgs import LBFGS
from unified.optim.optimizer import Optimizer
from unified.optim.sgd import ASGD, SGD

__all__ = [
    "ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "GradientAccumulator", "LAMB", "LBFGS",
    "Lion", "Muon", "NAdam", "Optimizer", "RAdam", "RMSprop", "Rprop", "SGD", "from_optax", "from_torch",
    "lr_scheduler", "swa_utils",
]  # fmt: skip
