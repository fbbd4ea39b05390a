"""Every update rule against the implementation that PyTorch has of it (optax of Lion and LAMB), 20 steps long.

The cases are PyTorch's own, ``optim_db``; each optimiser's richest one runs in ``make test``, the rest in full.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing._internal.common_optimizers import optim_db

import unified as un
from tests.twins import SHAPES, Twins, close, compare_state, ours, to_torch
from unified import optim

APART = {"SparseAdam", "LBFGS"}
"""Sparse gradients exist on no other backend; LBFGS takes closures and has a file of its own."""


def plain(options):
    """Ours take a torch Tensor's number."""
    return {key: float(value) if isinstance(value, torch.Tensor) else value for key, value in options.items()}


def cases(default, complex_too=False):
    for info in optim_db:
        name = info.optim_cls.__name__
        if name in APART or (complex_too and not info.supports_complex):
            continue
        inputs = info.optim_inputs_func(torch.device("cpu"))
        richest = max(range(len(inputs)), key=lambda index: len(inputs[index].kwargs))
        for index, case in enumerate(inputs):
            marks = () if index == richest and (default is None or name in default) else pytest.mark.full
            yield pytest.param(name, case.kwargs, id=f"{name}-{case.desc}", marks=marks)


def pair(name, twins, options):
    return getattr(optim, name)(twins.ours, **plain(options)), getattr(torch.optim, name)(twins.theirs, **options)


FURTHER = [
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {"lr": 0.01, "betas": (0.0, 0.9), "eps": 1e-3}),
    ("RAdam", {"lr": 0.01, "betas": (0.5, 0.8)}),
    ("ASGD", {"lr": 0.1, "t0": 3.0, "lambd": 0.1}),
    ("Adafactor", {"eps": (1e-3, 1e-2), "d": 2.0}),
    ("Muon", {"lr": 0.01, "adjust_lr_fn": "match_rms_adamw", "nesterov": False}),
]


@pytest.mark.parametrize(("name", "options"), FURTHER)
def test_options_that_pytorchs_cases_leave_out(backend, name, options):
    twenty_steps(Twins(shapes(name)), name, options)


def twenty_steps(twins, name, options):
    our, their = pair(name, twins, options)
    for _ in range(20):
        twins.feed()
        our.step()
        their.step()
    twins.compare()
    compare_state(our, their)


def shapes(name):
    return [(7, 5), (3, 7)] if name == "Muon" else SHAPES


@pytest.mark.parametrize(("name", "options"), list(cases(None)))
def test_twenty_steps(backend, name, options):
    twins = Twins(shapes(name))
    twenty_steps(twins, name, options)
    assert all(param.requires_grad and param.is_leaf for param in twins.ours)


@pytest.mark.parametrize(("name", "options"), list(cases({"Adam"})))
def test_twenty_compiled_steps(backend, name, options):
    twins = Twins(shapes(name))
    our, their = pair(name, twins, options)
    step = compiled(twins, our)
    for _ in range(20):
        gradients = twins.gradients()
        step(*[ours(value) for value in gradients])
        for param, value in zip(twins.theirs, gradients, strict=True):
            param.grad = torch.tensor(value)
        their.step()
    twins.compare()
    compare_state(our, their)
    assert programs(step) == 1


def compiled(twins, optimizer):
    """A compiled step that takes the gradients."""

    @un.compile
    def step(*gradients):
        for param, gradient in zip(twins.ours, gradients, strict=True):
            param.grad = gradient
        optimizer.step()
        optimizer.zero_grad()

    return step


def programs(step):
    return sum(len(entries) for entries in step._entries.values())


@pytest.mark.parametrize(("name", "options"), list(cases({"Adam", "Rprop", "Adagrad"}, complex_too=True)))
def test_complex_parameters(backend, name, options):
    twenty_steps(Twins([(3, 2), (2,), ()], dtype=np.complex64), name, options)


@pytest.mark.parametrize("name", ["Adafactor", "Muon"])
def test_complex_parameters_are_refused_where_pytorch_refuses_them(backend, name):
    with pytest.raises(un.errors.ArgumentError, match="complex"):
        getattr(optim, name)([ours(np.ones((2, 2), np.complex64)).requires_grad_()])


def test_muon_takes_matrices_only(backend):
    with pytest.raises(un.errors.ShapeError, match="matrices"):
        optim.Muon([ours(np.ones(3, np.float32)).requires_grad_()])


def test_double_parameters_train_in_double(backend):
    """1e-12: every number that goes into an update is a double then, up to expm1 for the bias correction."""
    twins = Twins([(3, 2), ()], dtype=np.float64)
    our, their = optim.Adam(twins.ours, lr=0.01), torch.optim.Adam(twins.theirs, lr=0.01)
    for _ in range(20):
        twins.feed()
        our.step()
        their.step()
    for param, expected in zip(twins.ours, twins.theirs, strict=True):
        np.testing.assert_allclose(param.detach().numpy(), expected.detach().numpy(), 1e-12)


