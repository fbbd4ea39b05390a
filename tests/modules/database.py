"""Entries of ``torch.testing._internal.common_modules.module_db``, and the inputs drawn from them."""

from __future__ import annotations

import functools
import warnings
from typing import Any
from unittest import mock

import torch

from tests.modules.translate import MADE_WITH

SEED = 0
TO_PACK = {"RNN", "GRU"}
"""Names whose entries draw packed sequences too, if they are asked to."""
FEWER = {
    "LinearCrossEntropyLoss": 24,  # 857 inputs, most of which differ in how PyTorch cuts the product into chunks
    "CrossEntropyLoss": 3,  # 105 inputs, the product of all options
    "MultiheadAttention": 2,
    "Transformer": 3,
    "TransformerDecoderLayer": 3,
}
"""Names of which the full run takes one input of so many."""


@functools.cache
def entries() -> dict[str, Any]:
    """Every ModuleInfo by the class's name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_modules import module_db  # some seconds: only when asked for
    return {info.module_cls.__name__: info for info in module_db}


def _remembering(cls: type) -> type:
    """``cls``, but that its instances keep the arguments that they were made with."""

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        cls.__init__(self, *args, **kwargs)
        self.__dict__[MADE_WITH] = args, kwargs

    return type(cls.__name__, (cls,), {"__init__": init})


def inputs(name: str, dtype: torch.dtype, training: bool) -> list[Any]:
    """The ModuleInputs of a name, the same at every call."""
    info = entries()[name]
    torch.manual_seed(SEED)
    options = {"with_packed_sequence": True} if name in TO_PACK else {}
    with mock.patch("torch.nn.TransformerEncoderLayer", _remembering(torch.nn.TransformerEncoderLayer)):
        return info.module_inputs_func(info, "cpu", dtype, True, training, **options)


def spread(drawn: list[Any], limit: int) -> list[tuple[int, Any]]:
    """Up to ``limit`` of them, spread evenly, with their places."""
    if len(drawn) <= limit:
        return list(enumerate(drawn))
    places = sorted({round(i * (len(drawn) - 1) / max(1, limit - 1)) for i in range(limit)})
    return [(place, drawn[place]) for place in places]


def errors(name: str, dtype: torch.dtype, training: bool) -> list[Any]:
    """The ErrorModuleInputs of a name."""
    info = entries()[name]
    if info.module_error_inputs_func is None:
        return []
    torch.manual_seed(SEED)
    return info.module_error_inputs_func(info, "cpu", dtype, False, training)
