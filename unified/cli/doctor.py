"""``unified doctor``: what is installed here, and whether each backend can do one step of arithmetic."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from unified import _selection
from unified._dispatch import wrap
from unified._dtype import float32
from unified.backends import registry
from unified.backends.protocol import Backend
from unified.errors import MissingBackendError

_TOLERANCE = 1e-4  # accelerators multiply float32 matrices with fewer mantissa bits than a CPU


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False) -> None:
    """Show versions, backends, devices and compilers, and try one op on each; exit code 1 if one fails."""
    report = examine()
    if as_json:
        typer.echo(json.dumps(report, indent=2))
    else:
        _print(report)
    if any(entry["status"] == "broken" for entry in report["backends"].values()):
        raise typer.Exit(1)


def examine() -> dict[str, Any]:
    """The report as plain data: ``python``, ``platform``, ``versions`` and one entry per registered backend.

    A backend's ``status`` is ``"ok"``, ``"missing"`` (its framework is not installed) or ``"broken"``; ``detail``
    says why in the latter two cases.
    """
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "versions": {
            "unified": importlib.metadata.version("unified-nn"),
            "numpy": np.__version__,
        },
        "backends": {name: _examine(name) for name in registry.registered()},
    }


def _examine(name: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"status": "missing", "detail": None, "versions": {}, "devices": [], "compilers": {}}
    entry["detail"] = registry.why_missing(name)
    if entry["detail"] is not None:
        return entry
    try:
        backend = registry.load(name)
        entry["versions"] = dict(backend.versions())
        entry["devices"] = [str(place) for place in backend.devices()]
        entry["compilers"] = dict(backend.compilers())
        smoke_test(backend)
    except MissingBackendError as error:
        entry.update(status="missing", detail=str(error))
    except Exception as error:  # whatever a framework may raise: to report it is this command's purpose
        entry.update(status="broken", detail=f"{type(error).__name__}: {error}")
    else:
        entry["status"] = "ok"
    return entry


def smoke_test(backend: Backend) -> None:
    """One matrix product and its gradient against numpy.

    Raises:
        ArithmeticError: a value is off by more than the tolerance.
    """
    a = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    b = np.linspace(1, -2, 8, dtype=np.float32).reshape(4, 2)
    with _selection.backend(backend.name):
        x, y = (wrap(backend.from_numpy(values, float32, None)) for values in (a, b))
        x.requires_grad_()
        product = x @ y
        product.backward(wrap(backend.from_numpy(np.ones((3, 2), np.float32), float32, None)))
        compare("matmul", product.detach().numpy(), a @ b)
        assert x.grad is not None
        compare("the gradient of matmul", x.grad.numpy(), np.ones((3, 2), np.float32) @ b.T)


def compare(what: str, got: Any, expected: Any) -> None:
    """Raises ArithmeticError where ``got`` is off by more than the tolerance, or is no number."""
    error = float(np.abs(got - expected).max())
    if not error <= _TOLERANCE:
        raise ArithmeticError(f"{what} differs from numpy by {error:.1e}")


def _print(report: dict[str, Any]) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    console = Console()
    console.print(f"python {report['python']} on {report['platform']}; {versions}", highlight=False)
    table = Table("backend", "status", "versions", "devices", "compilers")
    styles = {"ok": "green", "missing": "yellow", "broken": "red"}
    for name, entry in report["backends"].items():
        status = entry["status"]
        table.add_row(
            name,
            f"[{styles[status]}]{status}[/]",
            ", ".join(f"{n} {v}" for n, v in entry["versions"].items()),
            ", ".join(entry["devices"]),
            ", ".join(f"{n}: {v}" for n, v in entry["compilers"].items()),
        )
    console.print(table)
    for name, entry in report["backends"].items():
        if entry["detail"]:
            console.print(f"{name}: {entry['detail']}", highlight=False, markup=False)
