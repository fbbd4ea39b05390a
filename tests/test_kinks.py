"""PyTorch's conventions at kinks, ties, poles and infinities: values and gradients, NaN for NaN, on every backend."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import unified as un
from tests.kinks import PROBES
from unified._dispatch import wrap
from unified._dtype import from_numpy_dtype
from unified.backends import registry


def to_unified(values: list) -> un.Tensor:
    array = np.asarray(values, np.float32)
    native = registry.load(un.get_backend()).from_numpy(array, from_numpy_dtype(array.dtype), None)
    return wrap(native).requires_grad_()


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")  # torch's, of the variance of one element
@pytest.mark.parametrize(("function", "values"), [probe[1:] for probe in PROBES], ids=[probe[0] for probe in PROBES])
def test_kink_is_torch_s(backend: str, function: Callable, values: list[list]) -> None:
    ours = [to_unified(value) for value in values]
    theirs = [torch.tensor(value, requires_grad=True) for value in values]
    found, expected = function(un, *ours), function(torch, *theirs)
    # Elementary functions are not correctly rounded: a few units in the last place. Infinities and NaN are exact.
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-6, atol=1e-7)
    found.sum().backward()
    expected.sum().backward()
    for x, t in zip(ours, theirs, strict=True):
        assert x.grad is not None
        np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=2e-6, atol=1e-7)


def test_there_are_enough_probes() -> None:
    assert len(PROBES) >= 100
    assert len({name for name, _, _ in PROBES}) == len(PROBES)
