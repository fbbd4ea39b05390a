"""Modules without initial values."""

from __future__ import annotations

from typing import Any, TypeVar

from unified.errors import OperandError
from unified.nn.init import skipped
from unified.nn.module import Module

Kind = TypeVar("Kind", bound=Module)


def skip_init(module_cls: type[Kind], *args: Any, **kwargs: Any) -> Kind:
    """``module_cls(*args, **kwargs)`` whose parameters have no particular values, for weights that are loaded next.

    Nothing of ``nn.init`` runs meanwhile, and the random state stays as it was. PyTorch asks for a class that takes
    ``device=``; here any class of Modules will do.

    Example: ``model = nn.utils.skip_init(GPT, config); model.load_state_dict(weights)``.

    Raises:
        OperandError: ``module_cls`` is no class of Modules.
    """
    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise OperandError(f"skip_init: expected a class of Modules, got {module_cls!r}")
    with skipped():
        return module_cls(*args, **kwargs)
