"""``un.compile``: the cache of programs behind a function, and what a call of it does."""

from __future__ import annotations

import copy
import functools
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, NamedTuple

from unified._default import default_dtype
from unified._device import current_device
from unified._dispatch import backends_by_type, tracing
from unified._dtype import DType
from unified._engine import engine_of
from unified._levels import active
from unified._selection import current_backend
from unified._tape import grad_mode
from unified.backends.protocol import Backend
from unified.compile.buckets import Buckets, Padded
from unified.compile.entry import Entry, lock
from unified.compile.lowered import Inspected
from unified.compile.program import Request, trace
from unified.compile.report import Report, words
from unified.compile.signature import Call, Signature, same_tensors, wrap_numbers
from unified.errors import ArgumentError, BackendMismatchError, CompileError, OperandError

RETRACES_BEFORE_WARNING = 8


class CompiledFunction(Inspected):
    """A function whose calls run as one compiled program per signature. Made by :func:`compile`."""

    def __init__(
        self,
        function: Callable[..., Any],
        static_argnames: str | Sequence[str] = (),
        dynamic: Mapping[str, Mapping[int, str]] | None = None,
        buckets: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        self._function = function
        self._options: dict[str, Any] = {"static_argnames": static_argnames, "dynamic": dynamic, "buckets": buckets}
        self._signature = Signature(function, static_argnames)
        self._buckets = Buckets(self._signature, dynamic, buckets) if dynamic else None
        self._entries: dict[Key, list[Entry]] = {}
        self._latest: Key | None = None
        self._reasons: list[str] = []
        functools.update_wrapper(self, function, updated=())

    def __set_name__(self, owner: type, name: str) -> None:
        self._place = (f"{owner.__module__}.{owner.__qualname__}", name)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """As a method: one compiled function per instance, kept on it."""
        if instance is None:
            return self
        if self._place is None:  # it was made an attribute after the class was
            for kind in instance.__mro__ if isinstance(instance, type) else type(instance).__mro__:
                for name, held in vars(kind).items():
                    if held is self:
                        self.__set_name__(kind, name)
        where, name = self._place or ("", self._function.__name__)
        key = f"_compiled_{where}.{name}"
        try:
            held = instance.__dict__
        except AttributeError:
            raise CompileError(
                f"{self._signature.name}: a compiled method is kept on its instance, and those of "
                f"{type(instance).__name__} have no room for it; add '__dict__' to their __slots__"
            ) from None
        bound = held.get(key)
        if bound is None or bound._method is not self:
            bound = CompiledFunction(self._function.__get__(instance, owner), **self._options)
            bound._access, bound._method = (instance, name), self
            if isinstance(instance, type):  # below a classmethod
                type.__setattr__(instance, key, bound)
            else:
                held[key] = bound
        return bound

    _place: tuple[str, str] | None = None
    """The class and attribute that this is a method by."""

    _access: tuple[Any, str] | None = None
    """The instance and attribute that this is to be had from, for a compiled method."""

    _method: CompiledFunction | None = None
    """What was bound to the instance."""

    def __reduce__(self) -> tuple[Any, ...] | str:
        """Pickles as the function; programs are not carried. A decorated function is found by its name."""
        if self._access is not None:
            return getattr, self._access
        name = getattr(self, "__qualname__", "")
        found: Any = sys.modules.get(getattr(self, "__module__", ""))
        for part in name.split("."):
            found = getattr(found, part, None)
        return name if found is self else (_again, (self._function, self._options))

    def __copy__(self) -> Any:
        return _again(copy.copy(self._function), self._options)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Compiles the copy of the function (of the Module, of the instance that a method is bound to) anew."""
        if self._access is not None and id(self._access[0]) in memo:
            copied = CompiledFunction(copy.deepcopy(self._function, memo), **self._options)
            copied._access, copied._method = (memo[id(self._access[0])], self._access[1]), self._method
            return copied
        return _again(copy.deepcopy(self._function, memo), self._options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if tracing() is not None or any(level.wraps for level in active()):  # of what is at work, this is a part
            return self._function(*args, **kwargs)
        if grad_mode.anomaly or grad_mode.uncompiled:  # values can be looked at outside of a program alone
            return self._function(*args, **kwargs)
        leaves: list[Any] = []
        call = self._signature.flatten(args, kwargs, leaves)
        numbers = tuple([i for i, leaf in enumerate(leaves) if leaf.__class__ is float])
        backend = self._backend(leaves)
        if numbers:
            wrap_numbers(leaves, numbers, backend)
        padded: Padded | None = None
        lengths: tuple[int, ...] = ()
        if self._buckets is not None:
            padded, lengths = self._buckets.pad(call, leaves, backend)
        signature, recorded = backend.compiler.signature, grad_mode.enabled
        requires: Any = False
        if recorded and leaves:
            requires_grad = engine_of(leaves[0]).requires_grad
            requires = tuple([requires_grad(leaf) for leaf in leaves])
        casts = () if grad_mode.autocast is None else grad_mode.autocast.key
        modes = (recorded, grad_mode.inference, current_backend().name, current_device(), grad_mode.computed, casts)
        signatures = tuple([signature(leaf._native) for leaf in leaves])
        same = same_tensors(leaves)
        key = Key(backend.name, call, signatures, numbers, requires, modes, default_dtype(), padded, same)
        entries = self._entries.get(key)
        if entries is not None:
            for place, entry in enumerate(entries):
                if entry.valid(leaves):
                    if place:  # the next call most likely wants it too
                        entries.insert(0, entries.pop(place))
                    return entry.call(leaves, lengths)
        return self._trace(backend, key, call, leaves, lengths)

    def _trace(self, backend: Backend, key: Key, call: Call, leaves: list[Any], lengths: Sequence[int]) -> Any:
        requires = list(key.requires) if key.requires else [False] * len(leaves)
        natives = [leaf._native for leaf in leaves]
        request = Request(self._function, backend, call, natives, requires, key.numbers, key.padded, key.same)
        with lock:
            entries = self._entries.get(key, [])
            for entry in entries:  # another thread may have been here first
                if entry.valid(leaves):
                    return entry.call(leaves, lengths)
            reason = self._reason(key, entries, leaves)
            started = time.perf_counter()
            with request.telling_of_leaks():
                entry = trace(request, leaves)
                result = entry.call(leaves, lengths)
            entry.seconds, entry.reason, entry.number = time.perf_counter() - started, reason, len(self._reasons)
            self._entries.setdefault(key, []).append(entry)
            self._latest = key
        self._note(reason)
        return result

    def _backend(self, leaves: list[Any]) -> Backend:
        kinds = (backends_by_type[type(leaf._native)] for leaf in leaves if leaf.__class__ is not float)
        found = {backend.name: backend for backend in kinds}
        if len(found) > 1:
            names = sorted(found)
            raise BackendMismatchError(
                f"{self._signature.name}: arguments live on several backends, {' and '.join(names)}; "
                f"move them to one with x.to(backend={names[0]!r})"
            )
        return next(iter(found.values())) if found else current_backend()

    def _reason(self, key: Key, entries: list[Entry], leaves: list[Any]) -> str:
        latest = self._latest
        if latest is None:
            return "first call"
        if entries:
            return max(entries, key=lambda entry: entry.number).why_invalid(leaves)
        if latest.backend != key.backend:
            return f"the backend changed from {latest.backend} to {key.backend}"
        if latest.call != key.call:
            return self._signature.difference(latest.call, key.call)
        if latest.dtype is not key.dtype:  # said before the numbers, whose width follows it
            return f"the default dtype changed from {latest.dtype.name} to {key.dtype.name}"
        if latest.padded != key.padded:
            return _bucket(latest.padded, key.padded)
        places = list(self._signature.places(key.call))
        for position, (old, new) in enumerate(zip(latest.signatures, key.signatures, strict=True)):
            if (position in latest.numbers) != (position in key.numbers):
                return f"{places[position]} changed between a Tensor and a Python float"
            if old != new:
                return f"{places[position]} changed from {_words(old)} to {_words(new)}{_dimension(old, new)}"
        for what, before, now in zip(_MODES, latest.modes, key.modes, strict=True):
            if before != now:
                return f"{what} changed from {_mode(before)} to {_mode(now)}"
        for position, (before, now) in enumerate(zip(latest.requires, key.requires, strict=True)):
            if before is not now:
                return f"requires_grad of {places[position]} changed from {before} to {now}"
        if latest.same != key.same:
            return "a Tensor is given in more than one place, or no longer is"
        return "a program of this signature is no longer there"

    def _note(self, reason: str) -> None:
        self._reasons.append(reason)
        if len(self._reasons) == RETRACES_BEFORE_WARNING + 2:  # the first trace is none
            warnings.warn(
                f"{self._signature.name} has been retraced {RETRACES_BEFORE_WARNING + 1} times; the last reason: "
                f"{reason}. Pass what varies as a Tensor or a float, name lengths that vary in dynamic=, pad to a "
                "few shapes, or leave it out of the compiled function.",
                stacklevel=4,
            )

    def explain(self) -> Report:
        """What was compiled, why, and at what cost; ``str()`` and ``print()`` of it say so in words."""
        found = [(words(key.signatures), entry) for key, entries in self._entries.items() for entry in entries]
        found.sort(key=lambda pair: pair[1].number)
        facts = [{**entry.describe(), "arguments": shapes, "reason": entry.reason} for shapes, entry in found]
        return Report(self._signature.name, facts, self._reasons)


class Key(NamedTuple):
    """What calls of one program have in common."""

    backend: str
    call: Call
    signatures: tuple[Any, ...]
    numbers: tuple[int, ...]
    requires: Any
    modes: tuple[Any, ...]
    dtype: DType
    padded: Padded | None
    same: tuple[int, ...]


_MODES = (
    "the grad mode", "the inference mode", "the current backend", "the current device", "un.debug.nan_check",
    "autocast",
)  # fmt: skip


def _mode(value: Any) -> Any:
    """A mode in words; autocast's is pairs of a device type and a dtype."""
    if not isinstance(value, tuple):
        return value
    return ", ".join(f"{dtype} on {kind}" for kind, dtype in value) or "none"


def _bucket(old: Padded | None, new: Padded | None) -> str:
    """Which length came to another bucket."""
    before = {} if old is None else {name: bounds for name, *bounds in old.names}
    for name, low, high in () if new is None else new.names:
        if before.get(name) != [low, high]:
            was = f"of {before[name][0]} to {before[name][1]}" if name in before else "of a length of 0 or 1"
            return f"{name} came from the bucket {was} to that of {low} to {high}"
    return "a dynamic length became 0 or 1"


def _words(signature: tuple[Any, ...]) -> str:
    return f"{getattr(signature[1], 'name', signature[1])} {tuple(signature[0])}".removeprefix("torch.")


def _dimension(old: tuple[Any, ...], new: tuple[Any, ...]) -> str:
    """Which dimension changed, where only one did."""
    changed = [i for i, (a, b) in enumerate(zip(old[0], new[0], strict=False)) if a != b]
    return f" (dimension {changed[0]})" if len(changed) == 1 and len(old[0]) == len(new[0]) else ""


def _again(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    return compile(function, **options)


def _check(function: Any, static_argnames: Any, dynamic: Any, buckets: Any) -> None:
    """Raises OperandError where an argument of :func:`compile` is of another kind."""
    if not callable(function):
        raise OperandError(f"un.compile takes a function, a Module or a bound method, not {type(function).__name__}")
    names = [static_argnames] if isinstance(static_argnames, str) else static_argnames
    if not isinstance(names, Sequence | Set) or not all(isinstance(name, str) for name in names):
        raise OperandError(f"static_argnames= is a parameter's name or a sequence of names, not {static_argnames!r}")
    if dynamic is not None and not (
        isinstance(dynamic, Mapping)
        and all(isinstance(dims, Mapping) for dims in dynamic.values())
        and all(type(dim) is int and isinstance(n, str) for dims in dynamic.values() for dim, n in dims.items())
    ):
        raise OperandError(f"dynamic= names dimensions by argument, as {{'x': {{1: 'time'}}}}, not {dynamic!r}")
    if buckets is not None and dynamic is None:
        raise ArgumentError("buckets= gives lengths of dimensions that dynamic= names, and dynamic= is not given")


def compile(
    function: Callable[..., Any] | None = None,
    *,
    static_argnames: str | Sequence[str] = (),
    dynamic: Mapping[str, Mapping[int, str]] | None = None,
    buckets: Mapping[str, Sequence[int]] | None = None,
) -> Any:
    """Compiles a function, a Module or a bound method, whole training steps included, into one program.

    A compiled Module is a Module, with the very parameters and attributes of the one it was made from.

    The function is traced once per signature: shapes and dtypes of the Tensors in its arguments, its Python
    arguments, and the train/eval flags it reads. Tensors that it reads without having made them become inputs,
    those it rebinds become outputs, however it reaches them; so ``loss.backward(); optimizer.step()`` inside
    just works.

    Arguments may be nested in tuples, lists, dicts and dataclasses. A Python float is a 0-d Tensor inside, which
    takes part in promotion as a number does, so that it may change at every call. Ints, bools, strings, enums and
    other objects are part of the program: another value is another trace.

    What Python does besides happens while tracing only, which is at the first call of a signature, and twice then:
    prints, appends to lists, ``self.count += 1``; a warning names what is seen to change. An attribute or global that
    is no Tensor is read then too, and is not seen to change, except on Modules. Write into Tensors
    (``state.copy_(value)``): one that another takes the place of is another trace.

    Args:
        function: what to compile; left out where the options come first: ``@un.compile(static_argnames="causal")``.
        static_argnames: parameters that are part of the program although they are floats, or that are compared by
            value: they must be hashable.
        dynamic: dimensions whose length varies, by argument, dimension and a name of your own:
            ``{"x": {0: "batch", 1: "time"}, "batch.y": {0: "batch"}}``. They are padded to a few lengths, with one
            program for each, and the padding counts in no result: ``x.shape[1]`` is the true length. An op that
            cannot keep padding out, or Python that needs to know the length, raises DynamicLengthError. Lengths of
            0 and 1 are programs of their own.
        buckets: by name, the lengths to pad to; by default powers of two from 8.

    Example::

        @un.compile
        def step(x, y):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

    Raises:
        OperandError, ArgumentError: an argument of this function is of another kind, or names what does not exist.

    Raises (when called):
        TracedValueError: Python asked for a value, as in ``if x.sum() > 0``; names the line and the way out.
        LeakedTensorError: a Tensor made inside is kept outside and would have no value there.
        OperandError: an argument is a numpy array, or cannot be compared.
        DynamicLengthError: see ``dynamic``.
    """
    if function is None:
        return functools.partial(compile, static_argnames=static_argnames, dynamic=dynamic, buckets=buckets)
    _check(function, static_argnames, dynamic, buckets)
    program = CompiledFunction(function, static_argnames, dynamic, buckets)
    as_module = getattr(type(function), "_as_compiled", None)
    return program if as_module is None else as_module(function, program)
