"""LBFGS against torch's: in float64, where rounding flips no decision, the same path and the same counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing._internal.common_optimizers import optim_db

import unified as un
from tests.twins import ours, to_torch
from unified import errors, optim

TOLERANCE = 1e-9
"""Relative, float64: rounding of 1e-16, grown by tens of iterations that divide by differences of gradients."""


def problem(dtype=np.float64):
    random = np.random.default_rng(0)
    draw = [random.standard_normal(shape) for shape in ((8, 5), (8,), (5,), ())]
    return [np.asarray(value, dtype) for value in draw]


def closure(optimizer, matrix, target, weight, scale, calls):
    def evaluate():
        optimizer.zero_grad()
        loss = (((matrix @ weight).tanh() * scale - target) ** 2).sum() + (weight**2).sum() * 0.01
        loss.backward()
        calls.append(float(loss.detach()))
        return loss

    return evaluate


def both(options):
    matrix, target, weight, scale = problem()
    sides = []
    for make, kind in ((ours, optim.LBFGS), (torch.tensor, torch.optim.LBFGS)):
        params = [make(value).requires_grad_() for value in (weight, scale)]
        optimizer, calls = kind(params, **options), []
        evaluate = closure(optimizer, make(matrix), make(target), *params, calls)
        sides.append((optimizer, params, evaluate, calls))
    return sides


def cases():
    info = next(info for info in optim_db if info.optim_cls.__name__ == "LBFGS")
    for case in info.optim_inputs_func(torch.device("cpu")):
        options = {k: float(v) if isinstance(v, torch.Tensor) else v for k, v in case.kwargs.items()}
        yield pytest.param(options, id=case.desc)
    yield pytest.param({"line_search_fn": "strong_wolfe", "history_size": 2, "max_iter": 6}, id="short history")
    yield pytest.param({"line_search_fn": "strong_wolfe", "max_eval": 3, "lr": 5.0}, id="few evaluations")
    yield pytest.param({"history_size": 1, "lr": 0.1}, id="one pair")


@pytest.mark.parametrize("options", list(cases()))
def test_the_path_is_torchs(backend, options):
    (our, params, evaluate, calls), (their, expected, reference, their_calls) = both(options)
    for _ in range(3):
        loss = our.step(evaluate)
        assert isinstance(loss, un.Tensor)
        their.step(reference)
    count = min(len(calls), len(their_calls), 30)  # near the optimum the search looks at rounding alone
    np.testing.assert_allclose(calls[:count], their_calls[:count], 1e-6)
    assert abs(len(calls) - len(their_calls)) <= 3
    for param, value in zip(params, expected, strict=True):
        np.testing.assert_allclose(param.detach().numpy(), value.detach().numpy(), 1e-5)


@pytest.mark.parametrize("options", [{}, {"line_search_fn": "strong_wolfe"}])
def test_one_step_far_from_the_optimum_is_torchs_to_rounding(backend, options):
    options = {**options, "max_iter": 8}
    (our, params, evaluate, calls), (their, expected, reference, their_calls) = both(options)
    our.step(evaluate)
    their.step(reference)
    assert len(calls) == len(their_calls)
    for param, value in zip(params, expected, strict=True):
        np.testing.assert_allclose(param.detach().numpy(), value.detach().numpy(), TOLERANCE)
    found, state = our.state_dict()["state"][0], their.state_dict()["state"][0]
    assert (found["func_evals"], found["n_iter"]) == (state["func_evals"], state["n_iter"])
    np.testing.assert_allclose(found["prev_flat_grad"].numpy(), state["prev_flat_grad"].numpy(), TOLERANCE)


def test_state_dicts_go_to_torch_and_come_back(backend):
    options = {"line_search_fn": "strong_wolfe", "max_iter": 4}
    (our, params, evaluate, _), (their, expected, reference, _) = both(options)
    our.step(evaluate)
    their.step(reference)
    saved, theirs = our.state_dict(), their.state_dict()
    our.load_state_dict(theirs)
    their.load_state_dict(to_torch(saved))
    our.step(evaluate)
    their.step(reference)
    for param, value in zip(params, expected, strict=True):
        np.testing.assert_allclose(param.detach().numpy(), value.detach().numpy(), TOLERANCE)


def test_complex_parameters(backend):
    random = np.random.default_rng(0)
    start, goal = (random.standard_normal((2, 3)) @ np.asarray([[1.0], [1j], [1.0]]) for _ in range(2))
    values = []
    for make, kind in ((ours, optim.LBFGS), (torch.tensor, torch.optim.LBFGS)):
        param, target = make(start).requires_grad_(), make(goal)
        optimizer = kind([param], max_iter=4)

        def evaluate(optimizer=optimizer, param=param, target=target):
            optimizer.zero_grad()
            loss = ((param - target).abs() ** 4).sum()
            loss.backward()
            return loss

        optimizer.step(evaluate)
        values.append(np.asarray(param.detach()))
    np.testing.assert_allclose(values[0], values[1], TOLERANCE)


def test_refusals(backend):
    (optimizer, params, evaluate, _), _ = both({})
    with pytest.raises(errors.OperandError, match="closure"):
        optimizer.step()
    with pytest.raises(errors.TracedValueError, match="LBFGS"):
        un.compile(lambda: optimizer.step(evaluate))()
    with pytest.raises(errors.ArgumentError, match="one parameter group"):
        optimizer.add_param_group({"params": [ours(np.ones(2, np.float32)).requires_grad_()]})
    with pytest.raises(errors.ArgumentError, match="strong_wolfe"):
        optim.LBFGS(params, line_search_fn="armijo")
