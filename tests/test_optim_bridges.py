"""Optimisers of optax and of torch.optim over our parameters, against the same without us."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import unified as un
from tests.twins import Twins, close, ours
from unified import errors, optim


@pytest.fixture
def jax_backend():
    with un.backend("jax") as name:
        yield name


@pytest.fixture
def torch_backend():
    with un.backend("torch") as name:
        yield name


def transformations():
    optax = pytest.importorskip("optax", reason="the bridge is to optax; pip install optax lifts this")
    schedule = optax.cosine_decay_schedule(0.1, 20)
    return {
        "adamw": optax.adamw(0.01, weight_decay=0.1),
        "clipped": optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(schedule, momentum=0.9)),
        "injected": optax.inject_hyperparams(optax.rmsprop)(learning_rate=0.01),
    }


def reference(name, params, gradients):
    import optax

    transformation = transformations()[name]
    state = transformation.init(params)
    for gradient in gradients:
        updates, state = transformation.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", ["adamw", "clipped", "injected"])
def test_optax(jax_backend, name, compiled):
    twins = Twins([(3, 2), (2,)])
    start = [param.detach().numpy().copy() for param in twins.ours]
    optimizer = optim.from_optax(transformations()[name])(twins.ours)
    gradients = [twins.gradients() for _ in range(5)]

    def step(*values):
        for param, value in zip(twins.ours, values, strict=True):
            param.grad = value
        optimizer.step()
        optimizer.zero_grad()

    step = un.compile(step) if compiled else step
    for values in gradients:
        step(*[ours(value) for value in values])
    for param, expected in zip(twins.ours, reference(name, start, gradients), strict=True):
        close(param, expected)


def test_optaxs_state_resumes(jax_backend):
    transformation = transformations()["adamw"]
    twins = Twins([(3, 2), (2,)])
    start = [param.detach().numpy().copy() for param in twins.ours]
    gradients = [twins.gradients() for _ in range(4)]
    optimizer = optim.from_optax(transformation)(twins.ours)
    for index, values in enumerate(gradients):
        if index == 2:
            saved = optimizer.state_dict()
            optimizer = optim.from_optax(transformation)(twins.ours)
            optimizer.load_state_dict(saved)
        for param, value in zip(twins.ours, values, strict=True):
            param.grad = ours(value)
        optimizer.step()
    for param, expected in zip(twins.ours, reference("adamw", start, gradients), strict=True):
        close(param, expected)
    other = optim.from_optax(transformation)([ours(np.ones((4, 2), np.float32)).requires_grad_(), *twins.ours[1:]])
    held = other.state_dict()["state"][0]["leaves"]
    with pytest.raises(errors.StateDictError, match="shape"):
        other.load_state_dict(saved)
    for before, after in zip(held, other.state_dict()["state"][0]["leaves"], strict=True):
        np.testing.assert_array_equal(before.numpy(), after.numpy())


@pytest.mark.parametrize(("name", "options"), [("Adagrad", {"lr": 0.1}), ("RAdam", {"weight_decay": 0.1})])
def test_torch(torch_backend, name, options):
    twins = Twins([(3, 2), (2,), ()])
    kind = getattr(torch.optim, name)
    groups = [
        [{"params": params[:1], "lr": 0.5}, {"params": params[1:]}] for params in (twins.ours, twins.theirs)
    ]  # fmt: skip
    our, their = optim.from_torch(kind)(groups[0], **options), kind(groups[1], **options)
    mine, schedule = optim.lr_scheduler.StepLR(our, 2), torch.optim.lr_scheduler.StepLR(their, 2)
    before = twins.ours[0].detach()
    kept = before.numpy().copy()
    for skipped in ((), (1,), (), (0, 2), ()):
        twins.feed(skipped)
        our.step()
        their.step()
        mine.step()
        schedule.step()
        twins.compare()
    np.testing.assert_array_equal(before.numpy(), kept)  # a snapshot is not written to
    fresh = optim.from_torch(kind)(groups[0], **options)
    fresh.load_state_dict(our.state_dict())
    twins.feed()
    fresh.step()
    their.step()
    twins.compare()
    with pytest.raises(errors.CompileError, match="of the same name"):
        un.compile(fresh.step)()


def test_each_lives_on_its_own_backend(backend):
    params = [ours(np.ones(2, np.float32)).requires_grad_()]
    builds = {"torch": lambda: optim.from_torch(torch.optim.SGD)(params, lr=0.1)}
    if backend != "jax":
        builds["jax"] = lambda: optim.from_optax(transformations()["adamw"])(params)
    for home, build in builds.items():
        if home == backend:
            assert isinstance(build(), optim.Optimizer)
        else:
            with pytest.raises(errors.UnsupportedOpError, match=backend):
                build()
