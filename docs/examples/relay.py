"""One training run, handed from PyTorch to JAX to TensorFlow in the middle.

The same digits, network and seed: 100 steps on each backend in turn, through a checkpoint, give the loss curve of an
uninterrupted run on any one of them. Dropout, AdamW, a cosine schedule and an average of the weights go along.

python docs/examples/relay.py            needs scikit-learn and matplotlib; writes relay.png
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

import unified as un
import unified.nn.functional as F
from unified import optim
from unified.models import DigitsCNN
from unified.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

BATCH = 64
RATE = 1e-3
BACKENDS = ("torch", "jax", "tensorflow")


def train(backend: str, folder: Path, until: int, total: int) -> tuple[list[float], np.ndarray]:
    """Trains from the latest checkpoint in ``folder``, or the start, to step ``until`` of ``total`` and saves there.

    Returns:
        The losses of these steps, and the averaged weights of the last layer.
    """
    digits = load_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)
    labels = digits.target.astype(np.int32)
    with un.backend(backend):
        un.manual_seed(0)
        model = DigitsCNN()
        optimizer = optim.AdamW(model.parameters(), lr=RATE, eps=1e-3)  # eps: rounding noise must not be scaled up
        schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
        order = un.Generator(0)
        run = un.io.Checkpointer(
            folder, model=model, optimizer=optimizer, scheduler=schedule, average=average,
            generator=un.default_generator(), order=order,
        )  # fmt: skip
        at = run.restore_latest()
        start, shuffled = (at.step, at.position) if at else (0, None)

        @un.compile
        def step(x: un.Tensor, y: un.Tensor) -> un.Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            average.update_parameters(model)
            return loss.detach()

        losses = []
        batches = len(images) // BATCH
        for number in range(start, until):
            if number % batches == 0:
                shuffled = un.randperm(len(images), generator=order).numpy().copy()
            rows = shuffled[number % batches * BATCH :][:BATCH]
            losses.append(step(un.tensor(images[rows]), un.tensor(labels[rows])).item())
            schedule.step()
        run.save(until, position=shuffled)
        return losses, list(average.module.parameters())[-2].detach().numpy().copy()


def relay(steps: int, backends: Sequence[str] = BACKENDS) -> dict[str, tuple[list[float], np.ndarray]]:
    """The handed-on run of ``steps`` under ``"relay"``, and an uninterrupted one on each backend under its name."""
    runs: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        losses: list[float] = []
        for leg, backend in enumerate(backends, 1):
            part, average = train(backend, Path(folder) / "relay", steps * leg // len(backends), steps)
            losses += part
        runs["relay"] = losses, average
        for backend in backends:
            runs[backend] = train(backend, Path(folder) / backend, steps, steps)
    return runs


def difference(losses: Sequence[float], reference: Sequence[float]) -> float:
    """The largest relative difference at any step."""
    return float(np.max(np.abs(np.array(losses) - reference) / np.abs(reference)))


def draw(runs: dict[str, tuple[list[float], np.ndarray]], path: Path) -> None:
    """Writes a picture of the curves, and of how far each is from the handed-on one."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (above, below) = plt.subplots(2, 1, figsize=(8, 7), sharex=True)
    relayed = np.array(runs["relay"][0])
    for name, (losses, _) in runs.items():
        if name != "relay":
            above.plot(losses, label=f"{name} alone", linewidth=3, alpha=0.35)
            below.semilogy(np.abs(np.array(losses) - relayed) / relayed + 1e-9, label=name, linewidth=1)
    above.plot(relayed, color="black", linewidth=0.8, label="handed on")
    for leg in (1, 2):
        for axes in (above, below):
            axes.axvline(len(relayed) * leg / 3, color="grey", linestyle=":")
    above.set(title="One run: PyTorch, then JAX, then TensorFlow", ylabel="training loss")
    below.set(xlabel="step", ylabel="relative difference to the run handed on")
    below.axhline(1e-3, color="red", linewidth=0.8)
    above.legend()
    below.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--picture", type=Path, default=Path("relay.png"))
    options = parser.parse_args()
    runs = relay(options.steps)
    for name, (losses, _) in runs.items():
        if name != "relay":
            worst = difference(losses, runs["relay"][0])
            print(
                f"{name:>10} alone: last loss {losses[-1]:.5f}, at most {worst:.1e} from the run handed on (relative)"
            )
    draw(runs, options.picture)
    print(f"wrote {options.picture}")


if __name__ == "__main__":
    main()
