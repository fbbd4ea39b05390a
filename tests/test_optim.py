"""Optimisers and schedules against ``torch.optim``: the same parameters, gradients and options, step by step."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.testing._internal.common_optimizers import optim_db

import unified as un
from unified import errors
from unified._dispatch import wrap
from unified._selection import current_backend
from unified.optim import SGD, Adam, AdamW, lr_scheduler

SHAPES = [(7, 5), (7,), (3, 7), (3,), ()]
PAIRS = {"SGD": (SGD, torch.optim.SGD), "Adam": (Adam, torch.optim.Adam), "AdamW": (AdamW, torch.optim.AdamW)}
TOLERANCE = 1e-5
"""Relative: float32 rounding over 20 steps, and a learning rate that is a float32 Tensor, a double in torch."""

OPTIONS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "betas": (0.0, 0.9), "eps": 1e-3}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01, "amsgrad": True, "maximize": True}),
]


def from_numpy(array):
    return wrap(current_backend().from_numpy(np.asarray(array, np.float32), un.float32, None))


class Twins:
    """The same parameters here and in torch; ``feed`` gives both the same gradients."""

    def __init__(self, shapes=SHAPES, seed=0):
        self.random = np.random.default_rng(seed)
        values = [self.random.standard_normal(shape).astype(np.float32) for shape in shapes]
        self.ours = [from_numpy(value).requires_grad_() for value in values]
        self.theirs = [torch.tensor(value, requires_grad=True) for value in values]

    def feed(self, skipped=()):
        for index, (our, their) in enumerate(zip(self.ours, self.theirs, strict=True)):
            if index in skipped:
                our.grad = their.grad = None
                continue
            value = self.random.standard_normal(tuple(their.shape)).astype(np.float32)
            our.grad, their.grad = from_numpy(value), torch.tensor(value)

    def compare(self):
        for our, their in zip(self.ours, self.theirs, strict=True):
            np.testing.assert_allclose(our.detach().numpy(), their.detach().numpy(), TOLERANCE, 1e-6)


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_twenty_steps(backend, name, options):
    twins = Twins()
    ours, theirs = PAIRS[name]
    our, their = ours(twins.ours, **options), theirs(twins.theirs, **options)
    for _ in range(20):
        twins.feed()
        our.step()
        their.step()
    twins.compare()
    assert all(param.requires_grad and param.is_leaf for param in twins.ours)
    for index, state in their.state_dict()["state"].items():
        for key, value in state.items():
            if value is not None:
                found = our.state_dict()["state"][index][key]
                np.testing.assert_allclose(found.numpy(), value.numpy(), TOLERANCE, 1e-6)


def torch_inputs():
    for info in optim_db:
        name = info.optim_cls.__name__
        if name not in PAIRS:
            continue
        for case in info.optim_inputs_func(torch.device("cpu")):
            options = {k: v for k, v in case.kwargs.items() if k not in ("foreach", "fused", "capturable")}
            if case.params is None and not case.kwargs.get("differentiable"):
                yield pytest.param(name, options, id=f"{name}-{case.desc}")


@pytest.mark.parametrize(("name", "options"), list(torch_inputs()))
def test_torchs_own_inputs(backend, name, options):
    twins = Twins([(3, 2), (2,)])
    ours, theirs = PAIRS[name]
    mine = {key: float(value) if isinstance(value, torch.Tensor) else value for key, value in options.items()}
    if "betas" in mine:
        mine["betas"] = tuple(float(beta) for beta in mine["betas"])
    our, their = ours(twins.ours, **mine), theirs(twins.theirs, **options)
    for _ in range(4):
        twins.feed()
        our.step()
        their.step()
    twins.compare()


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_parameters_without_gradients_are_skipped_and_do_not_count(backend, name):
    options = {"lr": 0.1, "momentum": 0.9, "dampening": 0.5} if name == "SGD" else {"lr": 0.1}
    twins = Twins()
    ours, theirs = PAIRS[name]
    our, their = ours(twins.ours, **options), theirs(twins.theirs, **options)
    for skipped in [(1, 4), (), (0,), (0, 1), (), (2, 3, 4), ()]:
        twins.feed(skipped)
        our.step()
        their.step()
        twins.compare()


def test_groups_have_options_of_their_own_and_lr_is_a_tensor(backend):
    twins = Twins()
    groups = [
        [{"params": p[:2], "lr": 0.5}, {"params": p[2:], "weight_decay": 0.3}] for p in (twins.ours, twins.theirs)
    ]
    our, their = SGD(groups[0], lr=0.1), torch.optim.SGD(groups[1], lr=0.1)
    held = our.param_groups[0]["lr"]
    for rate in (0.5, 0.05):
        our.param_groups[0]["lr"] = their.param_groups[0]["lr"] = rate
        twins.feed()
        our.step()
        their.step()
    twins.compare()
    assert our.param_groups[0]["lr"] is held
    assert float(held) == np.float32(0.05)
    assert our.param_groups[0].number("lr") == 0.05


def test_one_step_is_one_op(backend, monkeypatch):
    twins = Twins()
    optimizer = Adam(twins.ours, lr=0.1)
    twins.feed()
    calls = []
    from unified import _dispatch

    entry = _dispatch.table["optimizer_update"]
    kind = type(twins.ours[0]._native)
    function = entry.implementations[kind]
    monkeypatch.setitem(entry.implementations, kind, lambda *args: calls.append(1) or function(*args))
    optimizer.step()
    assert calls == [1]


def test_zero_grad_and_closure(backend):
    twins = Twins([(2,)])
    optimizer = SGD(twins.ours, lr=0.1)
    twins.feed()
    optimizer.zero_grad(set_to_none=False)
    np.testing.assert_array_equal(twins.ours[0].grad.numpy(), [0.0, 0.0])
    optimizer.zero_grad()
    assert twins.ours[0].grad is None

    def closure():
        assert un.is_grad_enabled()
        twins.feed()
        return 3.5

    assert optimizer.step(closure) == 3.5


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_state_dict_resumes_here_and_from_torch(backend, name, options):
    twins = Twins()
    ours, theirs = PAIRS[name]
    our, their = ours(twins.ours, **options), theirs(twins.theirs, **options)
    for _ in range(3):
        twins.feed()
        our.step()
        their.step()
    saved = our.state_dict()
    assert saved["param_groups"][0]["lr"] == options["lr"]
    assert saved["param_groups"][0]["params"] == [0, 1, 2, 3, 4]
    fresh = ours(twins.ours, **{**options, "lr": 7.0})
    fresh.load_state_dict(their.state_dict())
    twins.feed()
    fresh.step()
    their.step()
    twins.compare()
    again = ours(twins.ours, **options)
    again.load_state_dict(fresh.state_dict())
    twins.feed()
    again.step()
    their.step()
    twins.compare()


def test_a_state_dict_that_does_not_fit_changes_nothing(backend):
    twins = Twins()
    optimizer = Adam(twins.ours, lr=0.1)
    twins.feed()
    optimizer.step()
    before = [value.numpy().copy() for value in optimizer.state[twins.ours[0]].values()]
    other = Adam(
        [from_numpy(np.zeros(shape)).requires_grad_() for shape in [(7, 5), (7,), (3, 7), (4,), ()]]
    ).state_dict()
    with pytest.raises(errors.StateDictError, match="shape"):
        optimizer.load_state_dict(other)
    with pytest.raises(errors.StateDictError, match="parameters"):
        optimizer.load_state_dict(Adam(twins.ours[:2]).state_dict())
    for value, held in zip(optimizer.state[twins.ours[0]].values(), before, strict=True):
        np.testing.assert_array_equal(value.numpy(), held)


def test_refusals(backend):
    leaf = from_numpy(np.ones(2)).requires_grad_()
    for build, message in [
        (lambda: SGD([leaf], lr=-1.0), "lr"),
        (lambda: SGD([leaf], momentum=-1.0), "momentum"),
        (lambda: SGD([leaf], nesterov=True), "nesterov"),
        (lambda: SGD([]), "empty"),
        (lambda: SGD([leaf, leaf]), "twice"),
        (lambda: SGD([leaf * 2]), "leaves"),
        (lambda: Adam([leaf], betas=(1.0, 0.9)), r"betas\[0\]"),
        (lambda: Adam([{"params": [leaf], "eps": -1.0}]), "eps"),
    ]:
        with pytest.raises(errors.ArgumentError, match=message):
            build()
    for build in (lambda: SGD(leaf), lambda: SGD([{"params": {leaf}}]), lambda: SGD([3.0])):
        with pytest.raises(errors.OperandError):
            build()


SCHEDULES = [
    ("StepLR", {"step_size": 3, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [2, 5, 5], "gamma": 0.1}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("LinearLR", {"start_factor": 0.25, "total_iters": 4}),
    ("CosineAnnealingLR", {"T_max": 5, "eta_min": 0.01}),
    ("LambdaLR", {"lr_lambda": lambda epoch: 1 / math.sqrt(epoch + 1)}),
]


@pytest.mark.parametrize(("name", "options"), SCHEDULES)
def test_schedules(backend, name, options):
    twins = Twins([(2,)])
    our, their = SGD(twins.ours, lr=0.3), torch.optim.SGD(twins.theirs, lr=0.3)
    mine = getattr(lr_scheduler, name)(our, **options)
    torchs = getattr(torch.optim.lr_scheduler, name)(their, **options)
    for _ in range(13):
        their.step()
        mine.step()
        torchs.step()
        # both work in double from the same formulas; only their order of evaluation may differ
        assert mine.get_last_lr() == pytest.approx(torchs.get_last_lr(), rel=1e-12, abs=1e-15)
        assert float(our.param_groups[0]["lr"]) == np.float32(mine.get_last_lr()[0])


def test_a_schedule_resumes(backend):
    twins = Twins([(2,)])
    optimizer = SGD(twins.ours, lr=0.3)
    schedule = lr_scheduler.ExponentialLR(optimizer, 0.5)
    schedule.step()
    saved, options = schedule.state_dict(), optimizer.state_dict()
    schedule.step()
    expected = schedule.get_last_lr()
    other = SGD(twins.ours, lr=0.3)
    resumed = lr_scheduler.ExponentialLR(other, 0.5)
    other.load_state_dict(options)
    resumed.load_state_dict(saved)
    resumed.step()
    assert resumed.get_last_lr() == expected
