"""Schedules against ``torch.optim.lr_scheduler``: 100 steps, every rate and every momentum equal to the last bit."""

from __future__ import annotations

import copy
import math
import re

import numpy as np
import pytest
import torch

import unified as un
from tests.twins import ours
from unified import errors, optim
from unified.optim import lr_scheduler

STEPS = 100
pytestmark = [  # torch's own: of its SequentialLR's habits, and of a schedule whose optimizer does not step
    pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning"),
    pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler:UserWarning"),
]


class Halving:
    """A callable object, whose attributes a state dict keeps."""

    def __init__(self):
        self.power = 0.5

    def __call__(self, epoch):
        return self.power ** (epoch // 10)


def sequence(module, optimizer):
    first = module.LinearLR(optimizer, 0.1, total_iters=10)
    return module.SequentialLR(
        optimizer,
        [
            first,
            module.CosineAnnealingLR(optimizer, 30),
            module.StepLR(optimizer, 7),
            module.ExponentialLR(optimizer, 0.9),
        ],
        [10, 40, 70],
    )


def nested(module, optimizer):
    inner = module.SequentialLR(
        optimizer, [module.ConstantLR(optimizer, 0.5, 3), module.PolynomialLR(optimizer, 20, 2.0)], [5]
    )
    return module.SequentialLR(optimizer, [inner, module.MultiStepLR(optimizer, [3, 9, 9])], [30])


def restarts(module, optimizer):
    schedules = [
        module.CosineAnnealingWarmRestarts(optimizer, 5), module.LambdaLR(optimizer, lambda epoch: 0.99**epoch)
    ]  # fmt: skip
    return module.SequentialLR(optimizer, schedules, [50])


def chain(module, optimizer):
    return module.ChainedScheduler(
        [module.ConstantLR(optimizer, 0.1, 20), module.ExponentialLR(optimizer, 0.97), module.StepLR(optimizer, 30)]
    )


def swalr(module, optimizer, **options):
    return (module.SWALR if hasattr(module, "SWALR") else torch.optim.swa_utils.SWALR)(optimizer, **options)


def named(name, **options):
    words = ", ".join(f"{key}={option}" for key, option in options.items())
    words = re.sub(" at 0x[0-9a-f]+", "", words)  # an address makes another name of each run
    return pytest.param(lambda module, optimizer: getattr(module, name)(optimizer, **options), id=f"{name}-{words}")


SCHEDULES = [
    named("LambdaLR", lr_lambda=lambda epoch: 1 / math.sqrt(epoch + 1)),
    named("LambdaLR", lr_lambda=[lambda epoch: 0.95**epoch, Halving()]),
    named("MultiplicativeLR", lr_lambda=lambda epoch: 1 - 1 / (epoch + 3)),
    named("StepLR", step_size=7, gamma=0.3),
    named("MultiStepLR", milestones=[2, 30, 30, 75], gamma=0.1),
    named("ConstantLR"),
    named("ConstantLR", factor=0.3, total_iters=40),
    named("LinearLR"),
    named("LinearLR", start_factor=0.25, end_factor=0.5, total_iters=37),
    named("ExponentialLR", gamma=0.97),
    named("PolynomialLR", total_iters=60, power=1.7),
    named("CosineAnnealingLR", T_max=17, eta_min=0.01),
    named("CosineAnnealingLR", T_max=100),
    named("CosineAnnealingWarmRestarts", T_0=7),
    named("CosineAnnealingWarmRestarts", T_0=5, T_mult=2, eta_min=0.01),
    named("CyclicLR", base_lr=0.01, max_lr=0.3, step_size_up=9),
    named("CyclicLR", base_lr=[0.01, 0.1], max_lr=[0.3, 0.7], step_size_up=9, step_size_down=4, mode="triangular2"),
    named("CyclicLR", base_lr=0.01, max_lr=0.3, step_size_up=5, mode="exp_range", gamma=0.98),
    named("CyclicLR", base_lr=0.01, max_lr=0.3, step_size_up=5, scale_fn=lambda x: 1 / x, cycle_momentum=False),
    named("OneCycleLR", max_lr=0.5, total_steps=101),
    named("OneCycleLR", max_lr=[0.5, 0.1], epochs=51, steps_per_epoch=2, anneal_strategy="linear", pct_start=0.4),
    named("OneCycleLR", max_lr=0.5, total_steps=101, three_phase=True, base_momentum=0.7),
    pytest.param(lambda module, optimizer: swalr(module, optimizer, swa_lr=0.01), id="SWALR"),
    pytest.param(
        lambda module, sgd: swalr(module, sgd, swa_lr=[0.1, 2.0], anneal_epochs=9, anneal_strategy="linear"),
        id="SWALR-linear",
    ),
    pytest.param(sequence, id="SequentialLR"),
    pytest.param(nested, id="SequentialLR-nested"),
    pytest.param(restarts, id="SequentialLR-restarts"),
    pytest.param(chain, id="ChainedScheduler"),
]  # fmt: skip


def optimizers(kind="SGD"):
    options = {"lr": 0.3, "momentum": 0.9} if kind == "SGD" else {"lr": 0.3}
    sides = []
    for module, make in ((optim, ours), (torch.optim, torch.tensor)):
        leaves = [make(np.ones(2, np.float32)).requires_grad_() for _ in range(2)]
        groups = [{"params": leaves[:1]}, {"params": leaves[1:], "lr": 0.7}]
        sides.append(getattr(module, kind)(groups, **options))
    return sides


def rates(optimizer):
    if isinstance(optimizer, optim.Optimizer):
        return [group.number("lr") for group in optimizer.param_groups]
    return [group["lr"] for group in optimizer.param_groups]


def momenta(optimizer):
    return [group.get("momentum", group.get("betas")) for group in optimizer.param_groups]


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("build", SCHEDULES)
def test_a_hundred_steps(build, kind):
    """On one backend: schedules are Python, and what they write is tested on all of them below."""
    our, their = optimizers(kind)
    mine, reference = build(lr_scheduler, our), build(torch.optim.lr_scheduler, their)
    for _ in range(STEPS):
        assert rates(our) == rates(their)
        assert mine.get_last_lr() == reference.get_last_lr() == rates(our)
        assert momenta(our) == momenta(their)
        mine.step()
        reference.step()


@pytest.mark.parametrize("build", SCHEDULES)
def test_a_schedule_resumes(build):
    our, _ = optimizers()
    schedule = build(lr_scheduler, our)
    for _ in range(23):
        schedule.step()
    saved, options = copy.deepcopy(schedule.state_dict()), our.state_dict()
    other, _ = optimizers()
    resumed = build(lr_scheduler, other)
    other.load_state_dict(options)
    resumed.load_state_dict(saved)
    for _ in range(20):
        assert rates(other) == rates(our)
        assert momenta(other) == momenta(our)
        schedule.step()
        resumed.step()


def test_the_rate_is_written_into_the_tensor(backend):
    leaf = ours(np.ones(2, np.float32)).requires_grad_()
    optimizer = optim.SGD([leaf], lr=0.3)
    held = optimizer.param_groups[0]["lr"]
    schedule = lr_scheduler.ExponentialLR(optimizer, 0.9)
    for _ in range(3):
        schedule.step()
    assert optimizer.param_groups[0]["lr"] is held
    assert float(held) == np.float32(schedule.get_last_lr()[0])


@pytest.mark.parametrize(
    "options",
    [
        {}, {"mode": "max", "patience": 3, "factor": 0.5}, {"threshold_mode": "abs", "threshold": 0.1, "patience": 2},
        {"mode": "max", "threshold_mode": "abs", "threshold": 0.1, "cooldown": 5, "patience": 1},
        {"patience": 2, "min_lr": [0.1, 0.2]},
        {"patience": 0, "factor": 0.9, "eps": 1e-2},
    ],
)  # fmt: skip
def test_plateau(options):
    our, their = optimizers()
    mine = lr_scheduler.ReduceLROnPlateau(our, **options)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(their, **options)
    random = np.random.default_rng(0)
    for step in range(STEPS):
        metric = float(np.exp(-step / 20) + 0.05 * random.standard_normal())
        mine.step(metric)
        reference.step(metric)
        assert rates(our) == rates(their)
        assert (mine.best, mine.num_bad_epochs) == (reference.best, reference.num_bad_epochs)
        if step == 40:
            fresh = lr_scheduler.ReduceLROnPlateau(our, **options)
            fresh.load_state_dict(mine.state_dict())
            mine = fresh


def test_restarts_go_to_a_fraction_of_an_epoch():
    our, their = optimizers()
    mine = lr_scheduler.CosineAnnealingWarmRestarts(our, 3, 2)
    reference = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(their, 3, 2)
    for epoch in (0.0, 0.25, 2.5, 3.0, 8.75, 9.0, 40.5, 1.0):
        mine.step(epoch)
        reference.step(epoch)
        assert rates(our) == rates(their)


def test_warmup_and_cosine():
    """Against its two halves, which PyTorch has: a line in closed form, and half a cosine in closed form."""
    our, their = optimizers()
    schedule = lr_scheduler.WarmupCosineLR(our, 10, 60, warmup_start_factor=0.1, eta_min=0.01)
    warm = torch.optim.lr_scheduler.LinearLR(their, 0.1, total_iters=10)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(their, 50, 0.01)
    for epoch in range(STEPS):
        half = warm if epoch < 10 else cosine
        half.last_epoch = epoch if epoch < 10 else min(epoch - 10, 50)
        assert rates(our) == pytest.approx(half._get_closed_form_lr(), rel=1e-14)  # another order of the same terms
        schedule.step()


def test_refusals():
    our, other = optimizers()[0], optimizers()[0]
    plain = optim.Adagrad([ours(np.ones(2, np.float32)).requires_grad_()])
    step, foreign = lr_scheduler.StepLR(our, 3), lr_scheduler.StepLR(other, 3)
    plateau = lr_scheduler.ReduceLROnPlateau(our)
    for build, message in [
        (lambda: lr_scheduler.StepLR(plain, 3, last_epoch=4), "initial_lr"),
        (lambda: lr_scheduler.LambdaLR(our, [abs]), "1 functions for 2"),
        (lambda: lr_scheduler.ConstantLR(our, 1.5), "factor"),
        (lambda: lr_scheduler.LinearLR(our, 0.0), "start_factor"),
        (lambda: lr_scheduler.CyclicLR(our, 0.1, [0.2]), "1 values for 2"),
        (lambda: lr_scheduler.CyclicLR(our, 0.1, 0.2, mode="square"), "mode"),
        (lambda: lr_scheduler.CyclicLR(plain, 0.1, 0.2), "cycle_momentum"),
        (lambda: lr_scheduler.OneCycleLR(our, 0.1), "total_steps"),
        (lambda: lr_scheduler.OneCycleLR(our, 0.1, 10, anneal_strategy="square"), "anneal_strategy"),
        (lambda: lr_scheduler.CosineAnnealingWarmRestarts(our, 0), "T_0"),
        (lambda: lr_scheduler.WarmupCosineLR(our, 5, 5), "max_epochs"),
        (lambda: lr_scheduler.ReduceLROnPlateau(our, factor=1.0), "factor"),
        (lambda: lr_scheduler.SequentialLR(our, [], []), "at least one"),
        (lambda: lr_scheduler.SequentialLR(our, [step], [3]), "milestone"),
        (lambda: lr_scheduler.ChainedScheduler([step, foreign]), "different optimizers"),
        (lambda: lr_scheduler.SWALR(our, 0.1, anneal_epochs=-1), "anneal_epochs"),
    ]:
        with pytest.raises(errors.ArgumentError, match=message):
            build()
    for build in (lambda: lr_scheduler.StepLR(3.0, 3), lambda: lr_scheduler.ChainedScheduler([step, plateau])):
        with pytest.raises(errors.OperandError):
            build()
    cycle = lr_scheduler.OneCycleLR(our, 0.1, 3)
    for _ in range(3):
        cycle.step()
    with pytest.raises(errors.ArgumentError, match="cycle of 3"):
        cycle.step()


@pytest.mark.parametrize("make", [
    lambda o: lr_scheduler.StepLR(o, 2),
    lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 4),
    lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(o, 2), lr_scheduler.LinearLR(o)], [2]),
])  # fmt: skip
def test_a_step_within_a_compiled_function_is_refused_and_counts_nothing(backend, make):
    weight = un.ones(2, requires_grad=True)
    optimizer = optim.SGD([weight], lr=0.1)
    schedule = make(optimizer)
    before = copy.deepcopy({key: value for key, value in schedule.state_dict().items() if key != "_schedulers"})

    @un.compile
    def step():
        optimizer.zero_grad()
        weight.sum().backward()
        optimizer.step()
        schedule.step()

    name = type(schedule).__name__
    with pytest.raises(errors.TracedValueError, match=rf"{name}.step\(\), which computes the rate in Python, needs"):
        step()
    after = {key: value for key, value in schedule.state_dict().items() if key != "_schedulers"}
    assert after == before
    assert weight.tolist() == [1.0, 1.0]
