"""A built wheel, in an empty environment with one framework, away from the checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_STEP = """
import sys
import unified as un
import unified.nn.functional as F
from unified import nn, optim
from unified.models import MLP

assert "site-packages" in un.__file__, un.__file__
assert un.available_backends() == (sys.argv[1],), un.available_backends()
un.manual_seed(0)
model = MLP(4, (8,), 3)
optimizer = optim.AdamW(model.parameters(), lr=1e-2)
x, y = un.rand(16, 4), un.zeros(16, dtype=un.int32)

def step(x, y):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.detach()

first = step(x, y).item()
step = un.compile(step)
for _ in range(20):
    last = step(x, y).item()
assert last < first / 1.5, (first, last)
print(un.get_backend(), last)
"""


def _run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools would put into the wheel whatever an earlier build left in ``build/``."""
    folder = tmp_path_factory.mktemp("dist")
    ignored = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
    source = shutil.copytree(_ROOT, folder / "source", ignore=ignored)
    _run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, source, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("extra", ["jax", "torch", "tensorflow"])
def test_the_wheel_trains_with_one_framework_alone(wheel: Path, extra: str, tmp_path: Path) -> None:
    place = tmp_path / "environment"
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    constraints = _ROOT / "constraints.txt"
    _run(python, "-m", "pip", "install", "--quiet", "-c", constraints, f"{wheel}[{extra}]", cwd=tmp_path)
    script = tmp_path / "step.py"
    script.write_text(_STEP)
    assert _run(python, script, extra, cwd=tmp_path).split()[0] == extra
    shown = _run(place / "bin" / "unified", "doctor", cwd=tmp_path)
    assert shown.count("missing") == 2
