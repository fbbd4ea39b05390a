"""Averaged models against ``torch.optim.swa_utils``, eager and within a compiled step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import unified as un
from tests.twins import close, ours
from unified import errors, nn
from unified.optim import swa_utils

KINDS = {
    "mean": lambda module: {},
    "swa_fn": lambda module: {"avg_fn": module.get_swa_avg_fn()},
    "ema": lambda module: {"multi_avg_fn": module.get_ema_multi_avg_fn(0.9)},
    "ema_fn": lambda module: {"avg_fn": module.get_ema_avg_fn(0.9)},
    "swa_buffers": lambda module: {"avg_fn": module.get_swa_avg_fn(), "use_buffers": True},
    "ema_buffers": lambda module: {"multi_avg_fn": module.get_ema_multi_avg_fn(0.9), "use_buffers": True},
}


def models(seed=0):
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    mine = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    change(mine, theirs, np.random.default_rng(seed))
    return mine, theirs


def change(mine, theirs, random):
    for param in [*theirs.parameters(), *theirs.buffers()]:
        with torch.no_grad():
            if param.dtype.is_floating_point:
                param.copy_(torch.tensor(random.standard_normal(tuple(param.shape))))
            else:
                param.add_(3)
    mine.load_state_dict(theirs.state_dict())


def compare(mine, theirs):
    expected = theirs.state_dict()
    found = mine.state_dict()
    assert list(found) == ["n_averaged", *[key for key in expected if key != "n_averaged"]]
    for key, value in expected.items():
        close(found[key], value)


@pytest.mark.parametrize("kind", KINDS)
def test_averages(backend, kind):
    mine, theirs = models()
    average = swa_utils.AveragedModel(mine, **KINDS[kind](swa_utils))
    reference = torch.optim.swa_utils.AveragedModel(theirs, **KINDS[kind](torch.optim.swa_utils))
    random = np.random.default_rng(1)
    for _ in range(5):
        change(mine, theirs, random)
        average.update_parameters(mine)
        reference.update_parameters(theirs)
        compare(average, reference)
    x = random.standard_normal((5, 3)).astype(np.float32)
    close(average.eval()(ours(x)), reference.eval()(torch.tensor(x)))


@pytest.mark.parametrize("kind", ["mean", pytest.param("ema_buffers", marks=pytest.mark.full)])
def test_averages_within_a_compiled_step(backend, kind):
    mine, theirs = models()
    average = swa_utils.AveragedModel(mine, **KINDS[kind](swa_utils))
    reference = torch.optim.swa_utils.AveragedModel(theirs, **KINDS[kind](torch.optim.swa_utils))
    random = np.random.default_rng(1)
    step = un.compile(lambda: average.update_parameters(mine))
    for _ in range(3):
        change(mine, theirs, random)
        step()
        reference.update_parameters(theirs)
        compare(average, reference)
    assert step.explain().count("traced because") == 1


def test_update_bn(backend):
    mine, theirs = models()
    random = np.random.default_rng(1)
    batches = [random.standard_normal((6, 3)).astype(np.float32) for _ in range(4)]
    mine.eval()
    theirs.eval()
    swa_utils.update_bn([(ours(batch), None) for batch in batches], mine)
    torch.optim.swa_utils.update_bn([(torch.tensor(batch), None) for batch in batches], theirs)
    for key, value in theirs.state_dict().items():
        close(mine.state_dict()[key], value)
    assert not mine.training
    assert mine[1].momentum == 0.1
    swa_utils.update_bn(iter(()), nn.Linear(2, 2))


def test_refusals(backend):
    with pytest.raises(errors.ArgumentError, match="not both"):
        swa_utils.AveragedModel(
            nn.Linear(2, 2), avg_fn=swa_utils.get_swa_avg_fn(), multi_avg_fn=swa_utils.get_swa_multi_avg_fn()
        )
    with pytest.raises(errors.ArgumentError, match="decay"):
        swa_utils.get_ema_avg_fn(1.5)
