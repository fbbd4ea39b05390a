"""``un.amp.GradScaler`` beside PyTorch's own, eager and compiled."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch

import unified as un
import unified.nn.functional as F
from unified import nn

OVERFLOWS = (2, 3, 8)
"""Steps whose data are infinite."""


def _data(step: int) -> np.ndarray:
    x = np.linspace(-1, 1 + step, 12, dtype=np.float32).reshape(4, 3)
    return np.full_like(x, np.inf) if step in OVERFLOWS else x


def _theirs(steps: int, clip: bool) -> tuple[list[tuple[float, int]], list[np.ndarray], torch.amp.GradScaler]:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    with torch.no_grad():
        model.weight.copy_(torch.arange(6.0).reshape(2, 3) / 6)
        model.bias.fill_(0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=3)
    seen = []
    for step in range(steps):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(torch.tensor(_data(step))), torch.zeros(4, 2))
        scaler.scale(loss).backward()
        if clip:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        scaler.step(optimizer)
        scaler.update()
        seen.append((scaler.get_scale(), scaler._get_growth_tracker()))
    return seen, [p.detach().numpy() for p in model.parameters()], scaler


def _ours(compiled: bool, clip: bool) -> tuple[Any, nn.Module, un.amp.GradScaler]:
    model = nn.Linear(3, 2)
    model.load_state_dict({"weight": un.arange(6.0).reshape(2, 3) / 6, "bias": un.full((2,), 0.1)})
    optimizer = un.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scaler = un.amp.GradScaler("cpu", init_scale=8.0, growth_interval=3)

    def step(x: un.Tensor) -> None:
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), un.zeros(4, 2))
        scaler.scale(loss).backward()
        if clip:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        scaler.step(optimizer)
        scaler.update()

    return un.compile(step) if compiled else step, model, scaler


@pytest.mark.parametrize("clip", [False, True], ids=["plain", "clipped"])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_steps_are_pytorchs(backend, compiled, clip):
    steps = 12
    wanted, parameters, _ = _theirs(steps, clip)
    step, model, scaler = _ours(compiled, clip)
    seen = []
    for number in range(steps):
        step(un.tensor(_data(number)))
        seen.append((scaler.get_scale(), scaler.state_dict()["_growth_tracker"]))
    assert seen == wanted
    scales = [scale for scale, _ in seen]
    assert min(scales) < 8.0  # it has fallen
    assert any(later > earlier for earlier, later in itertools.pairwise(scales))  # and risen
    for one, other in zip(model.parameters(), parameters, strict=True):
        # twelve steps of float32, in another order of sums
        np.testing.assert_allclose(one.detach().numpy(), other, rtol=1e-5, atol=1e-6)
    if compiled:
        assert len(step.explain().programs) == 1


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_a_step_that_overflows_changes_nothing(backend, compiled):
    step, model, scaler = _ours(compiled, clip=False)
    step(un.tensor(_data(0)))
    before = [p.detach().numpy().copy() for p in model.parameters()]
    step(un.tensor(_data(2)))
    for parameter, held in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.detach().numpy(), held)
    assert scaler.get_scale() == 4.0


def test_float16_gradients_that_would_vanish(backend):
    """What is below 2**-24 in float16 arrives, divided again."""
    weight = nn.Parameter(un.full((4, 4), 2.0**-3))
    x = un.full((1, 4), 2.0**-10)
    grads = []
    for scaler in (un.amp.GradScaler(enabled=False), un.amp.GradScaler(init_scale=2.0**16)):
        weight.grad = None
        optimizer = un.optim.SGD([weight], lr=0.0)
        with un.autocast("cpu", un.float16):
            loss = (x @ weight).float().sum() * 2.0**-16
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        grads.append(weight.grad.numpy())
    np.testing.assert_array_equal(grads[0], 0.0)
    np.testing.assert_allclose(grads[1], 2.0**-26)


def test_two_optimizers(backend):
    """One overflow lowers the scale; the other optimiser steps."""
    good, bad = nn.Parameter(un.ones(2)), nn.Parameter(un.ones(2))
    first, second = un.optim.SGD([good], lr=1.0), un.optim.SGD([bad], lr=1.0)
    scaler = un.amp.GradScaler(init_scale=4.0)
    losses = scaler.scale({"good": good.sum(), "bad": [(bad * math.inf).sum()]})
    losses["good"].backward()
    losses["bad"][0].backward()
    scaler.step(first)
    scaler.step(second)
    scaler.update()
    assert good.tolist() == [0.0, 0.0]
    assert bad.tolist() == [1.0, 1.0]
    assert scaler.get_scale() == 2.0


def test_state_goes_to_pytorch_and_back(backend):
    step, _, scaler = _ours(compiled=False, clip=False)
    for number in range(2):
        step(un.tensor(_data(number)))
    theirs = torch.amp.GradScaler("cpu")
    theirs.load_state_dict(scaler.state_dict())
    assert theirs.state_dict() == scaler.state_dict()
    again = un.amp.GradScaler()
    again.load_state_dict(_theirs(4, clip=False)[2].state_dict())
    assert again.state_dict() == _theirs(4, clip=False)[2].state_dict()
    assert again.get_growth_interval() == 3
    assert (again.get_growth_factor(), again.get_backoff_factor()) == (2.0, 0.5)


def test_disabled(backend):
    weight = nn.Parameter(un.ones(2))
    optimizer = un.optim.SGD([weight], lr=1.0)
    scaler = un.amp.GradScaler(enabled=False)
    loss = weight.sum()
    assert scaler.scale(loss) is loss
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert weight.tolist() == [0.0, 0.0]
    assert scaler.get_scale() == 1.0
    assert scaler.state_dict() == {}
    assert not scaler.is_enabled()
    scaler.load_state_dict({})


def test_a_new_scale(backend):
    scaler = un.amp.GradScaler(init_scale=4.0)
    scaler.update(32.0)
    assert scaler.get_scale() == 32.0
    scaler.update(un.tensor(16.0))
    assert scaler.get_scale() == 16.0


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"growth_factor": 1.0}, "growth_factor must be over 1"),
        ({"backoff_factor": 1.0}, "backoff_factor must be between 0 and 1"),
        ({"growth_interval": 0}, "growth_interval must be a positive integer"),
        ({"init_scale": math.inf}, "init_scale must be positive and finite"),
    ],
)
def test_bad_options(backend, arguments, match):
    with pytest.raises(un.errors.ArgumentError, match=match):
        un.amp.GradScaler(**arguments)


def test_bad_calls_change_nothing(backend):
    weight = nn.Parameter(un.ones(2))
    optimizer = un.optim.SGD([weight], lr=1.0)
    scaler = un.amp.GradScaler(init_scale=4.0)
    error = un.errors.ArgumentError
    with pytest.raises(un.errors.OperandError, match="takes Tensors, not float"):
        scaler.scale(1.0)
    with pytest.raises(error, match="no parameter of the optimizer has a gradient"):
        scaler.step(optimizer)
    with pytest.raises(error, match="no gradients were unscaled"):
        scaler.update()
    scaler.scale(weight.sum()).backward()
    with pytest.raises(error, match="takes no closure"):
        scaler.step(optimizer, lambda: weight.sum())
    scaler.unscale_(optimizer)
    assert weight.grad.tolist() == [1.0, 1.0]
    with pytest.raises(error, match="since the last update"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(error, match="since the last update"):
        scaler.step(optimizer)
    assert weight.tolist() == [0.0, 0.0]
    scaler.update()
    state = scaler.state_dict()
    for bad, match in (({}, "disabled"), ({**state, "backoff_factor": 2.0}, "backoff"), ({"scale": 1.0}, "has no")):
        with pytest.raises(error, match=match):
            scaler.load_state_dict(bad)
    assert scaler.state_dict() == state
    half = nn.Parameter(un.ones(2, dtype=un.float16))
    half.sum().backward()
    with pytest.raises(error, match="gradients are float16"):
        scaler.unscale_(un.optim.SGD([half], lr=1.0))
