"""``GradientTape``: TensorFlow's way to ask for gradients, over the recording that every Tensor does here anyway."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, Self

from unified import _structure
from unified._custom import snapshot
from unified._dispatch import tell_accessed
from unified._tensor import Tensor
from unified.autograd.functional import grad
from unified.autograd.grad_mode import enable_grad, is_grad_enabled, no_grad
from unified.errors import ArgumentError, AutogradError, OperandError, ShapeError

Unconnected = Literal["none", "zero"]


class _Open(threading.local):
    """The tapes whose blocks this thread is in, the innermost last."""

    def __init__(self) -> None:
        self.tapes: list[GradientTape] = []


_open = _Open()


def _access(tensor: Tensor) -> None:
    """An op takes this Tensor: a leaf that requires grad of itself is a variable of the tapes that look for them."""
    key = id(tensor)
    unseen = [tape for tape in _open.tapes if tape._automatic and key not in tape._variables]
    if unseen and is_grad_enabled() and tensor.requires_grad and tensor.is_leaf and not _lent(key):
        for tape in unseen:
            tape._variables[key] = tensor


def _lent(key: int) -> bool:
    """Whether a Tensor requires grad only because an open tape watches it."""
    return any(key in tape._watched and tape._watched[key].before is not None for tape in _open.tapes)


class _Watched:
    """A watched Tensor, and the place in the graph that stands for it after the block."""

    __slots__ = ("before", "place", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.before = None if tensor.requires_grad else tensor._native
        tensor.requires_grad_()
        self.place = snapshot(tensor)

    def release(self) -> None:
        """Takes the Tensor back to what it was, if it was this that made it require grad."""
        tensor = self.tensor
        if self.before is not None and tensor.is_leaf:
            unchanged = tensor._native is self.place._native
            tensor.requires_grad_(False)
            if unchanged:
                tensor._native = self.before
        self.before = None


class GradientTape:
    """Gradients of what ran within a block, returned and not accumulated; ``.grad`` stays as it was.

    Tensors that require grad, Parameters above all, take part by themselves; any other one after :meth:`watch`.
    Recording is on within the block, also inside of ``no_grad``. A gradient that is taken within the block of
    another tape is recorded by that one, to any order.

    Example::

        x = un.tensor(3.0)
        with un.autograd.GradientTape() as tape:
            tape.watch(x)
            y = x * x
        tape.gradient(y, x)  # 6.0

    Ours is a window over the recording of the Tensors, which shows in three ways that TensorFlow's does not. What
    was recorded before the block (or before :meth:`reset`), or is after it, is part of the graph too: ``detach()``
    it where it should be a constant, and use ``no_grad`` after the block. A tape that is not persistent and not
    nested lets its one gradient release the graph, so ``backward()`` through the same graph is refused afterwards.
    And :meth:`stop_recording` stops outer tapes too.

    Args:
        persistent: gradients may be asked for more than once.
        watch_accessed_variables: whether leaves that require grad take part by themselves.
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None:
        self._persistent = persistent
        self._automatic = watch_accessed_variables
        self._watched: dict[int, _Watched] = {}
        self._variables: dict[int, Tensor] = {}
        self._recording = enable_grad()
        self._entered = False
        self._nested = False
        self._used = False

    def __enter__(self) -> Self:
        if self in _open.tapes:
            raise AutogradError("this GradientTape is recording already; use another one for a nested block")
        if not self._persistent:
            self._forget()
        self._entered = True
        self._recording.__enter__()
        _open.tapes.append(self)
        if self._automatic:
            tell_accessed(_access)
        if len(_open.tapes) > 1:  # they record the same graph, which one must not release under another
            for tape in _open.tapes:
                tape._nested = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        _open.tapes.remove(self)
        if not any(tape._automatic for tape in _open.tapes):
            tell_accessed(None)
        self._recording.__exit__(kind, value, trace)
        for watched in self._watched.values():
            watched.release()

    def watch(self, tensor: Any) -> None:
        """Lets a Tensor, or each one in a nest of lists, tuples and dicts, take part until the block ends.

        Within the block it requires grad, afterwards it is what it was; other Tensors of the same value do not
        change.

        Raises:
            AutogradError: the tape's block was not entered, or has ended.
            DTypeError: the dtype is neither floating nor complex.
            OperandError: there is no Tensor in it.
        """
        self._within("watch")
        for found in _tensors(tensor, "watch")[0]:
            key = id(found)
            if found.requires_grad and found.is_leaf and not _lent(key):
                self._variables[key] = found
            if key not in self._watched or not found.requires_grad:
                self._watched[key] = _Watched(found)

    def watched_variables(self) -> tuple[Tensor, ...]:
        """The leaves that require grad of themselves, Parameters say, in the order in which they took part."""
        return tuple(self._variables.values())

    @contextmanager
    def stop_recording(self) -> Iterator[None]:
        """Nothing is recorded within, neither by this tape nor by an outer one.

        Raises:
            AutogradError: the tape is not recording.
        """
        self._within("stop_recording")
        with no_grad():
            yield

    def reset(self) -> None:
        """Forgets what was watched, and that a gradient was taken.

        Raises:
            AutogradError: the tape is not recording.
        """
        self._within("reset")
        self._forget()

    def gradient(
        self,
        target: Any,
        sources: Any,
        output_gradients: Any = None,
        unconnected_gradients: Unconnected = "none",
    ) -> Any:
        """The derivative of ``target`` by each of ``sources``, in their structure.

        Args:
            target: a Tensor or a nest of them; what has several elements is summed.
            sources: a Tensor or a nest of them.
            output_gradients: weights instead of the ones that sum the targets, in their structure.
            unconnected_gradients: what a source gets that the target does not depend on, or that was not watched:
                ``"none"`` None, ``"zero"`` zeros.

        Raises:
            AutogradError: the tape is not persistent and has given its gradient; an output gradient is misshapen.
        """
        leaves, structure = _tensors(sources, "sources")
        targets, _ = _tensors(target, "target")
        weights = [None] * len(targets) if output_gradients is None else _members(output_gradients)
        if len(weights) != len(targets):
            raise AutogradError(
                f"{len(targets)} targets have {len(weights)} output_gradients; each needs one, or None"
            )

        def derive(places: list[Tensor], create: bool, retain: bool) -> list[Tensor | None]:
            pairs = [(t, w) for t, w in zip(targets, weights, strict=True) if t.requires_grad]
            if not pairs:
                return [None] * len(places)
            cotangents = [t.detach().ones_like() if w is None else w for t, w in pairs]
            roots = [t for t, _ in pairs]
            found = grad(roots, places, cotangents, retain, create, allow_unused=True)
            return list(found)

        found = self._derive(leaves, derive, unconnected_gradients)
        return _structure.unflatten(structure, found)

    def jacobian(self, target: Tensor, sources: Any, unconnected_gradients: Unconnected = "none") -> Any:
        """The derivative of each element of ``target``: Tensors of shape ``target.shape + source.shape``.

        Arguments and errors as for :meth:`gradient`; one backward pass for each element.
        """
        leaves, structure = _tensors(sources, "sources")
        shape, count = tuple(target.shape), target.numel()

        def derive(places: list[Tensor], create: bool, retain: bool) -> list[Tensor | None]:
            return _rows(target, _units(target, count).reshape(count, *shape), places, create, retain)

        found = self._derive(leaves, derive, unconnected_gradients, (count,))
        results = [
            None if j is None else j.reshape(*shape, *source.shape) for j, source in zip(found, leaves, strict=True)
        ]
        return _structure.unflatten(structure, results)

    def batch_jacobian(self, target: Tensor, source: Tensor, unconnected_gradients: Unconnected = "none") -> Any:
        """The Jacobian of each sample: ``(batch, *target.shape[1:], *source.shape[1:])``.

        ``target[i]`` must depend on ``source[i]`` alone; this is not looked at. One backward pass for each element
        of a sample.

        Raises:
            AutogradError: as for :meth:`gradient`.
            ShapeError: the two do not have the same first dimension.
        """
        if not target.ndim or not source.ndim or target.shape[0] != source.shape[0]:
            raise ShapeError(
                f"batch_jacobian: target {tuple(target.shape)} and source {tuple(source.shape)} must have the same "
                "first dimension, the batch"
            )
        batch, rest = target.shape[0], tuple(target.shape[1:])
        count = target.numel() // batch if batch else 0

        def derive(places: list[Tensor], create: bool, retain: bool) -> list[Tensor | None]:
            units = _units(target, count).reshape(count, 1, *rest).expand(count, batch, *rest)
            return _rows(target, units, places, create, retain)

        (rows,) = self._derive([source], derive, unconnected_gradients, (count,))
        return None if rows is None else rows.movedim(0, 1).reshape(batch, *rest, *source.shape[1:])

    def _derive(
        self,
        sources: list[Tensor],
        derive: Callable[[list[Tensor], bool, bool], list[Tensor | None]],
        unconnected: str,
        rows: tuple[int, ...] = (),
    ) -> list[Tensor | None]:
        """What ``derive`` finds for the sources that took part; None or zeros for the others.

        ``rows`` are the dimensions before a source's own.
        """
        if unconnected not in ("none", "zero"):
            raise ArgumentError(f"unconnected_gradients must be 'none' or 'zero', not {unconnected!r}")
        if not self._entered:
            raise AutogradError("this GradientTape has recorded nothing; compute the target in its `with` block")
        if self._used:
            raise AutogradError(
                "a GradientTape that is not persistent gives gradients once; ask for all of them in one call, or "
                "make it with persistent=True"
            )
        places = [self._place(source) for source in sources]
        others = [tape for tape in _open.tapes if tape is not self or self._persistent]
        create = bool(others) and is_grad_enabled()
        connected = [place for place in places if place is not None]
        found = iter(derive(connected, create, self._persistent or self._nested or create) if connected else ())
        results = [None if place is None else next(found) for place in places]
        self._used = not self._persistent
        if unconnected == "none":
            return results
        return [
            source.detach().new_zeros((*rows, *source.shape)) if result is None else result
            for source, result in zip(sources, results, strict=True)
        ]

    def _place(self, source: Tensor) -> Tensor | None:
        """Where ``source`` is in the graph, or None if it does not take part."""
        watched = self._watched.get(id(source))
        if watched is not None:
            return watched.place
        takes_part = source.requires_grad and (self._automatic or not source.is_leaf)
        return source if takes_part else None

    def _within(self, what: str) -> None:
        if self not in _open.tapes:
            raise AutogradError(f"{what} is for a GradientTape that is recording; call it within its `with` block")

    def _forget(self) -> None:
        for watched in self._watched.values():
            watched.release()
        self._watched.clear()
        self._variables.clear()
        self._used = False


