"""Backends are chosen by name, found through entry points, and loaded when first used."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import unified as un

_TOY = Path(__file__).parent / "toy_backend"


def _python(code: str, *paths: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs ``code`` in a new interpreter that sees ``paths`` as if their packages were installed."""
    settings = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    return subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True, timeout=120)


def _install(site: Path, distribution: str, entry_points: str) -> None:
    """Writes what an installer would leave behind for entry points to be found."""
    metadata = site / f"{distribution}-0.1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text(f"[unified.backends]\n{entry_points}\n")


def test_a_fourth_backend_registers_through_an_entry_point(tmp_path: Path) -> None:
    _install(tmp_path, "unified_toy_backend", "toy = toy_backend:BACKEND")
    code = """
import sys
import numpy as np
import unified as un

assert un.available_backends()[-1] == "toy", un.available_backends()
un.set_backend("toy")
x = un.from_native(np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)).requires_grad_()
y = un.from_native(np.array([[1.0, 1.0], [0.0, 2.0]], np.float32))
product = x @ y * y
product.backward(un.from_native(np.ones((2, 2), np.float32)))
print(un.get_backend(), x.backend, product.tolist(), x.grad.tolist(), (y + 1).tolist())
try:
    y.exp()
except un.errors.UnsupportedOpError as error:
    print(error)
assert not {"torch", "jax", "tensorflow"} & sys.modules.keys()
"""
    done = _python(code, tmp_path, _TOY)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "toy toy [[1.0, 5.0], [0.0, 22.0]] [[2.0, 2.0], [2.0, 4.0]] [[2.0, 2.0], [1.0, 3.0]]"
    assert lines[1].startswith("exp: exp has no native") or lines[1].startswith("exp: has no native")


def test_an_unknown_backend_is_refused_and_nothing_changes() -> None:
    before = un.get_backend()
    for attempt in (un.set_backend, un.backend):
        with pytest.raises(un.errors.UnknownBackendError, match="unknown backend 'theano'; registered backends are"):
            attempt("theano")
    assert un.get_backend() == before


def test_a_missing_framework_names_the_extra(tmp_path: Path) -> None:
    _install(tmp_path, "unified_absent", "absent = absent_backend:BACKEND")
    (tmp_path / "absent_backend.py").write_text("import a_framework_that_nobody_has\n")
    code = """
import unified as un
try:
    un.set_backend("absent")
except un.errors.MissingBackendError as error:
    assert isinstance(error, ImportError)
    print(error)
"""
    done = _python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "pip install 'unified-nn[absent]'" in done.stdout
    assert "a_framework_that_nobody_has" in done.stdout


def test_a_backend_that_lacks_part_of_the_protocol_is_refused(tmp_path: Path) -> None:
    _install(tmp_path, "unified_half", "half = half_backend:BACKEND")
    (tmp_path / "half_backend.py").write_text("class Half:\n    name = 'half'\n\n\nBACKEND = Half()\n")
    code = "import unified as un\ntry: un.set_backend('half')\nexcept un.errors.BackendError as error: print(error)"
    done = _python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "half_backend:BACKEND does not satisfy the Backend protocol: it lacks" in done.stdout
    assert "'implement'" in done.stdout


def test_the_environment_names_the_default(backend: str) -> None:
    code = "import unified as un; print(un.get_backend())"
    assert _python(code, UNIFIED_BACKEND=backend).stdout.split() == [backend]


def test_a_wrong_name_in_the_environment_is_an_error_at_first_use() -> None:
    done = _python("import unified as un; print('imported'); un.get_backend()", UNIFIED_BACKEND="theano")
    assert done.stdout.split() == ["imported"]
    assert "unknown backend 'theano'" in done.stderr


def test_scopes_nest_and_end(backend: str) -> None:
    outer = un.get_backend()
    for inner in un.available_backends():
        with un.backend(inner) as name:
            assert name == un.get_backend() == inner
            with un.backend(backend):
                assert un.get_backend() == backend
            assert un.get_backend() == inner
    with pytest.raises(KeyError), un.backend(un.available_backends()[-1]):
        raise KeyError
    assert un.get_backend() == outer


def test_set_backend_is_for_the_process_and_a_scope_for_its_thread() -> None:
    code = """
import threading
import unified as un

un.set_backend("jax")
seen = []
with un.backend("torch"):
    thread = threading.Thread(target=lambda: seen.append(un.get_backend()))
    thread.start()
    thread.join()
    seen.append(un.get_backend())
seen.append(un.get_backend())
print(*seen)
"""
    assert _python(code).stdout.split() == ["jax", "torch", "jax"]


def test_threads_compute_on_their_own_backends_at_once() -> None:
    results: dict[str, list[float]] = {}
    barrier = threading.Barrier(len(un.available_backends()))

    def work(name: str) -> None:
        with un.backend(name):
            barrier.wait(timeout=60)
            x = un.tensor([1.0, 2.0])
            for _ in range(50):
                x = x + un.tensor([1.0, 1.0])
            assert x.backend == name
            results[name] = x.tolist()

    threads = [threading.Thread(target=work, args=(name,)) for name in un.available_backends()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert results == {name: [51.0, 52.0] for name in un.available_backends()}


def test_two_backends_in_one_op_is_an_error_that_names_both() -> None:
    with un.backend("torch"):
        x = un.tensor([1.0, 2.0])
    with un.backend("jax"):
        y = un.tensor([1.0, 2.0])
    with pytest.raises(un.errors.BackendMismatchError, match="torch and jax; move one with"):
        x + y
    assert np.array_equal((x + y.to(backend="torch")).numpy(), [2.0, 4.0])