@pytest.mark.parametrize(
    ("name", "reference", "options", "theirs"),
    [
        (
            "Lion",
            "lion",
            {"lr": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.1},
            {"b1": 0.8, "b2": 0.9, "weight_decay": 0.1},
        ),
        ("LAMB", "lamb", {"lr": 0.01, "weight_decay": 0.1}, {"weight_decay": 0.1}),
    ],
)
def test_lion_and_lamb_are_optaxs(backend, name, reference, options, theirs):
    optax = pytest.importorskip("optax", reason="the oracle of Lion and LAMB; pip install optax lifts this")
    twins = Twins()
    params = [np.asarray(param.detach().numpy()) for param in twins.ours]
    our, their = getattr(optim, name)(twins.ours, **options), getattr(optax, reference)(options["lr"], **theirs)
    state = their.init(params)
    for _ in range(20):
        gradients = twins.gradients()
        for param, value in zip(twins.ours, gradients, strict=True):
            param.grad = ours(value)
        our.step()
        updates, state = their.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
    for param, expected in zip(twins.ours, params, strict=True):
        close(param, expected)


CHANGES = [
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}, {"lr": 0.01, "momentum": 0.5, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1}, {"lr": 0.01, "betas": (0.5, 0.9), "eps": 1e-2, "weight_decay": 0.1}),
    ("NAdam", {"lr": 0.1}, {"betas": (0.5, 0.9), "momentum_decay": 0.1}),
    ("RMSprop", {"lr": 0.1, "momentum": 0.9}, {"alpha": 0.5, "momentum": 0.5, "eps": 1e-2}),
    ("Rprop", {"lr": 0.1}, {"etas": (0.3, 1.5), "step_sizes": (1e-2, 0.2)}),
    ("ASGD", {"lr": 0.1}, {"lambd": 0.1, "t0": 2.0, "alpha": 0.5}),
]


def changes():
    for change in CHANGES:
        yield pytest.param(*change, id=change[0], marks=() if change[0] == "Adam" else pytest.mark.full)


@pytest.mark.parametrize(("name", "options", "later"), list(changes()))
def test_numbers_change_between_compiled_steps_without_a_retrace(backend, name, options, later):
    twins = Twins([(3, 2), (2,)])
    our, their = getattr(optim, name)(twins.ours, **options), getattr(torch.optim, name)(twins.theirs, **options)
    step = compiled(twins, our)
    for changed in ({}, later, options):
        our.param_groups[0].update(changed)
        their.param_groups[0].update(changed)
        for _ in range(2):
            gradients = twins.gradients()
            step(*[ours(value) for value in gradients])
            for param, value in zip(twins.theirs, gradients, strict=True):
                param.grad = torch.tensor(value)
            their.step()
        twins.compare()
    assert programs(step) == 1


def test_a_flag_changes_with_a_retrace(backend):
    twins = Twins([(3, 2)])
    optimizer = optim.SGD(twins.ours, lr=1.0)
    step = compiled(twins, optimizer)
    one = np.ones((3, 2), np.float32)
    start = twins.ours[0].detach().numpy().copy()
    step(ours(one))
    np.testing.assert_allclose(twins.ours[0].detach().numpy(), start - 1.0, 1e-6)
    optimizer.param_groups[0]["maximize"] = True
    step(ours(one))
    step(ours(one))
    np.testing.assert_allclose(twins.ours[0].detach().numpy(), start + 1.0, 1e-6)
    assert programs(step) == 2


def test_a_schedule_does_not_retrace(backend):
    twins = Twins([(3, 2)])
    our, their = optim.SGD(twins.ours, lr=0.1, momentum=0.9), torch.optim.SGD(twins.theirs, lr=0.1, momentum=0.9)
    mine = optim.lr_scheduler.OneCycleLR(our, 0.5, total_steps=12)
    reference = torch.optim.lr_scheduler.OneCycleLR(their, 0.5, total_steps=12)
    step = compiled(twins, our)
    for _ in range(10):
        gradients = twins.gradients()
        step(*[ours(value) for value in gradients])
        twins.theirs[0].grad = torch.tensor(gradients[0])
        their.step()
        mine.step()
        reference.step()
    twins.compare()
    assert programs(step) == 1


STATE = {
    "Adafactor": {}, "Adagrad": {"initial_accumulator_value": 0.1}, "ASGD": {"t0": 2.0}, "Muon": {},
    "NAdam": {}, "RMSprop": {"centered": True, "momentum": 0.9}, "Rprop": {},
}  # fmt: skip


@pytest.mark.parametrize("name", STATE)
def test_state_dicts_go_to_torch_and_come_back(backend, name):
    twins, options = Twins(shapes(name)), STATE[name]
    our, their = getattr(optim, name)(twins.ours, **options), getattr(torch.optim, name)(twins.theirs, **options)
    for _ in range(3):
        twins.feed()
        our.step()
        their.step()
    fresh = getattr(optim, name)(twins.ours, **{**options, "lr": 7.0})
    fresh.load_state_dict(their.state_dict())
    back = getattr(torch.optim, name)(twins.theirs, **{**options, "lr": 7.0})
    back.load_state_dict(to_torch(our.state_dict()))
    assert set(back.param_groups[0]) == set(their.param_groups[0])
    for _ in range(2):
        twins.feed()
        fresh.step()
        back.step()
    twins.compare()
    compare_state(fresh, back)
