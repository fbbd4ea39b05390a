"""``nn.utils.parametrize`` and ``parametrizations`` against torch's on the same Modules.

Tolerance: 1e-5 as in test_nn_utils; 2e-5 for orthogonal matrices, out of a decomposition or an exponential.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch

import unified as un
from tests.test_nn_utils import close
from unified import errors, nn, optim

P = nn.utils.parametrize
Q = torch.nn.utils.parametrize


def both(base: type, name: str, **members: Callable) -> type:
    return type(name, (base,), members)


def pair(**members: Callable) -> tuple[nn.Module, torch.nn.Module]:
    """A parametrization here and in torch, with the same methods."""
    return both(nn.Module, "Ours", **members)(), both(torch.nn.Module, "Theirs", **members)()


SYMMETRIC = {"forward": lambda self, x: x.triu() + x.triu(1).mT, "right_inverse": lambda self, a: a.triu()}
DOUBLED = {"forward": lambda self, x: 2 * x, "right_inverse": lambda self, y: y / 2}
PRODUCT = {
    "forward": lambda self, a, b: a[:, None] * b[None, :],
    "right_inverse": lambda self, y: (y[:, 0].clone(), y[0, :].clone()),
}


def linear(n: int, m: int) -> tuple[nn.Module, torch.nn.Module]:
    theirs = torch.nn.Linear(n, m)
    ours = nn.Linear(n, m)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def register(ours: nn.Module, theirs: torch.nn.Module, name: str, members: dict, **options: bool) -> None:
    mine, other = pair(**members)
    assert P.register_parametrization(ours, name, mine, **options) is ours
    Q.register_parametrization(theirs, name, other, **options)


def same(ours: nn.Module, theirs: torch.nn.Module) -> None:
    state, expected = ours.state_dict(), theirs.state_dict()
    assert list(state) == list(expected)
    for key, value in expected.items():
        close(state[key], value, key)
    close(ours.weight, theirs.weight)


def train(ours: nn.Module, theirs: torch.nn.Module, width: int) -> None:
    array = np.random.default_rng(1).standard_normal((5, width)).astype(np.float32)
    for model, module, data in ((ours, optim, un.tensor(array)), (theirs, torch.optim, torch.tensor(array))):
        optimizer = module.SGD(model.parameters(), lr=0.1)
        model(data).square().sum().backward()
        optimizer.step()


def test_one_parametrization(backend: str) -> None:
    ours, theirs = linear(3, 3)
    held = ours.weight
    register(ours, theirs, "weight", SYMMETRIC)
    same(ours, theirs)
    assert ours.parametrizations.weight.original is held
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    assert repr(ours).replace("Ours", "Theirs") == repr(theirs)
    train(ours, theirs, 3)
    same(ours, theirs)
    array = np.arange(9, dtype=np.float32).reshape(3, 3)
    ours.weight, theirs.weight = un.tensor(array + array.T), torch.tensor(array + array.T)
    same(ours, theirs)
    assert P.is_parametrized(ours)
    assert P.is_parametrized(ours, "weight")
    assert not P.is_parametrized(ours, "bias")
    assert P.type_before_parametrizations(ours) is nn.Linear
    assert isinstance(ours, nn.Linear)
    assert type(ours).__name__ == "ParametrizedLinear"


@pytest.mark.parametrize("leave", [True, False])
def test_several_parametrizations_and_their_removal(backend: str, leave: bool) -> None:
    ours, theirs = linear(3, 3)
    register(ours, theirs, "weight", SYMMETRIC)
    register(ours, theirs, "weight", DOUBLED)
    register(ours, theirs, "bias", DOUBLED)
    same(ours, theirs)
    held = ours.parametrizations.weight.original
    P.remove_parametrizations(ours, "weight", leave_parametrized=leave)
    Q.remove_parametrizations(theirs, "weight", leave_parametrized=leave)
    same(ours, theirs)
    assert ours.weight is held
    assert P.is_parametrized(ours, "bias")
    P.remove_parametrizations(ours, "bias")
    Q.remove_parametrizations(theirs, "bias")
    same(ours, theirs)
    assert type(ours) is nn.Linear
    train(ours, theirs, 3)
    same(ours, theirs)


def test_a_parametrization_of_several_inputs(backend: str) -> None:
    ours, theirs = linear(4, 3)
    register(ours, theirs, "weight", PRODUCT)
    same(ours, theirs)
    assert {"parametrizations.weight.original0", "parametrizations.weight.original1"} <= set(ours.state_dict())
    train(ours, theirs, 4)
    same(ours, theirs)
    with pytest.raises(errors.ArgumentError, match="computed from 2 Tensors"):
        P.remove_parametrizations(ours, "weight", leave_parametrized=False)
    P.remove_parametrizations(ours, "weight")
    Q.remove_parametrizations(theirs, "weight")
    same(ours, theirs)
    assert isinstance(ours.weight, nn.Parameter)


def test_a_buffer_and_a_change_of_shape(backend: str) -> None:
    ours, theirs = linear(3, 3)
    for layer, make in ((ours, un.ones), (theirs, torch.ones)):
        layer.register_buffer("table", make(2, 3))
    shrinking = {"forward": lambda self, x: x[:1]}
    register(ours, theirs, "table", shrinking, unsafe=True)
    same(ours, theirs)
    close(ours.table, theirs.table)
    P.remove_parametrizations(ours, "table")
    Q.remove_parametrizations(theirs, "table")
    assert "table" in ours._buffers
    close(ours.table, theirs.table)


def test_cached(backend: str) -> None:
    calls = []
    layer = P.register_parametrization(
        nn.Linear(2, 2), "weight", pair(forward=lambda s, x: calls.append(0) or x * 1)[0]
    )
    calls.clear()
    with P.cached():
        first = layer.weight
        with P.cached():
            assert layer.weight is first
        assert layer.weight is first
    assert len(calls) == 1
    assert layer.weight is not first


def test_caches_and_programs_keep_out_of_each_others_way(backend: str) -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))

    @un.compile
    def twice(x: un.Tensor) -> un.Tensor:
        with P.cached():
            return layer(x) + layer(x)

    x = un.ones(4, 3)
    with P.cached():
        expected = layer(x) * 2
        np.testing.assert_allclose(twice(x).detach().numpy(), expected.detach().numpy(), 1e-5)


@pytest.mark.parametrize("backend", ["jax"], indirect=True)  # guards are the front end's: one backend shows them
def test_programs_notice_parametrizations_that_come_and_go(backend: str) -> None:
    layer = nn.Linear(3, 2, bias=False)
    compiled = un.compile(layer)
    x = un.ones(1, 3)
    plain = compiled(x).detach().numpy()
    for _ in range(2):
        P.register_parametrization(layer, "weight", pair(forward=lambda self, w: 2 * w)[0])
    np.testing.assert_allclose(compiled(x).detach().numpy(), 4 * plain, 1e-5)
    P.remove_parametrizations(layer, "weight", leave_parametrized=False)
    np.testing.assert_allclose(compiled(x).detach().numpy(), plain, 1e-5)


def test_copies_and_pickles(backend: str) -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert type(twin) is type(layer)
        np.testing.assert_array_equal(twin.weight.detach().numpy(), layer.weight.detach().numpy())
        P.remove_parametrizations(twin, "weight")
        assert type(twin) is nn.Linear
        assert P.is_parametrized(layer, "weight")
    with pytest.raises(errors.OperandError, match="not registered"):
        un.save_model(layer, "nowhere")


def test_transfer(backend: str) -> None:
    source, target = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)), nn.Linear(3, 2)
    P.register_parametrization(source, "bias", pair(**DOUBLED)[0])
    with pytest.raises((errors.DTypeError, errors.ShapeError, errors.OperandError)):
        P.register_parametrization(target, "weight", pair(forward=lambda self, x: x[:1])[0])
    assert P.transfer_parametrizations_and_params(source, target) is target
    np.testing.assert_array_equal(target.weight.detach().numpy(), source.weight.detach().numpy())
    assert target.parametrizations.bias.original is source.parametrizations.bias.original


BAD: dict[str, tuple[dict, type[Exception], str]] = {
    "dtype": ({"forward": lambda self, x: x.double()}, errors.DTypeError, "may not change the dtype"),
    "shape": ({"forward": lambda self, x: x[:1]}, errors.ShapeError, "may not change the shape"),
    "no tensor": ({"forward": lambda self, x: 1.0}, errors.OperandError, "must return a Tensor, not float"),
    "inverse": (
        {"forward": lambda self, x: x, "right_inverse": lambda self, y: 1}, errors.OperandError, "right_inverse must",
    ),
    "inverse's parts": (
        {"forward": lambda self, a, b: a, "right_inverse": lambda self, y: (y, 2)},
        errors.OperandError, "number 1 is a",
    ),
    "inverse's dtype": (
        {"forward": lambda self, x: x, "right_inverse": lambda self, y: y.double()},
        errors.DTypeError, "keeps its dtype",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused_changes_nothing(backend: str, case: str) -> None:
    members, kind, message = BAD[case]
    layer = nn.Linear(3, 3)
    before = {key: value.numpy().copy() for key, value in layer.state_dict().items()}
    with pytest.raises(kind, match=message):
        P.register_parametrization(layer, "weight", pair(**members)[0])
    assert type(layer) is nn.Linear
    assert list(layer.state_dict()) == list(before)
    for key, value in before.items():
        np.testing.assert_array_equal(layer.state_dict()[key].numpy(), value)


def test_other_refusals(backend: str) -> None:
    layer = nn.Linear(3, 3, bias=False)
    with pytest.raises(errors.ArgumentError, match="no parameter, buffer or parametrized attribute named 'scale'"):
        P.register_parametrization(layer, "scale", nn.Identity())
    with pytest.raises(errors.ArgumentError, match="'bias' of Linear is None"):
        P.register_parametrization(layer, "bias", nn.Identity())
    with pytest.raises(errors.ArgumentError, match="no parametrization of 'weight'"):
        P.remove_parametrizations(layer, "weight")
    P.register_parametrization(layer, "weight", pair(forward=lambda self, x: 2 * x)[0])
    with pytest.raises(errors.OperandError, match="does not implement right_inverse"):
        layer.weight = un.ones(3, 3)


@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm(backend: str, dim: int | None) -> None:
    ours, theirs = linear(4, 3)
    nn.utils.parametrizations.weight_norm(ours, dim=dim)
    torch.nn.utils.parametrizations.weight_norm(theirs, dim=dim)
    same(ours, theirs)
    train(ours, theirs, 4)
    same(ours, theirs)
    P.remove_parametrizations(ours, "weight")
    Q.remove_parametrizations(theirs, "weight")
    same(ours, theirs)


@pytest.mark.parametrize("case", ["linear", "convolution", "vector"])
def test_spectral_norm(backend: str, case: str) -> None:
    """torch's draws are not ours: we start from its state."""
    make = (lambda m: m.Conv2d(4, 3, 1)) if case == "convolution" else (lambda m: m.Linear(4, 3))
    name = "bias" if case == "vector" else "weight"
    options = {"dim": -1, "n_power_iterations": 2} if case == "convolution" else {}
    ours, theirs = make(nn), make(torch.nn)
    nn.utils.parametrizations.spectral_norm(ours, name, **options)
    torch.nn.utils.parametrizations.spectral_norm(theirs, name, **options)
    ours.load_state_dict(theirs.state_dict())
    rng = np.random.default_rng(0)
    for training in (True, True, False):
        ours.train(training)
        theirs.train(training)
        array = rng.standard_normal((2, 4) if case != "convolution" else (2, 4, 2, 2)).astype(np.float32)
        ours.zero_grad()
        theirs.zero_grad()
        y, s = ours(un.tensor(array)), theirs(torch.tensor(array))
        close(y, s)
        y.square().sum().backward()
        s.square().sum().backward()
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            close(p.grad, q.grad)
    same(ours.eval(), theirs.eval())


