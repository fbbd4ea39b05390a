"""What a row of the contract is, and how its result on a backend is held to the oracle's.

A row is one function ``row(lib, run)``, written once. It is run with ``lib`` the native ``torch``, which is the
oracle, and then with ``unified``; what it returns is compared. ``run`` marks what the compiled mode compiles: it is
``un.compile`` there, and does nothing in eager mode and for the oracle. Leaves live outside of what is run.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch

import unified as un

A = np.array([[1.5, -2.0, 0.5], [3.0, 0.25, -1.0]], np.float32)
B = np.array([[0.5, 1.0, -1.5], [2.0, -0.75, 1.25]], np.float32)
SQUARE = np.array([[0.8, -0.3, 0.2], [0.1, 1.1, -0.4], [0.5, 0.6, -0.9]], np.float32)

RTOL, ATOL = 2e-5, 2e-6
"""A few dozen float32 operations of which each rounds once; XLA and inductor fuse and reorder them."""

Run = Callable[[Callable[..., Any]], Callable[..., Any]]
Body = Callable[[Any, Run], Any]


def _torch() -> Any:
    return torch


@dataclass(frozen=True)
class Row:
    """One behaviour.

    Args:
        name: the function's name, unique in the table.
        theme: the file it is in.
        body: the function.
        needs: features it uses; while one of them is in ``expected.PENDING`` the row is expected to fail.
        oracle: for a deliberate departure from PyTorch: what to run on torch instead, which must refuse ``body``.
        reference: gives the library that the oracle runs with.
        says: what the message of every refusal must contain on our side.
        compiled: why less than the whole body is compiled in compiled mode, where that is so.
    """

    name: str
    theme: str
    body: Body
    needs: tuple[str, ...] = ()
    oracle: Body | None = None
    reference: Callable[[], Any] = _torch
    says: tuple[str, ...] = ()
    compiled: str = ""

    @property
    def behaviour(self) -> str:
        """What is promised, in one sentence."""
        return " ".join((inspect.getdoc(self.body) or "").split())


class Theme:
    """The rows of one file; its instance is the decorator that declares one."""

    def __init__(self, name: str, **defaults: Any) -> None:
        self.name = name.rsplit(".", 1)[-1]
        self.rows: list[Row] = []
        self._defaults = defaults

    def __call__(self, body: Body | None = None, **options: Any) -> Any:
        if body is None:
            return lambda body: self._add(body, options)
        return self._add(body, options)

    def _add(self, body: Body, options: dict[str, Any]) -> Body:
        settings = {**self._defaults, **options}
        needs = settings.pop("needs", ())
        says = settings.pop("says", ())
        settings["needs"] = (needs,) if isinstance(needs, str) else tuple(needs)
        settings["says"] = (says,) if isinstance(says, str) else tuple(says)
        self.rows.append(Row(body.__name__, self.name, body, **settings))
        return body


@dataclass(frozen=True)
class Refusal:
    """The kind and the message of an exception. A kind of ours must be a subclass of the oracle's."""

    kind: str
    message: str
    bases: tuple[str, ...]


def refusal(function: Callable[[], Any]) -> Refusal | None:
    """What ``function`` raises, or None. Keeps no reference to the exception, whose traceback holds Tensors."""
    try:
        function()
    except Exception as error:
        return Refusal(type(error).__name__, str(error), tuple(base.__name__ for base in type(error).__mro__))
    return None


def leaf(lib: Any, values: Any) -> Any:
    """A Tensor that requires grad."""
    return lib.tensor(values, requires_grad=True)


def eager(function: Callable[..., Any]) -> Callable[..., Any]:
    """The ``run`` of eager mode."""
    return function


class Compiling:
    """The ``run`` of compiled mode, which remembers whether a row used it."""

    def __init__(self) -> None:
        self.used = False

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        self.used = True
        compiled: Callable[..., Any] = un.compile(function)
        return compiled


def compare(ours: Any, theirs: Any, at: str = "result") -> None:
    """Asserts that a row's result is the oracle's: same nesting, same values, a subclass where it raised."""
    if isinstance(theirs, Refusal):
        assert isinstance(ours, Refusal), (
            f"{at}: the oracle raised {theirs.kind}: {theirs.message}; we returned {ours}"
        )
        assert theirs.kind in ours.bases, f"{at}: {ours.kind} is no {theirs.kind} ({ours.message})"
        assert "UnifiedError" in ours.bases, f"{at}: {ours.kind} was not raised on purpose ({ours.message})"
        return
    assert not isinstance(ours, Refusal), f"{at}: {ours.kind}: {ours.message}"
    if isinstance(theirs, (list, tuple)):
        assert isinstance(ours, (list, tuple)), f"{at}: {type(ours).__name__} is no sequence"
        assert len(ours) == len(theirs), f"{at}: {len(ours)} members, not {len(theirs)}: {ours} for {theirs}"
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            compare(one, other, f"{at}[{index}]")
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs), at
        for key in theirs:
            compare(ours[key], theirs[key], f"{at}[{key!r}]")
    elif theirs is None or isinstance(theirs, (bool, int, str)):
        assert type(ours) is type(theirs), f"{at}: {ours!r}, not {theirs!r}"
        assert ours == theirs, f"{at}: {ours!r}, not {theirs!r}"
    elif isinstance(theirs, float):
        np.testing.assert_allclose(ours, theirs, RTOL, ATOL, err_msg=at)
    else:
        assert isinstance(ours, un.Tensor), f"{at}: {ours!r} is no Tensor"
        _compare_tensors(ours.detach(), theirs, at)


def _compare_tensors(ours: un.Tensor, theirs: Any, at: str) -> None:
    expected = theirs.detach().resolve_conj().resolve_neg().numpy() if hasattr(theirs, "detach") else theirs.numpy()
    found = ours.numpy()
    assert found.shape == expected.shape, f"{at}: shape {found.shape}, not {expected.shape}"
    assert found.dtype.kind == expected.dtype.kind, f"{at}: {found.dtype}, not {expected.dtype}"
    if expected.dtype.kind in "fc":  # integers have 32 bits here unless 64 are asked for
        assert found.dtype == expected.dtype, f"{at}: {found.dtype}, not {expected.dtype}"
    np.testing.assert_allclose(found, expected, RTOL, ATOL, err_msg=at)


def refusals(result: Any) -> list[Refusal]:
    """Every refusal within a row's result."""
    if isinstance(result, Refusal):
        return [result]
    members = result.values() if isinstance(result, dict) else result if isinstance(result, (list, tuple)) else ()
    return [found for member in members for found in refusals(member)]


def anonymous(message: str) -> str:
    """A message without the name of the backend it is about."""
    return re.sub(r"\b(torch|jax|tensorflow)\b", "<backend>", message)


def rows_of(*modules: ModuleType) -> list[Row]:
    """The table."""
    return [row for module in modules for row in module.row.rows]
