"""A parameter group whose learning rate and weight decay are Tensors, so that a schedule never retraces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from unified._dispatch import backends_by_type, state_epoch, wrap
from unified._dtype import float32
from unified._tensor import Tensor
from unified.errors import OperandError

DYNAMIC = frozenset({"lr", "weight_decay"})


def scalar(value: float, like: Tensor) -> Tensor:
    """A 0-d float32 Tensor beside ``like``."""
    backend = backends_by_type[type(like._native)]
    return wrap(backend.from_numpy(np.float32(value), float32, like.device))


class ParamGroup(dict[str, Any]):
    """PyTorch's dict of ``params`` and options. ``lr`` and ``weight_decay`` are 0-d float32 Tensors.

    ``group["lr"] = 0.01`` writes into the Tensor, which compiled training steps read; ``float(group["lr"])`` is its
    value, and :meth:`number` the very float that was written.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__()
        self._exact: dict[str, float] = {}
        self.decays = False
        super().__setitem__("params", options["params"])
        self.update(options)

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in DYNAMIC:
            super().__setitem__(key, value)
            return
        if not isinstance(value, Tensor):
            try:
                value = float(value)
            except (TypeError, ValueError):
                raise OperandError(f"{key} must be a number or a Tensor, not {type(value).__name__}") from None
        decays = isinstance(value, Tensor) or value != 0.0
        if key == "weight_decay" and decays is not self.decays:
            self.decays = decays
            state_epoch.bump()
        like = self["params"][0]
        held = self.get(key)
        if isinstance(value, Tensor):
            self._exact.pop(key, None)
            fresh = value.detach().to(float32).reshape(()).clone()
        else:
            self._exact[key] = value
            fresh = scalar(value, like)
        if held is None:
            super().__setitem__(key, fresh)
        else:
            held._assign(fresh)

    def update(self, *others: Any, **options: Any) -> None:
        """Sets options as ``group[key] = value`` does."""
        for key, value in dict(*others, **options).items():
            self[key] = value

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The option, set to ``default`` where it is missing."""
        if key not in self:
            self[key] = default
        return self[key]

    def number(self, key: str) -> Any:
        """The option as Python sees it: for ``lr`` and ``weight_decay`` the float that was written."""
        value = self[key]
        if key not in DYNAMIC:
            return value
        held = float(value)
        exact = self._exact.get(key)
        return exact if exact is not None and float(np.float32(exact)) == held else held

    def options(self) -> Iterable[str]:
        """Names of all that is not ``params``."""
        return [key for key in self if key != "params"]
