"""The same parameters here and in torch, for tests of what trains them."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import torch

import unified as un
from unified._dispatch import wrap
from unified._selection import current_backend

SHAPES = [(7, 5), (7,), (3, 7), (3,), ()]
TOLERANCE = 1e-5
"""Relative: float32 rounding over 20 steps, and a learning rate that is a float32 Tensor, a double in torch.
What lies near 0 among larger values is rounded as those are: a tenth of the tolerance of the largest, absolute."""

_DTYPES = {
    np.dtype(dtype): getattr(un, dtype)
    for dtype in ("float32", "float64", "complex64", "complex128", "int32", "int64")
}


def ours(array):
    array = np.asarray(array)
    return wrap(current_backend().from_numpy(array, _DTYPES[array.dtype], None))


def close(found, expected):
    """``found``, ours, against ``expected``, torch's, within the tolerance."""
    expected = np.asarray(expected.detach()) if isinstance(expected, torch.Tensor) else np.asarray(expected)
    found = found.detach().numpy() if isinstance(found, un.Tensor) else np.asarray(found)
    largest = max(1e-12, float(np.abs(expected).max(initial=0.0)))
    np.testing.assert_allclose(found, expected, TOLERANCE, largest * TOLERANCE / 10)


class Twins:
    """``feed`` gives both the same gradients."""

    def __init__(self, shapes=SHAPES, seed=0, dtype=np.float32):
        self.random, self.dtype = np.random.default_rng(seed), np.dtype(dtype)
        values = [self.draw(shape) for shape in shapes]
        self.ours = [ours(value).requires_grad_() for value in values]
        self.theirs = [torch.tensor(value, requires_grad=True) for value in values]

    def draw(self, shape):
        values = self.random.standard_normal(shape)
        if self.dtype.kind == "c":
            values = values + 1j * self.random.standard_normal(shape)
        return np.asarray(values).astype(self.dtype)

    def gradients(self):
        return [self.draw(tuple(their.shape)) for their in self.theirs]

    def feed(self, skipped=()):
        for index, value in enumerate(self.gradients()):
            absent = index in skipped
            self.ours[index].grad = None if absent else ours(value)
            self.theirs[index].grad = None if absent else torch.tensor(value)

    def compare(self):
        for our, their in zip(self.ours, self.theirs, strict=True):
            close(our, their)


def compare_state(optimizer, reference):
    """Every Tensor and number of torch's state against ours."""
    found = optimizer.state_dict()["state"]
    for index, state in reference.state_dict()["state"].items():
        for key, value in state.items():
            if value is not None:
                close(found[index][key], value)


def to_torch(value):
    """A state dict of ours as torch takes it."""
    if isinstance(value, dict):
        return {key: to_torch(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([to_torch(member) for member in value])
    return torch.tensor(value.numpy()) if isinstance(value, un.Tensor) else value


_MODELS = Path(__file__).parents[1] / "models"


def in_torch(name: str) -> types.ModuleType:
    """``models/<name>.py`` as a user of PyTorch would have it: the same text, with ``torch`` read for ``unified``."""
    source = (_MODELS / f"{name}.py").read_text().replace("unified", "torch")
    module = types.ModuleType(f"torch_{name}")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    exec(compile(source, name, "exec"), module.__dict__)
    return module
