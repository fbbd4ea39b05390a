"""The demo's training run: the same program whatever the backend and the path."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import unified as un
import unified.nn.functional as F
from unified import nn, optim
from unified.models.cnn import DigitsCNN

PATHS = ("eager", "compiled")
SEED = 0
BATCH = 64
LEARNING_RATE = 2e-3
EPSILON = 1e-3
"""Adam's first step is ``lr * gradient / (|gradient| + eps)``: rounding noise of 3e-7 in a gradient that is nearly
zero moves a weight by at most ``lr / eps`` times that, 6e-7. The usual 1e-8 would make whole learning rates of it."""

Array = np.ndarray[Any, Any]
Step = Callable[[un.Tensor, un.Tensor], un.Tensor]


@dataclass(frozen=True)
class Digits:
    """Images ``(N, 1, 8, 8)`` float32 in [0, 1] and labels ``(N,)`` int32, already split."""

    train_images: Array
    train_labels: Array
    test_images: Array
    test_labels: Array


@dataclass(frozen=True)
class Run:
    """What one backend and path came to. Weights are the model's whole state by name, buffers included."""

    backend: str
    path: str
    initial: dict[str, Array]
    after_one_step: dict[str, Array]
    final: dict[str, Array]
    dropout_mask: Array
    losses: list[list[float]]
    """By epoch, one per step."""
    accuracy: float
    seconds_per_epoch: float
    """A usual step's seconds times the steps of an epoch."""
    compile_seconds: float
    """What the first two steps took beyond usual ones; on an eager path, the kernels' own warm-up."""


def train(backend: str, path: str, digits: Digits, epochs: int, advance: Callable[[float], None]) -> Run:
    """Trains :class:`DigitsCNN` from the one seed.

    Args:
        backend: name of the backend.
        path: ``"eager"`` or ``"compiled"``.
        digits: the data.
        epochs: passes over the training set; a last batch that is not full is dropped.
        advance: called after each epoch with its mean loss.
    """
    with un.backend(backend):
        mask = _dropout_mask(path)
        un.manual_seed(SEED)
        model = DigitsCNN()
        optimizer = optim.AdamW(model.parameters(), lr=LEARNING_RATE, eps=EPSILON)
        step = _on(path, _training_step(model, optimizer))
        order = un.Generator(SEED)
        initial = snapshot(model)
        after_one_step: dict[str, Array] = {}
        losses: list[list[float]] = []
        seconds: list[float] = []
        for _ in range(epochs):
            losses.append([])
            for images, labels in _batches(digits, order):
                start = time.perf_counter()
                losses[-1].append(step(images, labels).item())
                seconds.append(time.perf_counter() - start)
                if not after_one_step:
                    after_one_step = snapshot(model)
            advance(statistics.fmean(losses[-1]))
        usual = statistics.median(seconds[2:] or seconds)
        return Run(
            backend=backend,
            path=path,
            initial=initial,
            after_one_step=after_one_step,
            final=snapshot(model),
            dropout_mask=mask,
            losses=losses,
            accuracy=_accuracy(model, digits),
            seconds_per_epoch=usual * len(losses[0]),
            compile_seconds=max(sum(seconds[:2]) - 2 * usual, 0.0),
        )


def snapshot(model: nn.Module) -> dict[str, Array]:
    """A copy of the model's state by name, on the host."""
    return {name: tensor.detach().numpy().copy() for name, tensor in model.state_dict().items()}


def _on(path: str, function: Any) -> Any:
    return un.compile(function) if path == "compiled" else function


def _training_step(model: nn.Module, optimizer: optim.Optimizer) -> Step:
    def step(images: un.Tensor, labels: un.Tensor) -> un.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _batches(digits: Digits, order: un.Generator) -> Iterator[tuple[un.Tensor, un.Tensor]]:
    count = len(digits.train_images)
    shuffled = un.randperm(count, generator=order).numpy()
    for first in range(0, count - BATCH + 1, BATCH):
        rows = shuffled[first : first + BATCH]
        yield un.tensor(digits.train_images[rows]), un.tensor(digits.train_labels[rows])


def _dropout_mask(path: str) -> Array:
    un.manual_seed(SEED)

    def drop(x: un.Tensor) -> un.Tensor:
        return F.dropout(x, 0.25, training=True)

    dropped: un.Tensor = _on(path, drop)(un.ones(BATCH, 128))
    return dropped.numpy().copy()


def _accuracy(model: nn.Module, digits: Digits) -> float:
    model.eval()
    with un.no_grad():
        guessed = model(un.tensor(digits.test_images)).argmax(1)
    return float(np.mean(guessed.numpy() == digits.test_labels))