ORTHOGONAL = [
    ((3, 3), None, True), ((5, 3), None, True), ((3, 5), None, True), ((3, 3), "cayley", True),
    ((5, 3), "cayley", True), ((3, 5), "matrix_exp", True), ((4, 4), "householder", False),
    ((5, 3), "householder", False), ((3, 5), "householder", False), ((3, 3), "cayley", False),
    ((5, 3), "matrix_exp", False),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "kind", "trivialized"), ORTHOGONAL, ids=str)
def test_orthogonal(backend: str, shape: tuple[int, int], kind: str | None, trivialized: bool) -> None:
    """From the same state the same matrix and the same gradient; what is drawn at random is loaded."""
    ours, theirs = linear(shape[1], shape[0])
    nn.utils.parametrizations.orthogonal(ours, orthogonal_map=kind, use_trivialization=trivialized)
    torch.nn.utils.parametrizations.orthogonal(theirs, orthogonal_map=kind, use_trivialization=trivialized)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    if trivialized or kind == "householder":
        found, expected = (layer.weight.detach().numpy() for layer in (ours, theirs))
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
    rng = np.random.default_rng(0)
    with torch.no_grad():
        moved = torch.tensor(rng.standard_normal(shape).astype(np.float32)) * 0.3
        signs = theirs.parametrizations.weight.original.diagonal()
        original = moved.tril(-1) if shape[0] >= shape[1] else moved.triu(1)
        original.diagonal().copy_(signs)
        theirs.parametrizations.weight.original.copy_(original)
    ours.load_state_dict(theirs.state_dict())
    y, s = ours.weight, theirs.weight
    cotangent = rng.standard_normal(shape).astype(np.float32)
    (y * un.tensor(cotangent)).sum().backward()
    (s * torch.tensor(cotangent)).sum().backward()
    found = y.detach().numpy()
    np.testing.assert_allclose(found, s.detach().numpy(), rtol=2e-5, atol=2e-5)
    narrow = found if shape[0] >= shape[1] else found.T
    np.testing.assert_allclose(narrow.T @ narrow, np.eye(min(shape)), atol=2e-5)
    gradient, expected = (m.parametrizations.weight.original.grad for m in (ours, theirs))
    np.testing.assert_allclose(gradient.numpy(), expected.numpy(), rtol=2e-5, atol=2e-5)
    if trivialized:
        turned = np.linalg.qr(rng.standard_normal((max(shape),) * 2))[0][: shape[0], : shape[1]].astype(np.float32)
        ours.weight = un.tensor(turned)
        np.testing.assert_allclose(ours.weight.detach().numpy(), turned, atol=2e-5)


