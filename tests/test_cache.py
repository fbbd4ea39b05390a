"""The cache of compiled programs on disk, and memory: what a second process finds, and what a checkpoint saves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import unified as un
from unified import _cache, errors, nn

_ROOT = Path(__file__).parents[1]

_SCRIPT = """
import sys
import numpy as np
import unified as un
from unified import nn
un.set_backend(sys.argv[1])
un.manual_seed(0)
model = nn.Sequential(*(nn.Linear(16, 16) if i % 2 else nn.Tanh() for i in range(24)))
optimizer = un.optim.Adam(model.parameters(), lr=0.01)

def step(x):
    optimizer.zero_grad()
    loss = model(x).square().mean()
    loss.backward()
    optimizer.step()
    return loss

step = un.compile(step)
print([step(un.ones(4, 16)).item() for _ in range(3)])
if sys.argv[1] == "torch":
    from torch._dynamo.utils import counters
    print("kept {fxgraph_cache_miss}, found {fxgraph_cache_hit}".format_map(counters["inductor"]))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("UNIFIED_CACHE", "1")
    monkeypatch.setenv("UNIFIED_CACHE_DIR", str(tmp_path / "kept"))
    return tmp_path / "kept"


def _run(argument: str, script: str = _SCRIPT, **environment: str) -> str:
    settings = {
        k: v for k, v in os.environ.items() if k not in ("TORCHINDUCTOR_CACHE_DIR", "JAX_COMPILATION_CACHE_DIR")
    }
    command = [sys.executable, "-c", script, argument]
    done = subprocess.run(
        command, env={**settings, **environment}, cwd=_ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _files(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_a_second_process_on_jax_loads_what_the_first_compiled(folder):
    first = _run("jax")
    kept = _files(folder)
    assert len([name for name in kept if name.startswith("jax/")]) == 1
    assert oct(folder.stat().st_mode)[-3:] == "700"
    assert _run("jax") == first
    again = _files(folder)
    assert again.keys() == kept.keys()
    assert all(again[name] > kept[name] for name in kept), "reading an entry marks it as used"


def test_a_damaged_entry_is_compiled_again(folder):
    first = _run("jax")
    (entry,) = (folder / "jax").iterdir()
    size = entry.stat().st_size
    entry.write_bytes(entry.read_bytes()[: size // 2])
    assert _run("jax") == first
    assert entry.stat().st_size == size


def test_nothing_is_kept_when_it_is_switched_off_or_jax_keeps_its_own(folder, tmp_path):
    _run("jax", UNIFIED_CACHE="0")
    assert not folder.exists()
    _run("jax", JAX_COMPILATION_CACHE_DIR=str(tmp_path / "theirs"), JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0")
    assert not (folder / "jax").exists() or not list((folder / "jax").iterdir())
    assert list((tmp_path / "theirs").iterdir())


def test_our_cache_leaves_jaxs_configuration_alone(folder):
    import jax

    with un.backend("jax"):
        un.compile(lambda x: x + 1)(un.ones(2))
    assert jax.config.jax_compilation_cache_dir is None


@pytest.mark.full
def test_a_second_process_on_torch_loads_inductors_graph(folder):
    losses, found = _run("torch").splitlines()
    assert found == "kept 1, found 0"
    assert _run("torch").splitlines() == [losses, "kept 0, found 1"]


@pytest.mark.full
def test_a_constant_is_part_of_what_is_kept_on_torch(folder):
    """The graphs of two processes differ in the value of a constant alone."""
    script = """
import sys
import unified as un
un.set_backend("torch")
values = [float(sys.argv[1])] * 300
print(un.compile(lambda x: (x * un.tensor(values)).sum())(un.ones(300)).item())
"""
    assert [_run(factor, script=script) for factor in ("2", "3", "2")] == ["600.0\n", "900.0\n", "600.0\n"]


def test_entries_are_whole_and_the_oldest_go_first(folder, monkeypatch):
    monkeypatch.setattr(_cache, "_MOST_BYTES", 250)
    for name in "abc":
        _cache.write("jax", name, name.encode() * 100)
        os.utime(folder / "jax" / name, (1_000, 1_000 + ord(name)))
    assert _cache.read("jax", "a") is None
    assert _cache.read("jax", "b") == b"b" * 100
    _cache.write("jax", "d", b"d" * 100)
    assert _cache.read("jax", "c") is None
    assert [part[:2] for part in _cache.usage()] == [("jax", 2)]
    _cache.drop("jax", "b")
    assert _cache.read("jax", "b") is None
    assert _cache.clear() == 100
    assert _cache.usage() == []


def test_the_folder_follows_the_platforms_custom(monkeypatch, tmp_path):
    monkeypatch.delenv("UNIFIED_CACHE_DIR", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert _cache.root() == tmp_path / "unified"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _cache.root() == tmp_path / ".cache" / "unified"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert _cache.root() == tmp_path / "Library" / "Caches" / "unified"


def test_a_folder_that_cannot_be_made_is_no_error(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNIFIED_CACHE", "1")
    monkeypatch.setenv("UNIFIED_CACHE_DIR", str(tmp_path / "file"))
    _cache.write("jax", "key", b"data")
    assert _cache.read("jax", "key") is None


def test_the_command_shows_and_clears(folder):
    _cache.write("jax", "a", b"a" * 1500)

    def unified(*arguments: str) -> str:
        command = [str(Path(sys.executable).with_name("unified")), "cache", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert unified().splitlines() == [f"{folder}: on", "  jax: 1 entries, 1.5 kB", "  total: 1 entries, 1.5 kB"]
    assert unified("--clear") == f"{folder}: forgot 1.5 kB\n"
    assert unified().splitlines() == [f"{folder}: on", "  total: 0 entries, 0 B"]


# ---- memory ----------------------------------------------------------------------------------------------------

LAYERS, ROWS, WIDTH = 8, 512, 32


def test_checkpoint_lowers_the_peak_of_a_compiled_step(backend):
    """XLA would merge the second run with the first; what is kept is the regions' inputs in place of all values."""
    blocks = [
        nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.Tanh(), nn.Linear(4 * WIDTH, WIDTH), nn.Tanh())
        for _ in range(LAYERS)
    ]

    def step(x, remember):
        for block in blocks:
            x = block(x) if remember else un.checkpoint(block, x)
        (x * x).mean().backward()
        return [p.grad for block in blocks for p in block.parameters()]

    step = un.compile(step)
    found = {}
    for remember in (True, False):
        compiled = step.lower(un.TensorSpec((ROWS, WIDTH)), remember).compile()
        found[remember] = compiled.memory_analysis(), compiled.cost_analysis()
    (plain, plain_cost), (less, more_cost) = found[True], found[False]
    # a block keeps 5 times its input where a checkpoint keeps the input; the gradients take their room from both
    assert less["temporary"] <= 0.5 * plain["temporary"]
    assert less["peak"] < plain["peak"]
    forward = 2 * ROWS * 8 * WIDTH * WIDTH * LAYERS
    assert more_cost["flops"] - plain_cost["flops"] >= 0.9 * forward


def test_checkpoint_computes_the_same_compiled(backend):
    un.manual_seed(0)
    block = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 8))
    x = un.randn(4, 8)

    def step(x, remember):
        for p in block.parameters():
            p.grad = None
        out = block(x) if remember else un.checkpoint(block, x)
        (out * out).sum().backward()
        return [p.grad for p in block.parameters()]

    results = []
    for run, remember in ((step, True), (un.compile(step), False)):
        un.manual_seed(1)
        results.append([g.numpy().copy() for g in run(x, remember)] + [un.default_generator().state.numpy().copy()])
    for a, b in zip(*results, strict=True):
        # float32 sums in another order
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_checkpoint_around_a_compiled_module(backend):
    """Its second run is the same program, and draws and counts once."""
    found = []
    for way in (lambda module: module, un.compile):
        un.manual_seed(0)
        block = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.BatchNorm1d(4, eps=0.1))
        x = un.tensor(np.arange(12, dtype=np.float32).reshape(3, 4) / 12, requires_grad=True)
        un.checkpoint(way(block), x).pow(3).sum().backward()
        tensors = [x.grad, *(p.grad for p in block.parameters()), *block.buffers(), un.default_generator().state]
        found.append([tensor.numpy().copy() for tensor in tensors])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)  # float32 sums in another order


def test_a_tpus_program_has_xlas_own_barrier():
    with un.backend("jax"):
        layer = nn.Linear(4, 4)

        def step(x):
            un.checkpoint(layer, x).square().sum().backward()

        lowered = un.compile(step).lower(un.TensorSpec((2, 4)), platform="tpu")
        assert "optimization_barrier" in lowered.as_text()


def test_memory_of_the_cpu(backend):
    before = un.memory_stats("cpu")
    assert 1e7 < before["in use"] <= before["peak"]
    held = un.ones(4_000_000) * 2
    assert un.memory_stats()["in use"] >= before["in use"]
    assert held.numel() == 4_000_000
    un.empty_cache()
    un.set_memory_growth(True)
    un.set_memory_growth(True, "cpu")
    with pytest.raises(errors.DeviceError, match="as it is"):
        un.set_memory_growth(False, "cpu")
    with pytest.raises(errors.DeviceError, match="is not here"):
        un.memory_stats("gpu:7")
