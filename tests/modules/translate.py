"""Arguments of Modules as ours: tensors and dtypes as of ops, and Modules, functions, packed sequences, options."""

from __future__ import annotations

import dataclasses
import importlib
import types
from typing import Any

import torch

import unified as un
from tests.conformance.translate import Translator
from unified import nn

MADE_WITH = "_made_with"
"""Where a Module that the database makes as an argument keeps its own arguments; see ``database.draw``."""


class ModuleTranslator(Translator):
    """Makes our arguments of PyTorch's, on the current backend; the same Tensor for the same tensor."""

    def __call__(self, value: Any) -> Any:
        if isinstance(value, torch.nn.Module):
            return self.module(value)
        if isinstance(value, torch.nn.utils.rnn.PackedSequence):
            packed = importlib.import_module("unified.nn.utils.rnn").PackedSequence
            return packed(*(self(member) for member in value))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: self(getattr(value, field.name)) for field in dataclasses.fields(value)}
            return getattr(nn, type(value).__name__)(**fields)
        if isinstance(value, (types.FunctionType, types.BuiltinFunctionType)):
            name = value.__name__
            return getattr(nn.functional, name, None) or getattr(un, name)
        return super().__call__(value)

    def module(self, value: torch.nn.Module) -> nn.Module:
        args, kwargs = value.__dict__[MADE_WITH]
        made = getattr(nn, type(value).__name__)(*self(args), **self(kwargs))
        made.load_state_dict(value.state_dict())
        return made
