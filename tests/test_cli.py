"""The ``unified`` command, as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from unified.cli import report
from unified.cli.doctor import compare
from unified.cli.training import Run

_ROOT = Path(__file__).parents[1]
_SCRIPT = """
import os, sys
import unified as un
print(__name__, sys.argv[1:], sys.path[0] == os.path.dirname(os.path.abspath(__file__)))
print(un.get_backend(), un.tensor([1.0]).device, os.environ.get("UNIFIED_BACKEND"))
"""


def _unified(*arguments: str | Path, cwd: Path = _ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("unified")), *map(str, arguments)]
    settings = {**os.environ, "COLUMNS": "160", **environment}
    return subprocess.run(command, env=settings, cwd=cwd, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(_SCRIPT)
    return path


def test_version() -> None:
    assert _unified("--version").stdout.split() == ["unified", "0.1.0"]


def test_help_lists_the_commands() -> None:
    shown = _unified("--help")
    assert shown.returncode == 0
    assert {"run", "demo", "doctor"} <= set(shown.stdout.split())


def test_run_executes_an_unmodified_script_on_the_backend(script: Path, backend: str) -> None:
    done = _unified("run", script, "--backend", backend, "--device", "cpu", "--epochs", "3", "data")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["__main__ ['--epochs', '3', 'data'] True", f"{backend} cpu {backend}"]


def test_run_hands_what_follows_two_dashes_to_the_script(script: Path) -> None:
    done = _unified("run", script, "--backend", "jax", "--", "--backend", "mine", "--help")
    assert done.stdout.splitlines()[0] == "__main__ ['--backend', 'mine', '--help'] True"
    assert done.stdout.splitlines()[1].startswith("jax")


def test_run_without_a_flag_leaves_the_choice_to_the_environment(script: Path) -> None:
    done = _unified("run", script, UNIFIED_BACKEND="jax")
    assert done.stdout.splitlines()[1] == "jax cpu jax"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--backend", "theano"), "unified: unknown backend 'theano'; registered backends are 'torch', 'jax'"),
        (("--device", "abacus"), "unified: cannot read 'abacus' as a device"),
        (("--backend", "torch", "--device", "tpu:7"), "unified: device 'tpu:7' is not here; the torch backend has"),
    ],
)
def test_run_refuses_bad_flags_before_the_script_starts(script: Path, flags: tuple[str, ...], message: str) -> None:
    done = _unified("run", script, *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)
    assert len(done.stderr.splitlines()) == 1


def test_run_refuses_a_script_that_is_not_there(tmp_path: Path) -> None:
    done = _unified("run", tmp_path / "absent.py")
    assert done.returncode == 2
    assert "does not exist" in done.stderr


def test_run_reports_the_scripts_own_error_without_our_frames(tmp_path: Path) -> None:
    path = tmp_path / "fails.py"
    path.write_text("import unified as un\nun.ones(2) @ un.ones(3)\n")
    done = _unified("run", path, "--backend", "torch")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    own = lines.index(f'  File "{path}", line 2, in <module>')
    assert lines[own - 1] == "Traceback (most recent call last):"
    assert any(line.startswith("unified.errors.ShapeError: matmul") for line in lines[own:])
    assert "cli/run.py" not in done.stderr
    assert "runpy" not in done.stderr


def test_run_keeps_the_scripts_exit_code(tmp_path: Path) -> None:
    path = tmp_path / "leaves.py"
    path.write_text("raise SystemExit(7)\n")
    assert _unified("run", path).returncode == 7


def test_run_trains_the_readmes_script(backend: str) -> None:
    """The same losses everywhere, to the digits that it prints: 4 after 200 steps of a smooth problem."""
    done = _unified("run", _ROOT / "docs/examples/train.py", "--backend", backend)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == [backend] * 5
    losses = [float(row[-1]) for row in rows]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.1


def test_the_readme_shows_the_example_that_is_tested() -> None:
    """Line by line, but for what a typed and documented file has more of."""
    shown = (_ROOT / "README.md").read_text().split("```python\n")[1].split("```")[0]
    tested = {_bare(line) for line in (_ROOT / "docs/examples/train.py").read_text().splitlines()}
    assert [line for line in shown.splitlines()[1:] if _bare(line) not in tested] == []


def _bare(line: str) -> str:
    return line.split("#")[0].strip().replace(": un.Tensor", "").replace(" -> un.Tensor", "")


def test_doctor_finds_every_backend_well() -> None:
    done = _unified("doctor", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["versions"]["unified"] == "0.1.0"
    assert set(found["backends"]) == {"torch", "jax", "tensorflow"}
    for name, entry in found["backends"].items():
        assert (entry["status"], entry["detail"]) == ("ok", None)
        assert name in entry["versions"]
        assert "cpu" in entry["devices"]
        assert entry["compilers"]


def test_doctor_reports_a_broken_backend_and_fails(tmp_path: Path) -> None:
    """A backend whose package is there, but whose code is not a backend's, is broken; an absent one is missing."""
    metadata = tmp_path / "unified_broken-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: unified-broken\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[unified.backends]\nbroken = broken_backend:BACKEND\nabsent = absent_backend:BACKEND\n"
    )
    (tmp_path / "broken_backend.py").write_text("BACKEND = object()\n")
    done = _unified("doctor", "--json", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    entries = json.loads(done.stdout)["backends"]
    assert entries["torch"]["status"] == "ok"
    assert entries["broken"]["status"] == "broken"
    assert "does not satisfy the Backend protocol" in entries["broken"]["detail"]
    assert entries["absent"]["status"] == "missing"
    assert "pip install 'unified-nn[absent]'" in entries["absent"]["detail"]


def test_doctor_notices_wrong_arithmetic() -> None:
    with pytest.raises(ArithmeticError, match="matmul differs from numpy by 1"):
        compare("matmul", np.ones(2), np.zeros(2))
    with pytest.raises(ArithmeticError, match="by nan"):
        compare("matmul", np.full(2, np.nan), np.zeros(2))


def test_demo_refuses_an_unknown_backend() -> None:
    done = _unified("demo", "--backend", "theano")
    assert done.returncode == 2
    assert done.stderr.startswith("unified: unknown backend 'theano'")


def test_demo_trains_and_draws(tmp_path: Path) -> None:
    done = _unified("demo", "--backend", "jax", "--epochs", "6", "--output", tmp_path / "curves.png")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split()[:2] for line in done.stdout.splitlines() if "%" in line]
    assert rows == [["jax", "eager"], ["jax", "compiled"]]
    assert "parity and accuracy hold" in done.stdout
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def _made_up(**changes: object) -> Run:
    weights = {"weight": np.ones(3, np.float32)}
    facts: dict[str, object] = {
        "backend": "torch", "path": "eager", "initial": weights, "after_one_step": weights, "final": weights,
        "dropout_mask": np.ones(4, np.float32), "losses": [[2.0, 1.0], [0.5, 0.4]], "accuracy": 0.98,
        "seconds_per_epoch": 0.1, "compile_seconds": 1.0,
    }  # fmt: skip
    return Run(**{**facts, **changes})


