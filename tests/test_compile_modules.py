"""Compiled Modules and methods: what a program has read of a Module guards it, and methods are kept apart."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import unified as un
from unified import errors, nn, optim

ON = ["jax", "tensorflow", pytest.param("torch", marks=pytest.mark.full)]
CLOSE = {"rtol": 1e-5, "atol": 1e-6}
"""XLA and inductor fuse and reorder float32 sums of a few terms."""


class Net(nn.Module):
    """Reads members of every kind."""

    doubles = False

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
        self.blocks = nn.Sequential(nn.Tanh(), nn.Dropout(0.0))
        self.bias: nn.Parameter | None = None
        self.temperature = 1.0
        self.mode = "soft"
        self.mask = un.ones(3)
        self.calls = 0

    def forward(self, x: un.Tensor) -> un.Tensor:
        for layer in self.layers:
            x = layer(x)
        x = self.blocks(x) * self.mask / self.temperature
        if self.bias is not None:
            x = x + self.bias
        if self.mode == "hard":
            x = x.sign()
        return x * 2 if self.doubles else x


def _set(name: str, make: Callable[[], Any]) -> Callable[[Net], None]:
    def change(net: Net) -> None:
        path, _, last = name.rpartition(".")
        setattr(net.get_submodule(path), last, make())

    return change


CHANGES: dict[str, tuple[Callable[[Net], Any], str]] = {
    "append": (lambda net: net.layers.append(nn.Linear(3, 3)), "the children of a ModuleList changed"),
    "insert": (lambda net: net.layers.insert(0, nn.Linear(3, 3)), "the children of a ModuleList changed"),
    "pop": (lambda net: net.layers.pop(), "the children of a ModuleList changed"),
    "delete": (lambda net: net.blocks.__delitem__(0), "the children of a Sequential changed"),
    "a child without parameters": (_set("blocks.0", nn.ReLU), "the children of a Sequential changed"),
    "a child with parameters": (_set("layers.0", lambda: nn.Linear(3, 3)), "the children of a ModuleList changed"),
    "a parameter that was None": (_set("bias", lambda: nn.Parameter(un.ones(3))), "Net.bias changed"),
    "a number": (_set("temperature", lambda: 0.5), "Net.temperature changed from 1.0 to 0.5"),
    "a number of a layer": (_set("blocks.1.p", lambda: 1.0), "Dropout.p changed from 0.0 to 1.0"),
    "a string": (_set("mode", lambda: "hard"), "Net.mode changed from 'soft' to 'hard'"),
    "a Tensor": (_set("mask", lambda: un.tensor([1.0, 0.0, 2.0])), "Net.mask changed"),
    "over the class": (_set("doubles", lambda: True), "Net.doubles changed"),
    "a method": (_set("layers.1.forward", lambda: lambda x: x + 1), "Linear.forward changed"),
}


@pytest.mark.parametrize("on", ON)
@pytest.mark.parametrize("change", CHANGES)
def test_an_attribute_that_was_read_and_changes_is_another_program(on, change):
    act, why = CHANGES[change]
    with un.backend(on):
        un.manual_seed(0)
        net, x = Net(), un.randn(2, 3)
        compiled = un.compile(net)
        np.testing.assert_allclose(compiled(x).detach().numpy(), net(x).detach().numpy(), **CLOSE)
        act(net)
        for _ in range(2):
            np.testing.assert_allclose(compiled(x).detach().numpy(), net(x).detach().numpy(), **CLOSE)
        assert compiled.explain().reasons == ["first call", why]


def test_attributes_that_are_not_read_or_stay_equal_retrace_nothing(backend):
    net, x = Net(), un.ones(2, 3)
    compiled = un.compile(net)
    for step in range(4):
        net.calls += 1
        net.temperature = float("1.0")
        net.note = f"step {step}"
        compiled(x)
    assert compiled.explain().reasons == ["first call"]


def test_what_the_traced_code_itself_changes_is_no_guard(backend):
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def forward(self, x: un.Tensor) -> un.Tensor:
            self.calls += 1
            return x * 2

    compiled = un.compile(Counting())
    with pytest.warns(UserWarning, match="calls changed while the function was traced"):
        compiled(un.ones(2))
    compiled(un.ones(2))
    assert compiled.explain().reasons == ["first call"]


@pytest.mark.parametrize("on", ON)
def test_parameters_that_an_optimizer_gets_later_are_trained(on):
    def train(way: Any) -> list[np.ndarray]:
        un.manual_seed(0)
        first, second, third = (nn.Linear(3, 3) for _ in range(3))
        optimizer = optim.SGD(first.parameters(), lr=0.1, momentum=0.9)

        @way
        def step(x: un.Tensor) -> None:
            optimizer.zero_grad()
            third(second(first(x)).tanh()).square().mean().backward()
            optimizer.step()

        x = un.randn(4, 3)
        step(x)
        optimizer.add_param_group({"params": second.parameters(), "lr": 0.5})
        step(x)
        optimizer.param_groups[0]["params"] = [first.bias]
        step(x)
        return [p.detach().numpy() for module in (first, second, third) for p in module.parameters()]

    with un.backend(on):
        for eager, compiled in zip(train(lambda function: function), train(un.compile), strict=True):
            np.testing.assert_allclose(compiled, eager, **CLOSE)


@pytest.mark.parametrize("on", ON)
@pytest.mark.parametrize("change", ["eval", "an attribute", "a parameter"])
def test_a_backward_pass_is_of_what_the_call_has_read(on, change):
    """The pullback is traced when it is first needed; much may have changed by then."""

    def gradient(way: Any) -> np.ndarray:
        un.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), Net())
        weight = net[0].weight
        loss = way(net)(un.randn(4, 3)).pow(3).sum()
        if change == "eval":
            net.eval()
        elif change == "an attribute":
            net[2].temperature = 0.1
        else:
            net[0].weight = nn.Parameter(un.ones(3, 3))
        loss.backward()
        assert (net[0].weight is weight) is (change != "a parameter")
        assert net[2].temperature == (0.1 if change == "an attribute" else 1.0)
        return weight.grad.numpy()

    with un.backend(on):
        np.testing.assert_allclose(gradient(un.compile), gradient(lambda net: net), rtol=1e-4, atol=1e-5)


def test_eval_for_a_while_inside_retraces_nothing(backend):
    net = nn.Sequential(nn.BatchNorm1d(3))

    @un.compile
    def step(x: un.Tensor) -> un.Tensor:
        net(x)
        net.eval()
        result = net(x)
        net.train()
        return result.detach()

    for _ in range(3):
        step(un.ones(2, 3))
        nn.Dropout().eval()  # programs have a look at what they are made for
    assert step.explain().reasons == ["first call"]


# ---- a compiled Module is a Module ---------------------------------------------------------------------------------


@pytest.mark.parametrize("on", ON)
def test_a_compiled_module_takes_the_place_of_the_module(on):
    def train(way: Any) -> list[Any]:
        un.manual_seed(0)
        model = way(nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), way(nn.Linear(4, 2))))
        optimizer, x = optim.SGD(model.parameters(), lr=0.1), un.randn(5, 3)
        for _ in range(3):
            model.train()
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
            model.eval()
        found = [*model.state_dict().values(), model(x), model[:1](x), copy.deepcopy(model)(x)]
        return [*[value.detach().numpy() for value in found], list(model.state_dict()), repr(model)]

    with un.backend(on):
        *values, names, text = train(un.compile)
        *expected, wanted_names, wanted_text = train(lambda module: module)
        for ours, theirs in zip(values, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, **CLOSE)
        assert (names, text) == (wanted_names, wanted_text)


def test_a_compiled_module_and_the_module_have_the_same_attributes(tmp_path):
    with un.backend("jax"):
        net, x = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)), un.ones(2, 3)
        compiled = un.compile(net)
        assert isinstance(compiled, nn.Sequential)
        assert type(net) is nn.Sequential
        compiled.eval()
        assert not net.training
        compiled[0] = nn.Linear(3, 5)
        assert net(x).shape == compiled(x).shape == (2, 5)
        net.note = "seen"
        assert compiled.note == "seen"
        slim = copy.copy(compiled)
        slim[0] = nn.Linear(3, 1)
        assert (slim(x).shape, compiled(x).shape) == ((2, 1), (2, 5))
        twins = [pickle.loads(pickle.dumps(compiled)), copy.deepcopy(compiled), un.compile(compiled)]
        for twin in twins:
            np.testing.assert_array_equal(twin(x).detach().numpy(), compiled(x).detach().numpy())
            assert twin.explain().reasons == ["first call"]
        un.save_model(compiled, tmp_path / "model.safetensors")
        loaded = un.load_model(tmp_path / "model.safetensors")
        assert type(loaded) is nn.Sequential
        np.testing.assert_array_equal(loaded(x).detach().numpy(), compiled(x).detach().numpy())


def test_step_hooks_that_come_and_go_are_seen(backend):
    weight, count = un.ones(2, requires_grad=True), un.tensor(0)
    optimizer = optim.SGD([weight], lr=0.1)

    @un.compile
    def step():
        optimizer.zero_grad()
        weight.sum().backward()
        optimizer.step()

    def hook(*_: Any) -> None:
        count.add_(1)

    step()
    handle = optimizer.register_step_post_hook(hook)
    step(), step()
    handle.remove()
    step()
    assert count.item() == 2
    assert step.explain().reasons[1] == "the parameter groups or the step hooks of an optimizer changed"


def test_an_optimizer_may_be_made_inside(backend):
    def train(way: Any) -> list[float]:
        weight = un.tensor([1.0, 2.0], requires_grad=True)

        def step() -> None:
            optimizer = optim.Adam([weight], lr=0.1)
            optimizer.zero_grad()
            weight.square().sum().backward()
            optimizer.step()

        run = way(step)
        run(), run()
        return weight.tolist()

    assert train(un.compile) == pytest.approx(train(lambda function: function), rel=1e-5)


# ---- methods -------------------------------------------------------------------------------------------------------


def _minus(self: Any, x: un.Tensor) -> un.Tensor:
    return x - self.w


class Below:
    plus = un.compile(lambda self, x: x + self.w)
    times = un.compile(lambda self, x: x * self.w)

    def __init__(self) -> None:
        self.w = un.full((2,), 3.0)


Below.late = un.compile(_minus)  # type: ignore[attr-defined]


class Above(Below):
    @un.compile
    def plus(self, x: un.Tensor) -> un.Tensor:
        return super().plus(x) * 10

    @classmethod
    @un.compile
    def of_the_class(cls, x: un.Tensor) -> un.Tensor:
        return x * len(cls.__name__)


@pytest.mark.parametrize("on", ON)
def test_methods_of_one_name_are_functions_of_their_own(on):
    def results(holder: Any) -> list[Any]:
        x = un.ones(2)
        found = [holder.plus(x), holder.times(x), holder.late(x), super(Above, holder).plus(x)]
        return [result.tolist()[0] for result in found]

    with un.backend(on):
        first = Above()
        assert results(first) == [40, 3, -2, 4]
        duplicates = copy.deepcopy(first), pickle.loads(pickle.dumps(first))
        first.w.fill_(5.0)
        assert results(first) == [60, 5, -4, 6]
        for duplicate in duplicates:
            duplicate.w.fill_(7.0)
            assert results(duplicate) == [80, 7, -6, 8]
        assert Above.of_the_class(un.ones(1)).item() == first.of_the_class(un.ones(1)).item() == 5


def test_a_method_of_an_instance_without_room_says_so():
    class Slotted:
        __slots__ = ()

        @un.compile
        def plus(self, x: un.Tensor) -> un.Tensor:
            return x + 1

    with pytest.raises(errors.CompileError, match="add '__dict__' to their __slots__"):
        Slotted().plus(un.ones(2))
