"""A parameter group, whose numbers a compiled step reads anew at every call, so that a schedule never retraces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from unified._dispatch import backends_by_type, wrap
from unified._dtype import complex128, float32, float64
from unified._epoch import state_epoch
from unified._tensor import Tensor
from unified.errors import ArgumentError, OperandError
from unified.optim._update import Rule

DYNAMIC = frozenset({"lr", "weight_decay"})
_WIDE = (float64, complex128)


def scalar(value: float, like: Tensor) -> Tensor:
    """A 0-d Tensor beside ``like``: float64 where that has 64 bits, else float32."""
    backend = backends_by_type[type(like._native)]
    dtype = float64 if like.dtype in _WIDE else float32
    return wrap(backend.from_numpy(np.asarray(value, dtype.numpy), dtype, like.device))


class Guard:
    """Holds what a compiled step is made for where ``un.compile`` looks for flags: another one is another program."""

    __slots__ = ("changed", "training")

    def __init__(self, changed: str) -> None:
        self.training: Any = None
        self.changed = changed
        """What to say when it has."""

    def bump(self) -> None:
        """Says that it has changed."""
        self.training = object()
        state_epoch.bump()


class ParamGroup(dict[str, Any]):
    """PyTorch's dict of ``params`` and options. ``lr`` and ``weight_decay`` are 0-d Tensors.

    ``group["lr"] = 0.01`` writes into the Tensor, which compiled training steps read; ``float(group["lr"])`` is its
    value, and :meth:`number` the very float that was written. All other numbers (``betas``, ``momentum``, ``eps``)
    stay Python's, and what the update makes of them is kept in :attr:`tensors` for compiled steps to read: a
    change takes effect without a retrace. A change of a flag, or of a momentum from or to 0, is another program.
    A compiled step always decays weights, by 0 perhaps, so that ``weight_decay`` too may change.

    Args:
        options: ``params`` and all options.
        numbers: from the options, the numbers by name that the update takes.
        rule: from the options, the update.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        numbers: Callable[[Mapping[str, Any]], dict[str, float]],
        rule: Callable[[Mapping[str, Any]], Rule],
    ) -> None:
        super().__init__()
        self._exact: dict[str, float] = {}
        self._numbers, self._rule = numbers, rule
        self.guard = Guard("an option of an optimizer changed")
        self.sharing = Guard("the parameters of an optimizer, or which of them share their step count, changed")
        self.floats: dict[str, float] = {}
        self.tensors: dict[str, Tensor] = {}
        self.decays = False
        self.wide = options["params"][0].dtype in _WIDE
        super().__setitem__("params", options["params"])
        for key, value in options.items():
            self._set(key, value)
        self._derive()

    @property
    def rule(self) -> Rule:
        """The update that the options ask for."""
        rule: Rule = self.guard.training
        return rule

    def __setitem__(self, key: str, value: Any) -> None:
        self._set(key, value)
        if key == "params":
            self.sharing.bump()
        if key not in DYNAMIC:
            self._derive()

    def _set(self, key: str, value: Any) -> None:
        if key not in DYNAMIC:
            super().__setitem__(key, value)
            return
        if not isinstance(value, Tensor):
            try:
                value = float(value)
            except (TypeError, ValueError):
                raise OperandError(f"{key} must be a number or a Tensor, not {type(value).__name__}") from None
        elif value.numel() != 1:
            raise ArgumentError(f"{key} must be one number, but the Tensor has shape {tuple(value.shape)}")
        if key == "weight_decay":
            self.decays = isinstance(value, Tensor) or value != 0.0
        like = self["params"][0]
        held = self.get(key)
        if isinstance(value, Tensor):
            self._exact.pop(key, None)
            if value.requires_grad:  # a differentiable step goes back to it
                super().__setitem__(key, value)
                return
            fresh = value.detach().to(scalar(0.0, like).dtype).reshape(()).clone()
        else:
            self._exact[key] = value
            fresh = scalar(value, like)
        if held is None:
            super().__setitem__(key, fresh)
        else:
            held._assign(fresh)

    def _derive(self) -> None:
        like = self["params"][0]
        values = self._numbers(self)
        for name, value in values.items():
            if name not in self.tensors:
                self.tensors[name] = scalar(value, like)
            elif value != self.floats[name]:
                self.tensors[name]._assign(scalar(value, like))
        self.floats = values
        rule = self._rule(self)
        if rule != self.guard.training:
            self.guard.training = rule
            state_epoch.bump()

    def shared_anew(self) -> None:
        """Says that parameters have got numbers of their state in common, or of their own."""
        self.sharing.bump()

    def update(self, *others: Any, **options: Any) -> None:
        """Sets options as ``group[key] = value`` does."""
        for key, value in dict(*others, **options).items():
            self._set(key, value)
        self._derive()

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
        return exact if exact is not None and value.dtype.numpy.type(exact) == held else held

    def options(self) -> Iterable[str]:
        """Names of all that is not ``params``."""
        return [key for key in self if key != "params"]
