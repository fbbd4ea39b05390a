"""The house: what lies where, who may import whom, and that importing it costs nothing."""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

import unified as un

_ROOT = Path(__file__).parents[1]
_FRAMEWORKS = {"torch", "jax", "jaxlib", "flax", "optax", "tensorflow", "keras"}
_TOP_LEVEL = {
    "unified", "backends", "models", "tests", "docs",
    "pyproject.toml", "README.md", "LICENSE", "Makefile", "constraints.txt", ".gitignore", ".ci",
}  # fmt: skip
_UNSAYABLE = {"utils.py", "helpers.py", "misc.py", "common.py"}
_LINES = 500
_SECONDS = 0.2


def _sources(*folders: str) -> list[Path]:
    found = sorted(itertools.chain.from_iterable((_ROOT / folder).rglob("*.py") for folder in folders))
    assert found, f"no sources under {folders}: the test looks in the wrong place"
    return found


def _name(path: Path) -> str:
    return str(path.relative_to(_ROOT))


def _imported(path: Path) -> set[str]:
    """Full names of the modules that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_unified_loads_no_framework() -> None:
    loaded = set(_run("import sys, unified; print(*{name.split('.')[0] for name in sys.modules})").split())
    assert "unified" in loaded
    assert not loaded & (_FRAMEWORKS | {"typer", "rich", "sklearn", "matplotlib"})


def test_help_loads_no_framework() -> None:
    code = "import sys, unified.cli; print(*{name.split('.')[0] for name in sys.modules})"
    assert not set(_run(code).split()) & (_FRAMEWORKS | {"sklearn", "matplotlib"})


@pytest.mark.full  # a wall-clock figure: on a busy machine it says what the neighbours do
def test_importing_unified_is_quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best of several runs, as the others measure the machine's other work; bytecode is cached, as installed."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path))
    code = "import time; start = time.perf_counter(); import unified; print(time.perf_counter() - start)"
    best = min(float(_run(code)) for _ in range(7))
    assert best <= _SECONDS, f"import unified takes {best:.3f} s"


@pytest.mark.parametrize("path", _sources("unified", "models"), ids=_name)
def test_the_front_end_imports_no_framework(path: Path) -> None:
    assert not {name.split(".")[0] for name in _imported(path)} & _FRAMEWORKS


@pytest.mark.parametrize("path", _sources("unified", "models"), ids=_name)
def test_the_front_end_never_asks_which_backend_it_is_on(path: Path) -> None:
    """Comparing with a backend's name is how a front end starts to branch; the demo's reference is the exception."""
    compared = {
        constant.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare)
        for constant in ast.walk(node)
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    }
    if _name(path) != "unified/cli/report.py":
        assert not compared & {"torch", "jax", "tensorflow"}


@pytest.mark.parametrize("framework", ["torch", "jax", "tensorflow"])
def test_a_backend_imports_its_own_framework_and_the_contract(framework: str) -> None:
    own = {"jax": {"jax", "jaxlib", "flax", "optax"}}.get(framework, {framework})
    for path in _sources(f"backends/{framework}"):
        imported = _imported(path)
        assert not {name.split(".")[0] for name in imported} & (_FRAMEWORKS - own), _name(path)
        ours = {name for name in imported if name.split(".")[0] == "unified"}
        allowed = ("unified.backends.protocol", f"unified.backends.{framework}")
        assert all(name.startswith(allowed) for name in ours), f"{_name(path)} imports {sorted(ours)}"


def test_backends_have_the_same_files() -> None:
    names = {
        folder: {path.name for path in (_ROOT / "backends" / folder).glob("*.py")}
        for folder in ("torch", "jax", "tensorflow")
    }
    assert names["torch"] == names["jax"] == names["tensorflow"]


def test_models_import_unified_alone() -> None:
    for path in _sources("models"):
        roots = {name.split(".")[0] for name in _imported(path)}
        assert roots - {"unified"} <= set(sys.stdlib_module_names), _name(path)


def test_the_top_level_is_exactly_as_designed() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=_ROOT, capture_output=True, text=True
    )
    assert listed.returncode == 0, listed.stderr
    assert {line.split("/")[0] for line in listed.stdout.splitlines()} == _TOP_LEVEL


@pytest.mark.parametrize("path", _sources("unified", "backends", "models", "tests", "docs"), ids=_name)
def test_a_file_has_one_subject_and_fits_a_reader(path: Path) -> None:
    assert path.name not in _UNSAYABLE
    lines = len(path.read_text().splitlines())
    assert lines <= _LINES * 1.1, f"{lines} lines: about {_LINES} is the limit"


def test_packages_of_the_wheel_are_the_packages_of_the_tree() -> None:
    """The list in pyproject.toml is written by hand; a folder that it forgets would miss from every wheel."""
    declared = re.search(r"^packages = \[(.*?)\]", (_ROOT / "pyproject.toml").read_text(), re.S | re.M)
    assert declared is not None
    folders = {path.parent.relative_to(_ROOT) for path in _sources("unified", "backends", "models")}
    dotted = {".".join(folder.parts) for folder in folders}
    expected = {name if name.split(".")[0] == "unified" else f"unified.{name}" for name in dotted}
    assert set(re.findall(r'"([\w.]+)"', declared[1])) == expected


def test_every_dependency_is_pinned_and_none_by_address() -> None:
    lines = [line for line in (_ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.]+", line) for line in lines)
    pinned = dict(line.split("==") for line in lines)
    asked = {"torch": "2.13.0", "jax": "0.10.2", "jaxlib": "0.10.2", "tensorflow": "2.21.0", "flax": "0.12.8"}
    assert asked.items() <= pinned.items()


def test_every_public_name_is_documented() -> None:
    public = [name for name in dir(un) if not name.startswith("_") and callable(getattr(un, name))]
    assert public
    assert not [name for name in public if not (getattr(un, name).__doc__ or "").strip()]
