"""The example programs print the same numbers on every backend, and under native torch itself.

The oracle is the same file with ``torch`` imported in the place of ``unified``: the names are PyTorch's. Tolerance
1e-4 relative: a few float32 training steps, each of which carries the rounding of the last one on.
"""

from __future__ import annotations

import functools
import types
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
NAMES = ["hessian_vector_product", "maml", "wgan_gp", "pinn", "deq"]


def load(name: str, native: bool = False) -> types.ModuleType:
    source = (EXAMPLES / f"{name}.py").read_text()
    if native:
        source = source.replace("import unified as un", "import torch as un")
        source = source.replace("import unified.nn", "import torch.nn").replace("from unified ", "from torch ")
        assert "import unified" not in source
        assert "from unified" not in source
    module = types.ModuleType(name)
    exec(compile(source, name, "exec"), module.__dict__)
    return module


@functools.cache
def reference(name: str) -> list[float]:
    figures: list[float] = load(name, native=True).experiment()
    return figures


@pytest.mark.parametrize("name", NAMES)
def test_an_example_gives_the_numbers_of_native_torch(name: str, backend: str) -> None:
    figures = load(name).run(backend)
    assert np.isfinite(figures).all()
    np.testing.assert_allclose(figures, reference(name), rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_fits_on_a_page(name: str) -> None:
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) <= 80
