"""Initial values: PyTorch's bounds and deviations, the same values on every backend."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import unified as un
from unified import errors
from unified.nn import init

BACKENDS = ("torch", "jax", "tensorflow")
FILLS = {
    "uniform_": lambda w: init.uniform_(w, -0.3, 0.5),
    "normal_": lambda w: init.normal_(w, 0.1, 0.02),
    "constant_": lambda w: init.constant_(w, 0.3),
    "ones_": init.ones_,
    "zeros_": init.zeros_,
    "trunc_normal_": lambda w: init.trunc_normal_(w, 0.5, 2.0, -1.0, 3.0),
    "xavier_uniform_": lambda w: init.xavier_uniform_(w, 1.5),
    "xavier_normal_": init.xavier_normal_,
    "kaiming_uniform_": lambda w: init.kaiming_uniform_(w, a=math.sqrt(5)),
    "kaiming_normal_": lambda w: init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu"),
    "orthogonal_": init.orthogonal_,
}
THEIRS = {
    "uniform_": lambda w: torch.nn.init.uniform_(w, -0.3, 0.5),
    "normal_": lambda w: torch.nn.init.normal_(w, 0.1, 0.02),
    "constant_": lambda w: torch.nn.init.constant_(w, 0.3),
    "ones_": torch.nn.init.ones_,
    "zeros_": torch.nn.init.zeros_,
    "trunc_normal_": lambda w: torch.nn.init.trunc_normal_(w, 0.5, 2.0, -1.0, 3.0),
    "xavier_uniform_": lambda w: torch.nn.init.xavier_uniform_(w, 1.5),
    "xavier_normal_": torch.nn.init.xavier_normal_,
    "kaiming_uniform_": lambda w: torch.nn.init.kaiming_uniform_(w, a=math.sqrt(5)),
    "kaiming_normal_": lambda w: torch.nn.init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu"),
    "orthogonal_": torch.nn.init.orthogonal_,
}


@pytest.mark.parametrize("name", FILLS)
def test_distribution_is_pytorchs(backend, name):
    """Over 36,000 elements: moments within 5 standard errors of PyTorch's, extremes within 1 % of the spread."""
    un.manual_seed(3)
    torch.manual_seed(4)
    weight = un.rand(80, 50, 3, 3, requires_grad=True)
    assert FILLS[name](weight) is weight
    assert weight.requires_grad
    assert weight.is_leaf
    ours = weight.detach().numpy().astype(np.float64)
    theirs = THEIRS[name](torch.empty(80, 50, 3, 3)).numpy().astype(np.float64)
    spread = theirs.std()
    assert abs(ours.mean() - theirs.mean()) <= 5 * math.sqrt(2 / ours.size) * spread
    assert abs(ours.std() - spread) <= 5 * math.sqrt(2 / ours.size) * spread
    if name in ("uniform_", "trunc_normal_", "xavier_uniform_", "kaiming_uniform_"):
        assert abs(ours.min() - theirs.min()) <= 0.01 * spread
        assert abs(ours.max() - theirs.max()) <= 0.01 * spread


@pytest.mark.parametrize("name", FILLS)
def test_every_backend_starts_from_the_same_weights(name):
    found = []
    for backend in BACKENDS:
        with un.backend(backend):
            un.manual_seed(3)
            found.append(FILLS[name](un.rand(40, 30)).numpy())
    for values in found[1:]:
        if name == "trunc_normal_":  # the last scaling is float32 arithmetic, which a backend may contract
            np.testing.assert_allclose(values, found[0], rtol=1e-5, atol=1e-6)
        else:
            assert values.tobytes() == found[0].tobytes()


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 2, 3)])
def test_orthogonal_is_orthogonal(backend, shape):
    matrix = init.orthogonal_(un.rand(*shape), gain=2.0).numpy().reshape(shape[0], -1)
    gram = matrix @ matrix.T if shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-5)  # float32 rounding of the entries


def test_identities(backend):
    assert init.eye_(un.rand(2, 3)).tolist() == np.eye(2, 3).tolist()
    for groups in (1, 2):
        expected = torch.nn.init.dirac_(torch.empty(4, 2, 3, 3), groups)
        assert init.dirac_(un.rand(4, 2, 3, 3), groups).tolist() == expected.tolist()


def test_gains_are_pytorchs():
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name), rel=1e-15)
    assert init.calculate_gain("leaky_relu", 0.2) == torch.nn.init.calculate_gain("leaky_relu", 0.2)


def test_a_generator_of_ones_own_leaves_the_default_alone(backend):
    before = un.get_rng_state().tolist()
    weights = [init.kaiming_uniform_(un.zeros(4, 3), generator=un.Generator(5)).tolist() for _ in range(2)]
    assert weights[0] == weights[1]
    assert un.get_rng_state().tolist() == before


def test_refusals(backend):
    for call, kind in [
        (lambda: init.xavier_uniform_(un.rand(3)), errors.ShapeError),
        (lambda: init.eye_(un.rand(3)), errors.ShapeError),
        (lambda: init.dirac_(un.rand(3, 3)), errors.ShapeError),
        (lambda: init.kaiming_normal_(un.rand(3, 3), mode="fan"), errors.ArgumentError),
        (lambda: init.calculate_gain("gelu"), errors.ArgumentError),
        (lambda: init.trunc_normal_(un.rand(3), a=1.0, b=0.0), errors.ArgumentError),
    ]:
        with pytest.raises(kind):
            call()
