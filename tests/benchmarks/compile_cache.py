"""What a second process saves: the first call of the small GPT's training step, cold and from the cache.

``python -m tests.benchmarks.compile_cache [backend ...]`` starts fresh processes on an empty cache folder and on the
one that they left, alternately, and prints medians of the first call's seconds: trace, compile or load, and run.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 3
BATCH = 8
_STEPS = 2


def first_call(backend: str) -> float:
    """Seconds of the first call of a compiled training step in this process, until its loss is there."""
    import unified as un
    import unified.nn.functional as F
    from unified.models.gpt import GPT, GPTConfig

    un.set_backend(backend)
    un.manual_seed(0)
    config = GPTConfig.small()
    model = GPT(config)
    optimizer = un.optim.AdamW(model.parameters(), lr=1e-3)
    ids = un.zeros(BATCH, config.context, dtype=un.int32)

    @un.compile
    def step(ids: un.Tensor, targets: un.Tensor) -> un.Tensor:
        optimizer.zero_grad()
        loss: un.Tensor = F.cross_entropy(model(ids).reshape(-1, config.vocabulary), targets.reshape(-1))
        loss.backward()
        optimizer.step()
        return loss

    started = time.perf_counter()
    step(ids, ids).item()
    seconds = time.perf_counter() - started
    for _ in range(_STEPS):
        step(ids, ids).item()
    assert len(step.explain().programs) == 1, step.explain()
    return seconds


def in_a_new_process(backend: str, folder: Path) -> float:
    """The same in a process of its own that keeps its programs in ``folder``."""
    settings = {**os.environ, "UNIFIED_CACHE": "1", "UNIFIED_CACHE_DIR": str(folder)}
    settings.pop("TORCHINDUCTOR_CACHE_DIR", None)
    command = [sys.executable, "-m", "tests.benchmarks.compile_cache", "--one", backend]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return float(done.stdout.split()[-1])


def main() -> None:
    """Prints a row for each backend."""
    if sys.argv[1:2] == ["--one"]:
        print(first_call(sys.argv[2]))
        return
    print(f"{'backend':<12}{'cold s':>8}{'kept s':>8}{'ratio':>8}")
    for backend in sys.argv[1:] or ["torch", "jax", "tensorflow"]:
        cold, kept = [], []
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as folder:
                cold.append(in_a_new_process(backend, Path(folder)))
                kept.append(in_a_new_process(backend, Path(folder)))
        ratio = statistics.median(b / a for a, b in zip(cold, kept, strict=True))
        print(f"{backend:<12}{statistics.median(cold):>8.2f}{statistics.median(kept):>8.2f}{ratio:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
