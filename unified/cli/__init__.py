"""The ``unified`` command: run a script under a flag, train the demo, examine the installation."""

from __future__ import annotations

import importlib.metadata
import sys
from typing import Annotated

import typer

from unified.cli.cache import cache
from unified.cli.demo import demo
from unified.cli.doctor import doctor
from unified.cli.run import run
from unified.errors import UnifiedError

app = typer.Typer(
    name="unified",
    help="One Module/Tensor API on PyTorch, JAX and TensorFlow.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command(context_settings={"ignore_unknown_options": True})(run)
app.command()(demo)
app.command()(doctor)
app.command()(cache)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"unified {importlib.metadata.version('unified-nn')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Runs the command line; bad input ends it with one line on stderr and exit code 2."""
    try:
        app()
    except UnifiedError as error:
        print(f"unified: {error}", file=sys.stderr)
        raise SystemExit(2) from None
