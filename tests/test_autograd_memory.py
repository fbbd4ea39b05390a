"""What the tape still holds as backward goes, in bytes: JAX is the backend that can list its live arrays."""

from __future__ import annotations

import gc

import jax
import numpy as np
import pytest

import unified as un
from unified._dispatch import Op

LAYERS, BATCH, WIDTH = 20, 1024, 16


def live_bytes() -> int:
    return sum(array.nbytes for array in jax.live_arrays())


def test_residuals_are_released_as_backward_proceeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sampled before each pull. The peak may exceed what forward saved by a tenth, the project's own bound."""
    samples: list[int] = []
    original = Op.pullback

    def pullback(op: Op, mask: tuple[tuple[int, int], ...]) -> Op:
        samples.append(live_bytes())
        return original(op, mask)

    with un.backend("jax"):
        rng = np.random.default_rng(0)
        weights = [un.tensor(rng.normal(0, 0.2, (WIDTH, WIDTH))).requires_grad_() for _ in range(LAYERS)]
        hidden = un.ones(BATCH, WIDTH)
        gc.collect()
        before = live_bytes()
        for weight in weights:
            hidden = un.tanh(hidden @ weight)
        loss = hidden.sum()
        del hidden
        saved = live_bytes() - before
        monkeypatch.setattr(Op, "pullback", pullback)
        loss.backward()
    held = [sample - before for sample in samples]
    assert max(held) <= 1.1 * saved
    assert held[len(held) // 2] < 0.6 * saved
    assert held[-1] < 0.2 * saved
