"""A folder of checkpoints of one training run: the last few and the best, resumed on any backend."""

from __future__ import annotations

import math
import shutil
import warnings
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unified._tensor import Tensor
from unified.errors import ArgumentError, CheckpointError, OperandError, StateDictError
from unified.io import atomic, background, files
from unified.io.files import Pathlike

_PREFIX = "step-"


@dataclass(frozen=True)
class Restored:
    """Where a checkpoint stands: ``step``, the ``position`` in the data and the ``metric`` that it was saved with."""

    step: int
    position: Any
    metric: float | None
    path: Path


class Checkpointer:
    """Saves and restores a training run as a whole.

    Args:
        directory: its own folder; made if need be. One process writes to it.
        keep: how many of the latest checkpoints stay.
        best: ``"min"`` or ``"max"`` keeps the one with the best metric as well.
        max_shard_bytes: as in :func:`unified.save`.
        objects: what to hold, by name: ``model=``, ``optimizer=``, ``scheduler=``, ``generator=`` and any others with
            ``state_dict()`` and ``load_state_dict()``, or ``get_state()`` and ``set_state()`` as generators have.

    Example:
        >>> run = un.io.Checkpointer("run", best="min", model=model, optimizer=optimizer)
        >>> at = run.restore_latest()
        >>> for step in range(at.step if at else 0, 300):
        ...     loss = train(step)
        ...     run.save(step + 1, metric=loss)

    Raises:
        ArgumentError: ``keep`` is below 1, or ``best`` is another word.
        OperandError: an object has neither pair of methods.
    """

    def __init__(
        self, directory: Pathlike, *, keep: int = 3, best: Literal["min", "max"] | None = None,
        max_shard_bytes: int = files.SHARD_BYTES, **objects: Any,
    ) -> None:  # fmt: skip
        if keep < 1:
            raise ArgumentError(f"Checkpointer: keep must be at least 1, not {keep}")
        if best not in (None, "min", "max"):
            raise ArgumentError(f"Checkpointer: best must be 'min', 'max' or None, not {best!r}")
        self.directory, self.keep, self.best = Path(directory), keep, best
        self._limit = max_shard_bytes
        self._objects = {name: held for name, held in objects.items() if held is not None}
        for name, held in self._objects.items():
            _methods(name, held)
        self._metrics: dict[Path, float | None] = {}
        self._pending: list[Future[Path]] = []
        self.directory.mkdir(parents=True, exist_ok=True)
        atomic.remove_unfinished(self.directory)

    def save(self, step: int, *, metric: float | None = None, position: Any = None) -> Path:
        """Writes the checkpoint of ``step`` and removes those that are due; returns its path.

        Args:
            step: how many steps are done.
            metric: what ``best`` compares; a number or a Tensor of one element. NaN is never the best.
            position: where the data stands; any plain data.

        Raises:
            ArgumentError: ``step`` is negative.
        """
        return self.save_async(step, metric=metric, position=position).result()

    def save_async(self, step: int, *, metric: float | None = None, position: Any = None) -> Future[Path]:
        """Like :meth:`save`, in the background: later updates do not change what is saved."""
        if step < 0:
            raise ArgumentError(f"Checkpointer: step must not be negative, but is {step}")
        number = None if metric is None else float(metric)
        state = {"step": int(step), "position": position, "metric": number, "objects": self._states()}
        path = self.directory / f"{_PREFIX}{step:012}.safetensors"
        future = background.submit(files.snapshot(state), path, self._limit, then=lambda: self._written(path, number))
        self._pending = [*(pending for pending in self._pending if not pending.done()), future]
        return future

    def wait(self) -> None:
        """Waits until all that was saved is on the disk; raises what a write raised."""
        pending, self._pending = self._pending, []
        for future in pending:
            future.result()

    def restore_latest(self) -> Restored | None:
        """Puts the latest intact checkpoint into the objects; None where there is none.

        A damaged one is passed over with a warning; an unfinished one never counts.

        Raises:
            StateDictError: it does not fit the objects; they stay as they were.
        """
        self.wait()
        return self._restore(reversed(self.checkpoints()))

    def restore_best(self) -> Restored | None:
        """Puts the checkpoint with the best metric into the objects; else as :meth:`restore_latest`.

        Raises:
            ArgumentError: the Checkpointer was made without ``best=``.
        """
        if self.best is None:
            raise ArgumentError("restore_best: say Checkpointer(..., best='min') or best='max'")
        self.wait()
        return self._restore(self._ranked())

    def checkpoints(self) -> list[Path]:
        """The complete checkpoints, oldest first."""
        found = self.directory.glob(f"{_PREFIX}*.safetensors")
        return sorted(path for path in found if path.is_file() or (path / files.INDEX).is_file())

    def _states(self) -> dict[str, Any]:
        return {name: getattr(held, _methods(name, held)[0])() for name, held in self._objects.items()}

    def _put(self, states: Mapping[str, Any]) -> None:
        for name, held in self._objects.items():
            getattr(held, _methods(name, held)[1])(states[name])

    def _restore(self, candidates: Any) -> Restored | None:
        for path in candidates:
            try:
                state = files.load(path)
                states = state["objects"]
                found = Restored(state["step"], state["position"], state["metric"], path)
            except CheckpointError as error:
                warnings.warn(f"a checkpoint was passed over: {error}", stacklevel=3)
                continue
            except (KeyError, TypeError) as error:
                raise CheckpointError(f"{path} was not written by a Checkpointer") from error
            absent = sorted(self._objects.keys() - states.keys())
            if absent:
                raise StateDictError(f"{path} holds no {', '.join(absent)}; it holds {', '.join(sorted(states))}")
            before = self._states()
            try:
                self._put(states)
            except BaseException:
                self._put(before)
                raise
            return found
        return None

    def _written(self, path: Path, metric: float | None) -> Path:
        self._metrics[path] = metric
        present = self.checkpoints()
        kept = {*present[-self.keep :], path, *self._ranked()[:1]}
        for old in present:
            if old not in kept:
                self._metrics.pop(old, None)
                if old.is_dir():
                    (old / files.INDEX).unlink(missing_ok=True)  # from here on it counts as unfinished
                    shutil.rmtree(old, ignore_errors=True)
                else:
                    old.unlink(missing_ok=True)
        return path

    def _ranked(self) -> list[Path]:
        """Checkpoints with a metric, the best first and the older of equals first; none without ``best``."""
        if self.best is None:
            return []
        rated = [(self._metric(path), path) for path in self.checkpoints()]
        sign = 1.0 if self.best == "min" else -1.0
        usable = [(sign * metric, path) for metric, path in rated if metric is not None and not math.isnan(metric)]
        return [path for _, path in sorted(usable)]

    def _metric(self, path: Path) -> float | None:
        if path not in self._metrics:
            self._metrics[path] = _read_metric(path)
        return self._metrics[path]


def _read_metric(path: Path) -> float | None:
    """The metric in a checkpoint's header, without its tensors; None of one that cannot be read."""
    try:
        archive = files.read(path, verify=False)
    except CheckpointError:
        return None
    assert archive.extra is not None
    encoded = archive.extra["structure"]["dict"]["metric"]
    return float(encoded["float"] if isinstance(encoded, dict) else encoded) if encoded is not None else None


def _methods(name: str, held: Any) -> tuple[str, str]:
    for pair in (("state_dict", "load_state_dict"), ("get_state", "set_state")):
        if not isinstance(held, (Tensor, dict)) and all(callable(getattr(held, method, None)) for method in pair):
            return pair
    raise OperandError(
        f"Checkpointer: {name} is a {type(held).__name__}, which has neither state_dict() and load_state_dict() nor "
        "get_state() and set_state()"
    )
