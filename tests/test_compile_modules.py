"""Compiled Modules: what a program reads of them holds it, and a compiled Module is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import unified as un
from unified import nn, optim

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
    "a parameter that was None": (_set("bias", lambda: nn.Parameter(un.ones(3))), "bias of a Net changed"),
    "a number": (_set("temperature", lambda: 0.5), "temperature of a Net changed from 1.0 to 0.5"),
    "a number of a layer": (_set("blocks.1.p", lambda: 1.0), "p of a Dropout changed from 0.0 to 1.0"),
    "a string": (_set("mode", lambda: "hard"), "mode of a Net changed from 'soft' to 'hard'"),
    "a Tensor": (_set("mask", lambda: un.tensor([1.0, 0.0, 2.0])), "mask of a Net changed"),
    "over the class": (_set("doubles", lambda: True), "doubles of a Net changed"),
    "a method": (_set("layers.1.forward", lambda: lambda x: x + 1), "forward of a Linear changed"),
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
