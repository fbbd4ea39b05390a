"""Learning-rate schedules in PyTorch's recursive form, so that several may act on one optimiser.

They run in Python and write into the group's ``lr`` Tensor, which a compiled step reads: no schedule retraces.
"""

from unified.optim.lr_scheduler.base import LRScheduler
from unified.optim.lr_scheduler.composed import ChainedScheduler, SequentialLR
from unified.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts, WarmupCosineLR
from unified.optim.lr_scheduler.cyclic import CyclicLR, OneCycleLR
from unified.optim.lr_scheduler.factors import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    MultiplicativeLR,
    PolynomialLR,
    StepLR,
)
from unified.optim.lr_scheduler.plateau import ReduceLROnPlateau
from unified.optim.lr_scheduler.swa import SWALR

__all__ = [
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR",
    "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR",
    "ReduceLROnPlateau", "SWALR", "SequentialLR", "StepLR", "WarmupCosineLR",
]  # fmt: skip
