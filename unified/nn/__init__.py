"""Modules under PyTorch's names, written once for all backends."""

from unified.nn import functional, init, modules
from unified.nn.activation import (
    CELU,
    ELU,
    GELU,
    GLU,
    SELU,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    ReLU,
    ReLU6,
    SiLU,
    Sigmoid,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
    Tanhshrink,
)  # fmt: skip
from unified.nn.attention import MultiheadAttention
from unified.nn.bridges import from_flax, from_keras, from_torch
from unified.nn.container import ModuleDict, ModuleList, ParameterList, Sequential
from unified.nn.convolution import Conv1d, Conv2d, Conv3d
from unified.nn.dropout import Dropout, Dropout2d
from unified.nn.embedding import Embedding
from unified.nn.flatten import Flatten, Unflatten
from unified.nn.linear import Identity, Linear
from unified.nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)  # fmt: skip
from unified.nn.module import Module
from unified.nn.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d, GroupNorm, LayerNorm, RMSNorm
from unified.nn.parameter import Parameter
from unified.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d

from unified.nn import utils  # isort: skip

__all__ = [
    "AdaptiveAvgPool2d", "AvgPool2d", "BCELoss", "BCEWithLogitsLoss", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d",
    "CELU", "Conv1d", "Conv2d", "Conv3d", "CrossEntropyLoss", "Dropout", "Dropout2d", "ELU", "Embedding", "Flatten",
    "GELU", "GLU", "GroupNorm", "Hardsigmoid", "Hardswish", "Hardtanh", "HuberLoss", "Identity", "KLDivLoss",
    "L1Loss", "LayerNorm", "LeakyReLU", "Linear", "LogSigmoid", "LogSoftmax", "MSELoss", "MaxPool2d", "Mish",
    "Module", "ModuleDict", "ModuleList", "MultiheadAttention", "NLLLoss", "Parameter", "ParameterList", "RMSNorm",
    "ReLU", "ReLU6", "SELU", "Sequential", "SiLU", "Sigmoid", "SmoothL1Loss", "Softmax", "Softplus", "Softsign",
    "Tanh", "Tanhshrink", "Unflatten", "from_flax", "from_keras", "from_torch", "functional", "init", "modules",
    "utils",
]  # fmt: skip