def _tensors(value: Any, what: str) -> tuple[list[Tensor], Any]:
    """The Tensors in a nest, and its structure."""
    leaves: list[Tensor] = []
    structure = _structure.flatten(list(value) if isinstance(value, Iterator) else value, leaves)
    if not leaves and value not in ([], (), {}):
        raise OperandError(f"{what} must be a Tensor or a nest of Tensors, not {type(value).__name__}")
    return leaves, structure


def _members(value: Any) -> list[Tensor | None]:
    """The Tensors in a nest, and None where it has None."""
    if value is None or isinstance(value, Tensor):
        return [value]
    return [member for part in (value.values() if isinstance(value, dict) else value) for member in _members(part)]


def _units(target: Tensor, count: int) -> Tensor:
    units: Tensor = target.detach().new_ones((count,)).diag()
    return units


def _rows(target: Tensor, units: Tensor, places: list[Tensor], create: bool, retain: bool) -> list[Tensor | None]:
    """For each place, the gradients by each of the cotangents ``units``, one above the other."""
    count = units.shape[0]
    if not count:
        return [place.detach().new_zeros((0, *place.shape)) for place in places]
    if not target.requires_grad:
        return [None] * len(places)
    found = grad(target, places, units, retain, create, allow_unused=True, is_grads_batched=True)
    return list(found)