_SHIFTED = {"weight": np.ones(3, np.float32) + np.float32(1e-5)}


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, None),
        ({"initial": _SHIFTED}, "initial weight is not bit-identical"),
        ({"dropout_mask": np.zeros(4, np.float32)}, "dropout mask is not bit-identical"),
        ({"after_one_step": _SHIFTED}, "after one step weights differ by 1.0e-05"),
        ({"after_one_step": {"weight": np.full(3, np.nan)}}, "after one step weights differ by inf"),
        ({"losses": [[2.0, 1.01], [0.5, 0.4]]}, "the first epoch's loss differs by 3.3e-03"),
        ({"losses": [[2.0, float("nan")]]}, "the first epoch's loss differs by nan"),
        ({"accuracy": 0.9699}, "test accuracy 96.99% is below 97%"),
        ({"final": _SHIFTED}, None),
    ],
)
def test_the_demo_fails_when_a_promise_is_broken(changes: dict[str, object], verdict: str | None) -> None:
    reference = _made_up()
    run = _made_up(backend="jax", **changes)
    found = report.failures([reference, run], reference)
    assert found == [] if verdict is None else (len(found) == 1 and verdict in found[0]), found


def test_the_demos_table_has_a_row_for_each_run() -> None:
    runs = [_made_up(backend="jax"), _made_up(), _made_up(path="compiled")]
    assert report.reference_of(runs) is runs[1]
    assert report.reference_of(runs[::2]) is runs[0]
    console = Console(width=80)
    with console.capture() as shown:
        console.print(report.table(runs, runs[1]))
    rows = [line.split() for line in shown.get().splitlines() if "%" in line]
    assert [row[:3] for row in rows] == [
        ["jax", "eager", "98.00%"], ["torch", "eager", "98.00%"], ["torch", "compiled", "98.00%"]
    ]  # fmt: skip
    assert "…" not in shown.get(), "the table fits a terminal of 80 columns"
