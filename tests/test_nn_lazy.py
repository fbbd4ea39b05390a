"""Lazy Modules: against PyTorch's where there is one to compare, and what an uninitialised Tensor refuses."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

import unified as un
from unified import errors, nn
from unified.nn.lazy import LazyModuleMixin
from unified.nn.parameter import is_lazy

LAYERS = {
    "LazyLinear": ((3,), (4, 5)),
    "LazyBatchNorm1d": ((), (4, 5)),
    "LazyBatchNorm2d": ((1e-3, None), (4, 5, 2, 2)),
    "LazyBatchNorm3d": ((1e-3, 0.1, True, True), (4, 5, 2, 2, 2)),
    "LazyInstanceNorm1d": ((), (4, 5, 3)),
    "LazyInstanceNorm2d": ((1e-3, 0.2), (4, 5, 2, 2)),
    "LazyInstanceNorm3d": ((1e-5, 0.1, True, False), (4, 5, 2, 2, 2)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_first_call_makes_it_what_torch_makes_it(backend: str, name: str) -> None:
    args, shape = LAYERS[name]
    ours, theirs = getattr(nn, name)(*args), getattr(torch.nn, name)(*args)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert ours.has_uninitialized_params()
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    ours(un.tensor(x))
    theirs(torch.tensor(x))
    assert repr(ours) == repr(theirs)
    assert type(ours) is getattr(nn, name.removeprefix("Lazy"))
    assert [tuple(p.shape) for p in ours.parameters()] == [tuple(p.shape) for p in theirs.parameters()]
    assert not ours._module_hooks.forward_pre
    ours.load_state_dict(theirs.state_dict())
    np.testing.assert_allclose(
        ours(un.tensor(x)).detach().numpy(), theirs(torch.tensor(x)).detach().numpy(), 1e-5, 1e-5
    )


@pytest.mark.parametrize("name", LAYERS)
def test_a_materialized_module_is_saved_and_loaded(backend: str, name: str, tmp_path) -> None:
    args, shape = LAYERS[name]
    module = nn.Sequential(getattr(nn, name)(*args))
    x = un.ones(*shape)
    module(x)
    un.save_model(module.eval(), tmp_path / "m.safetensors")
    again = un.load_model(tmp_path / "m.safetensors")
    assert repr(again) == repr(module)
    np.testing.assert_array_equal(again(x).detach().numpy(), module(x).detach().numpy())


USES = {
    "add": lambda p: p + 1,
    "radd": lambda p: 1 + p,
    "matmul": lambda p: un.ones(3) @ p,
    "relu": un.relu,
    "index": lambda p: p[0],
    "in place": lambda p: p.add_(1),
    "values": lambda p: p.detach().numpy(),
    "shape": lambda p: p.shape,
    "native": lambda p: p.native,
    "optimiser": lambda p: un.optim.SGD([p], lr=0.1),
}


@pytest.mark.parametrize("use", USES)
def test_an_uninitialized_parameter_refuses_to_be_used(backend: str, use: str) -> None:
    for waiting in (nn.UninitializedParameter(), nn.UninitializedBuffer(requires_grad=False)):
        with pytest.raises(errors.UninitializedError):
            USES[use](waiting)


def test_it_is_converted_copied_and_pickled(backend: str) -> None:
    layer = nn.LazyLinear(3)
    weight = layer.weight
    layer.double().requires_grad_(False)
    assert layer.weight is weight
    assert (weight.dtype, weight.backend, weight.requires_grad) == (un.float64, backend, False)
    for duplicate in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        out = duplicate(un.ones(2, 4, dtype=un.float64))
        assert out.dtype is un.float64
        assert not duplicate.weight.requires_grad
        assert repr(duplicate) == "Linear(in_features=4, out_features=3, bias=True)"
    assert is_lazy(weight)
    assert repr(weight) == "<UninitializedParameter>"
    for target in un.available_backends():
        assert layer.to(backend=target).weight.backend == target
    with un.backend(target):
        layer(un.ones(2, 5, dtype=un.float64))
    assert isinstance(weight, nn.Parameter)
    assert not is_lazy(weight)
    assert weight.backend == target


def test_an_optimiser_of_materialized_parameters_trains(backend: str) -> None:
    model = nn.Sequential(nn.LazyLinear(3), nn.ReLU(), nn.LazyLinear(1))
    x = un.ones(2, 4)
    model(x)
    before = model[0].bias.detach().numpy().copy()
    optimizer = un.optim.SGD(model.parameters(), lr=0.1)
    model(x).sum().backward()
    assert model[0].bias.grad.shape == (3,)
    gradient = model[0].bias.grad.numpy()
    optimizer.step()
    np.testing.assert_allclose(model[0].bias.detach().numpy(), before - 0.1 * gradient, 1e-6, 1e-7)


def test_state_dicts_of_both_kinds_load(backend: str) -> None:
    full = nn.LazyLinear(3)
    full(un.ones(2, 4))
    waiting = nn.LazyLinear(3)
    report = waiting.load_state_dict(nn.LazyLinear(3).state_dict())
    assert not report.missing_keys
    assert waiting.has_uninitialized_params()
    waiting.load_state_dict(full.state_dict())
    assert not waiting.has_uninitialized_params()
    assert type(waiting) is nn.LazyLinear
    np.testing.assert_array_equal(waiting(un.ones(2, 4)).detach().numpy(), full(un.ones(2, 4)).detach().numpy())
    assert repr(waiting) == repr(full)
    with pytest.raises(errors.StateDictError, match="weight is uninitialized in the state dict"):
        full.load_state_dict(nn.LazyLinear(3).state_dict())
    waiting = nn.LazyLinear(3)
    with pytest.raises(errors.StateDictError, match="z"):
        waiting.load_state_dict({**full.state_dict(), "z": un.ones(1)})
    assert waiting.has_uninitialized_params()
    waiting.register_load_state_dict_post_hook(lambda m, keys: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        waiting.load_state_dict(full.state_dict())
    assert waiting.has_uninitialized_params()
    assert waiting.weight.requires_grad


def test_a_class_of_ones_own(backend: str) -> None:
    class Scale(LazyModuleMixin, nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.scale = nn.UninitializedParameter()
            self.register_buffer("seen", nn.UninitializedBuffer())
            self.factor = factor

        def initialize_parameters(self, x, *, also=None):
            if self.has_uninitialized_params():
                self.scale.materialize(x.shape[1:])
                if also is not None:
                    self.seen.materialize((1,))
                with un.no_grad():
                    self.scale.fill_(self.factor)

        def forward(self, x, *, also=None):
            return x * self.scale

    with pytest.raises(RuntimeError, match="has not been fully initialized"):
        Scale(2.0)(un.ones(2, 3))
    module = Scale(2.0)
    assert module(un.ones(2, 3), also=1).tolist() == [[2, 2, 2]] * 2
    assert type(module) is Scale
    assert type(module.seen) is un.Tensor
    with pytest.raises(NotImplementedError):
        type("Plain", (LazyModuleMixin, nn.Module), {})()(un.ones(1))


def test_compile_asks_for_a_first_call(backend: str) -> None:
    layer = nn.LazyLinear(3)
    with pytest.raises(errors.CompileError, match="call it with a batch before it is compiled"):
        un.compile(layer)(un.ones(2, 4))
    assert layer.has_uninitialized_params()
