"""``unified run``: an unmodified script under a backend flag."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from types import TracebackType
from typing import Annotated

import typer

from unified._device import device as device_named
from unified._device import set_default_device
from unified._selection import ENVIRONMENT, current_backend, set_backend
from unified.errors import DeviceError


def run(
    script: Annotated[
        Path, typer.Argument(metavar="SCRIPT", exists=True, dir_okay=False, help="The script, unmodified.")
    ],
    args: Annotated[
        list[str] | None, typer.Argument(help="The script's own arguments; put -- before them if they collide.")
    ] = None,
    backend: Annotated[str | None, typer.Option(help="torch, jax, tensorflow, or another registered one.")] = None,
    device: Annotated[str | None, typer.Option(help="Where new tensors go: cpu, gpu, gpu:1, tpu:0.")] = None,
) -> None:
    """Run SCRIPT as Python would, on the backend and device that the flags name."""
    if backend is not None:
        select_backend(backend)
    if device is not None:
        select_device(device)
    execute(script, args or [])


def select_backend(name: str) -> None:
    """Makes ``name`` the backend of this process and of those it starts.

    Raises:
        UnknownBackendError, MissingBackendError: before anything of the script has run.
    """
    set_backend(name)
    os.environ[ENVIRONMENT] = name


def select_device(name: str) -> None:
    """Places new tensors on ``name``; raises DeviceError where the backend has no such device."""
    place = device_named(name)
    backend = current_backend()
    if place not in backend.devices():
        listed = ", ".join(repr(str(d)) for d in backend.devices())
        raise DeviceError(f"device {str(place)!r} is not here; the {backend.name} backend has {listed}")
    set_default_device(place)


def execute(script: Path, args: list[str]) -> None:
    """Runs ``script`` as ``__main__``. What it raises is reported as Python would, without our own frames."""
    sys.argv = [str(script), *args]
    sys.path[0] = str(script.resolve().parent)
    try:
        runpy.run_path(str(script), run_name="__main__")
    except Exception as error:
        error.__traceback__ = _from_script(error.__traceback__, str(script))
        sys.excepthook(type(error), error, error.__traceback__)
        raise typer.Exit(1) from None


def _from_script(trace: TracebackType | None, script: str) -> TracebackType | None:
    """The traceback from the script's first frame on; all of it where the script never began (a syntax error)."""
    frame = trace
    while frame is not None and frame.tb_frame.f_code.co_filename != script:
        frame = frame.tb_next
    return frame if frame is not None else trace
