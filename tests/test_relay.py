"""One training run handed from PyTorch to JAX to TensorFlow: the loss curve is that of an uninterrupted one."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

_EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "relay.py"
_TOLERANCE = 1e-3
"""Relative, at every step: float32 noise of 1e-7 a step, which training amplifies."""


def _example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("relay", _EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_short_run_handed_on_has_the_curve_of_an_uninterrupted_one(tmp_path: Path) -> None:
    """Four steps a leg, and one reference: the long form has all."""
    relay = _example()
    losses: list[float] = []
    for leg, backend in enumerate(relay.BACKENDS, 1):
        part, average = relay.train(backend, tmp_path / "relay", 4 * leg, 12)
        losses += part
    alone, expected = relay.train("jax", tmp_path / "alone", 12, 12)
    assert len(losses) == len(alone) == 12
    assert relay.difference(losses, alone) <= _TOLERANCE
    assert average == pytest.approx(expected, rel=_TOLERANCE, abs=1e-5)


@pytest.mark.full
def test_three_hundred_steps_handed_on_have_the_curve_of_every_backend(tmp_path: Path) -> None:
    relay = _example()
    runs = relay.relay(300)
    losses, average = runs["relay"]
    assert len(losses) == 300
    assert losses[-1] < losses[0] / 5
    for backend in relay.BACKENDS:
        alone, expected = runs[backend]
        assert relay.difference(losses, alone) <= _TOLERANCE, backend
        assert np.abs(average - expected).max() <= 1e-4, backend
    relay.draw(runs, tmp_path / "relay.png")
    assert (tmp_path / "relay.png").read_bytes().startswith(b"\x89PNG")
