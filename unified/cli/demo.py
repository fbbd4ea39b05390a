"""``unified demo``: one CNN, one seed, every backend, eager and compiled; then the evidence that they agree."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from unified._selection import available_backends
from unified.backends import registry
from unified.cli import report
from unified.cli.training import PATHS, Run, train

_EXTRA = ("sklearn", "matplotlib")


def demo(
    backend: Annotated[list[str] | None, typer.Option(help="Only this backend; may be given more than once.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training set.")] = 12,
    output: Annotated[Path, typer.Option(dir_okay=False, help="Where the loss curves go.")] = Path("demo.png"),
) -> None:
    """Train one CNN on handwritten digits everywhere and compare; exit code 1 if parity or accuracy fail."""
    absent = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if absent:
        typer.echo(f"the demo needs {' and '.join(absent)}: pip install 'unified-nn[demo]'", err=True)
        raise typer.Exit(2)
    backends = tuple(backend or available_backends())
    for name in backends:
        registry.load(name)  # all frameworks start up, and fail, before the first epoch
    digits = importlib.import_module("unified.cli.digits").load_digits()
    console = Console()
    console.print(
        f"DigitsCNN on scikit-learn's digits: {len(digits.train_images)} training and {len(digits.test_images)} test "
        f"images, {epochs} epochs, one seed",
        highlight=False,
    )
    runs = _train_all(console, backends, digits, epochs)
    reference = report.reference_of(runs)
    console.print(report.table(runs, reference))
    importlib.import_module("unified.cli.curves").save(runs, output)
    console.print(f"loss curves: {output}", highlight=False)
    failures = report.failures(runs, reference)
    for failure in failures:
        console.print(f"[red]FAILED[/] {failure}", highlight=False)
    if failures:
        raise typer.Exit(1)
    console.print("[green]parity and accuracy hold[/]")


def _train_all(console: Console, backends: tuple[str, ...], digits: object, epochs: int) -> list[Run]:
    columns = (TextColumn("{task.description:<20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    runs = []
    with Progress(*columns, TextColumn("{task.fields[loss]}"), console=console) as progress:
        tasks = {
            (name, path): progress.add_task(f"{name} {path}", total=epochs, start=False, loss="")
            for name in backends
            for path in PATHS
        }
        for (name, path), task in tasks.items():
            progress.start_task(task)

            def advance(loss: float, task: object = task) -> None:
                progress.update(task, advance=1, loss=f"loss {loss:.4f}")  # type: ignore[arg-type]

            runs.append(train(name, path, digits, epochs, advance))  # type: ignore[arg-type]
            progress.stop_task(task)
    return runs