def test_unitary(backend: str) -> None:
    layer = nn.Module()
    rng = np.random.default_rng(0)
    values = (rng.standard_normal((3, 3)) + 1j * rng.standard_normal((3, 3))).astype(np.complex64)
    layer.register_parameter("weight", nn.Parameter(un.tensor(values)))
    with pytest.raises(errors.ArgumentError, match="reflections do not parametrize all unitary"):
        nn.utils.parametrizations.orthogonal(layer, orthogonal_map="householder")
    nn.utils.parametrizations.orthogonal(layer)
    found = layer.weight.detach().numpy()
    np.testing.assert_allclose(found.conj().T @ found, np.eye(3), atol=2e-5)


def test_parametrizations_refuse(backend: str) -> None:
    of = nn.utils.parametrizations
    for function in (of.orthogonal, of.weight_norm, of.spectral_norm):
        with pytest.raises(errors.ArgumentError, match="no parameter or buffer named 'scale'"):
            function(nn.Linear(2, 2), "scale")
    with pytest.raises(errors.ShapeError, match="expected a matrix"):
        of.orthogonal(nn.Linear(2, 2), "bias")
    with pytest.raises(errors.ArgumentError, match="must be one of"):
        of.orthogonal(nn.Linear(2, 2), orthogonal_map="exp")
    with pytest.raises(errors.IndexOutOfRangeError, match="dim=2 is out of range"):
        of.spectral_norm(nn.Linear(2, 2), dim=2)
    with pytest.raises(errors.ArgumentError, match="n_power_iterations must be positive"):
        of.spectral_norm(nn.Linear(2, 2), n_power_iterations=0)
    layer = of.orthogonal(nn.Linear(3, 3), orthogonal_map="cayley", use_trivialization=False)
    with pytest.raises(NotImplementedError, match="has no inverse"):
        layer.weight = un.ones(3, 3)


