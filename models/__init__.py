"""The model zoo: every model written once, on ``unified`` alone."""

from __future__ import annotations

from unified.models.cnn import DigitsCNN
from unified.models.gpt import GPT, GPTConfig
from unified.models.lstm import LSTMClassifier
from unified.models.mlp import MLP
from unified.models.resnet import ResNet
from unified.models.transformer import TranslationTransformer

__all__ = ["GPT", "MLP", "DigitsCNN", "GPTConfig", "LSTMClassifier", "ResNet", "TranslationTransformer"]
