"""The demo's picture: every run's loss on one axis. Where the runs agree, the curves lie on top of each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from unified.cli.training import Run

_WIDEST = 7.0


def save(runs: Sequence[Run], output: Path) -> None:
    """Writes a PNG. Later curves are thinner, so that a hidden one still shows at its edges."""
    figure = Figure(figsize=(9, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for index, run in enumerate(runs):
        losses = [loss for epoch in run.losses for loss in epoch]
        width = _WIDEST * (1 - index / len(runs)) + 0.5
        axes.plot(range(1, len(losses) + 1), losses, linewidth=width, label=f"{run.backend} {run.path}")
    axes.set(xlabel="step", ylabel="training loss", yscale="log", title="DigitsCNN from one seed")
    axes.legend()
    figure.savefig(output, format="png")