@pytest.mark.parametrize(
    "kind",
    ["weight_norm", *[pytest.param(k, marks=pytest.mark.full) for k in ("spectral_norm", "orthogonal")]],
)
def test_a_compiled_step_trains_a_parametrized_layer(backend: str, kind: str) -> None:
    layer, twin = (getattr(nn.utils.parametrizations, kind)(nn.Linear(3, 3)) for _ in range(2))
    twin.load_state_dict(layer.state_dict())
    x = un.tensor(np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32))
    steps = []
    for model in (layer, twin):
        optimizer = optim.SGD(model.parameters(), lr=0.1)

        def step(x: un.Tensor, model: nn.Module = model, optimizer: optim.Optimizer = optimizer) -> un.Tensor:
            optimizer.zero_grad()
            loss = model(x).square().sum()
            loss.backward()
            optimizer.step()
            return loss

        steps.append(step)
    compiled = un.compile(lambda x: steps[0](x))
    for _ in range(3):
        np.testing.assert_allclose(compiled(x).item(), steps[1](x).item(), rtol=1e-5)
    for (key, value), other in zip(layer.state_dict().items(), twin.state_dict().values(), strict=True):
        np.testing.assert_allclose(value.numpy(), other.numpy(), rtol=2e-5, atol=2e-5, err_msg=key)
