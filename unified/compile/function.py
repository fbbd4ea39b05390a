"""``un.compile``: the cache of programs behind a function, and what a call of it does."""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable
from typing import Any

from unified import _structure as structure
from unified._dispatch import backends_by_type, tracing
from unified._engine import engine_of
from unified._levels import active
from unified._selection import current_backend
from unified._tape import grad_mode
from unified._tensor import Tensor
from unified.backends.protocol import Backend
from unified.compile.lowered import Inspected
from unified.compile.program import Entry, trace
from unified.compile.report import Report, words
from unified.errors import BackendMismatchError

RETRACES_BEFORE_WARNING = 8


class CompiledFunction(Inspected):
    """A function whose calls run as one compiled program per signature. Made by :func:`compile`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._entries: dict[Any, list[Entry]] = {}
        self._latest: tuple[Any, ...] | None = None
        self._reasons: list[str] = []
        functools.update_wrapper(self, function, updated=())

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """As a method: one compiled function per instance, kept on it."""
        if instance is None:
            return self
        name = f"_compiled_{self._function.__name__}"
        bound = instance.__dict__.get(name)
        if bound is None:
            bound = CompiledFunction(self._function.__get__(instance, owner))
            instance.__dict__[name] = bound
        return bound

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if tracing() is not None or any(level.wraps for level in active()):  # of what is at work, this is a part
            return self._function(*args, **kwargs)
        if grad_mode.anomaly or grad_mode.uncompiled:  # values can be looked at outside of a program alone
            return self._function(*args, **kwargs)
        leaves: list[Tensor] = []
        shape_of_call = structure.flatten((args, kwargs), leaves)
        backend = self._backend(leaves)
        signature = backend.compiler.signature
        key = (
            backend.name,
            shape_of_call,
            tuple([signature(leaf._native) for leaf in leaves]),
            tuple([engine_of(leaf).requires_grad(leaf) for leaf in leaves]) if grad_mode.enabled else False,
            grad_mode.computed,
        )
        entries = self._entries.setdefault(key, [])
        for entry in entries:
            if entry.valid():
                return entry.call(leaves)
        reason = self._reason(key, entries)
        started = time.perf_counter()
        entry = trace(self._function, backend, shape_of_call, leaves)
        result = entry.call(leaves)
        entry.seconds = time.perf_counter() - started
        entry.order = len(self._reasons)
        entries.append(entry)
        self._note(reason)
        self._latest = key
        return result

    def _backend(self, leaves: list[Tensor]) -> Backend:
        if not leaves:
            return current_backend()
        found = {id(b): b for b in (backends_by_type[type(leaf._native)] for leaf in leaves)}
        if len(found) > 1:
            names = sorted(b.name for b in found.values())
            raise BackendMismatchError(
                f"{self._name()}: arguments live on several backends, {' and '.join(names)}; "
                f"move them to one with x.to(backend={names[0]!r})"
            )
        return next(iter(found.values()))

    def _reason(self, key: tuple[Any, ...], entries: list[Entry]) -> str:
        latest = self._latest
        if latest is None:
            return "first call"
        if entries:
            return entries[-1].why_invalid()
        if latest[0] != key[0]:
            return f"the backend changed from {latest[0]} to {key[0]}"
        if latest[1] != key[1]:
            return structure.difference(latest[1], key[1])
        for position, (old, new) in enumerate(zip(latest[2], key[2], strict=True)):
            if old != new:
                before, after = words((old, new))
                return f"Tensor argument {position} changed from {before} to {after}"
        if latest[4] != key[4]:
            return "un.debug.nan_check was switched on or off"
        return "which arguments require grad, or the grad mode, changed"

    def _note(self, reason: str) -> None:
        self._reasons.append(reason)
        if len(self._reasons) == RETRACES_BEFORE_WARNING + 1:
            warnings.warn(
                f"{self._name()} has been traced {len(self._reasons)} times; the last reason: {reason}. "
                "Pass what varies as a Tensor, pad it to a few shapes, or leave it out of the compiled function.",
                stacklevel=3,
            )

    def _name(self) -> str:
        return getattr(self._function, "__qualname__", type(self._function).__name__)

    def explain(self) -> Report:
        """What was compiled, why, and at what cost; ``str()`` and ``print()`` of it say so in words."""
        found = [(words(key[2]), entry) for key, entries in self._entries.items() for entry in entries]
        found.sort(key=lambda pair: pair[1].order)
        facts = [{**entry.describe(), "arguments": shapes} for shapes, entry in found]
        return Report(self._name(), facts, self._reasons)


def compile(function: Callable[..., Any] | None = None) -> Any:
    """Compiles a function, a Module or a bound method, whole training steps included, into one program.

    The function is traced once per signature: shapes and dtypes of the Tensors in its arguments, its Python
    arguments, and the train/eval flags it reads. Tensors that it reads without having made them become inputs,
    those it rebinds become outputs, however it reaches them; so ``loss.backward(); optimizer.step()`` inside
    just works. Python's own side effects (prints, appends) happen while tracing only.

    Example::

        @un.compile
        def step(x, y):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

    Raises (when called):
        TracedValueError: Python asked for a value, as in ``if x.sum() > 0``; names the line and the way out.
        LeakedTensorError: a Tensor made inside is kept outside and would have no value there.
    """
    if function is None:
        return compile
    return CompiledFunction(function)
