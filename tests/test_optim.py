"""What all optimisers have in common: groups, state dicts, hooks, closures, and gradients through a step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import unified as un
from tests.twins import Twins, ours
from unified import errors, optim
from unified.optim import SGD, Adam, AdamW

PAIRS = {"SGD": (SGD, torch.optim.SGD), "Adam": (Adam, torch.optim.Adam), "AdamW": (AdamW, torch.optim.AdamW)}

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


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_parameters_without_gradients_are_skipped_and_do_not_count(backend, name):
    options = {"lr": 0.1, "momentum": 0.9, "dampening": 0.5} if name == "SGD" else {"lr": 0.1}
    twins = Twins()
    kind, reference = PAIRS[name]
    our, their = kind(twins.ours, **options), reference(twins.theirs, **options)
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
    kind, reference = PAIRS[name]
    our, their = kind(twins.ours, **options), reference(twins.theirs, **options)
    for _ in range(3):
        twins.feed()
        our.step()
        their.step()
    saved = our.state_dict()
    assert saved["param_groups"][0]["lr"] == options["lr"]
    assert saved["param_groups"][0]["params"] == [0, 1, 2, 3, 4]
    fresh = kind(twins.ours, **{**options, "lr": 7.0})
    fresh.load_state_dict(their.state_dict())
    twins.feed()
    fresh.step()
    their.step()
    twins.compare()
    again = kind(twins.ours, **options)
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
        [ours(np.zeros(shape, np.float32)).requires_grad_() for shape in [(7, 5), (7,), (3, 7), (4,), ()]]
    ).state_dict()
    with pytest.raises(errors.StateDictError, match="shape"):
        optimizer.load_state_dict(other)
    with pytest.raises(errors.StateDictError, match="parameters"):
        optimizer.load_state_dict(Adam(twins.ours[:2]).state_dict())
    for value, held in zip(optimizer.state[twins.ours[0]].values(), before, strict=True):
        np.testing.assert_array_equal(value.numpy(), held)


def test_refusals(backend):
    leaf = ours(np.ones(2, np.float32)).requires_grad_()
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


def test_named_parameters_and_their_names(backend):
    twins = Twins([(2,), (3,)])
    our = SGD(zip(["a", "b"], twins.ours, strict=True), lr=0.1)
    their = torch.optim.SGD(zip(["a", "b"], twins.theirs, strict=True), lr=0.1)
    twins.feed()
    our.step()
    their.step()
    twins.compare()
    assert our.state_dict()["param_groups"][0]["param_names"] == ["a", "b"]
    assert their.state_dict()["param_groups"][0]["param_names"] == ["a", "b"]


def test_a_group_added_later_has_state_of_its_own(backend):
    twins = Twins([(2,), (3,)])
    our, their = Adam(twins.ours[:1], lr=0.1), torch.optim.Adam(twins.theirs[:1], lr=0.1)
    for added in (False, True):
        if added:
            our.add_param_group({"params": twins.ours[1:], "lr": 0.5, "betas": (0.5, 0.9)})
            their.add_param_group({"params": twins.theirs[1:], "lr": 0.5, "betas": (0.5, 0.9)})
        for _ in range(2):
            twins.feed()
            our.step()
            their.step()
    twins.compare()


def test_momentum_may_be_switched_on(backend):
    twins = Twins([(2,)])
    our, their = SGD(twins.ours, lr=0.1), torch.optim.SGD(twins.theirs, lr=0.1)
    for momentum in (0.0, 0.9, 0.5, 0.0):
        our.param_groups[0]["momentum"] = their.param_groups[0]["momentum"] = momentum
        for _ in range(2):
            twins.feed()
            our.step()
            their.step()
            twins.compare()


def test_options_that_choose_pytorchs_implementation_change_nothing(backend):
    results = []
    for options in ({}, {"foreach": False, "capturable": True}, {"fused": True}):
        twins = Twins([(2,)])
        optimizer = Adam(twins.ours, lr=0.1, **options)
        twins.feed()
        optimizer.step()
        results.append(twins.ours[0].detach().numpy())
        assert set(torch.optim.Adam(twins.theirs).param_groups[0]) == set(optimizer.param_groups[0])
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_step_hooks_run_in_pytorchs_order(backend):
    calls = {"ours": [], "theirs": []}
    twins = Twins([(2,)])
    for key, optimizer in (("ours", SGD(twins.ours, lr=0.1)), ("theirs", torch.optim.SGD(twins.theirs, lr=0.1))):
        log = calls[key]
        before = optimizer.register_step_pre_hook(lambda o, args, kwargs, log=log: log.append(("pre", len(args))))
        optimizer.register_step_post_hook(lambda o, args, kwargs, log=log: log.append(("post", type(o).__name__)))
        optimizer.register_state_dict_pre_hook(lambda o, log=log: log.append("saving"))
        optimizer.register_state_dict_post_hook(lambda o, saved, log=log: {**saved, "more": 1})
        optimizer.register_load_state_dict_pre_hook(lambda o, saved, log=log: log.append(("loading", saved["more"])))
        optimizer.register_load_state_dict_post_hook(lambda o, log=log: log.append("loaded"))
        twins.feed()
        optimizer.step()
        before.remove()
        optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
    assert calls["ours"] == [("pre", 0), ("post", "SGD"), ("post", "SGD"), "saving", ("loading", 1), "loaded"]
    assert calls["theirs"] == [
        ("pre", 1) if entry == ("pre", 0) else entry for entry in calls["ours"]
    ]  # torch counts the optimizer itself


def differentiated(optimizer, leaves, **options):
    """The gradients of (parameter, gradient, rate) through two differentiable steps, in one framework or another."""
    param, grad, rate = leaves
    moving = param.clone()
    made = optimizer([moving], lr=rate, differentiable=True, **options)
    for scale in (1.0, -3.0):  # different gradients, so that Adam does not cancel their size
        moving.grad = grad * grad + scale
        made.step()
    (moving * moving).sum().backward()
    return [leaf.grad for leaf in leaves if hasattr(leaf, "grad")]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"weight_decay": 0.1}),
        ("Adam", {"eps": 0.1}),
        ("RMSprop", {"eps": 0.1}),
        ("Adadelta", {}),
        ("NAdam", {}),
    ],
)
def test_gradients_flow_through_a_differentiable_step(backend, name, options):
    values = [np.asarray([0.5, -1.0, 2.0]), np.asarray([1.0, 0.5, -0.3]), np.asarray(0.1)]
    found = differentiated(getattr(optim, name), [ours(value).requires_grad_() for value in values], **options)
    leaves = [torch.tensor(value, requires_grad=True) for value in values]
    takes_rate = name in ("SGD", "Adam")  # the others take the number of a Tensor only
    expected = differentiated(getattr(torch.optim, name), [*leaves[:2], leaves[2] if takes_rate else 0.1], **options)
    assert len(expected) == 2 + takes_rate
    # float64 through two steps; but torch's own step count is float32, and so is its beta ** step in these two
    tolerance = 2e-5 if name in ("Adam", "NAdam") else 1e-9
    for gradient, reference in zip(found, expected, strict=False):
        np.testing.assert_allclose(gradient.numpy(), reference.numpy(), tolerance)
    assert float(found[2]) != 0.0


def test_a_differentiable_step_on_a_leaf_is_refused(backend):
    leaf = ours(np.ones(2, np.float32)).requires_grad_()
    optimizer = SGD([leaf], lr=0.1, differentiable=True)
    leaf.grad = ours(np.ones(2, np.float32))
    with pytest.raises(errors.InPlaceLeafError):
        optimizer.step()
    np.testing.assert_array_equal(leaf.detach().numpy(), [1.0, 1.0])


def test_accumulated_gradients_are_those_of_the_large_batch(backend):
    random = np.random.default_rng(0)
    x, y = random.standard_normal((6, 3)).astype(np.float32), random.standard_normal(6).astype(np.float32)
    whole, parts = (ours(np.zeros(3, np.float32)).requires_grad_() for _ in range(2))

    def loss(weight, rows):
        return ((ours(x[rows]) @ weight - ours(y[rows])) ** 2).mean()

    optimizer = SGD([whole], lr=0.1)
    accumulator = optim.GradientAccumulator(SGD([parts], lr=0.1), steps=2)
    stepped = []
    for rows in (slice(0, 2), slice(2, 4), slice(4, 6)):
        accumulator.backward(loss(parts, rows))
        stepped.append(accumulator.step())
    assert stepped == [False, True, False]
    assert accumulator.state_dict() == {"steps": 2, "pending": 1}
    assert accumulator.flush()
    assert not accumulator.flush()
    for rows in (slice(0, 4), slice(4, 6)):
        optimizer.zero_grad()
        loss(whole, rows).backward()
        optimizer.step()
    np.testing.assert_allclose(parts.detach().numpy(), whole.detach().numpy(), 1e-6)  # float32 rounding
    with pytest.raises(errors.ArgumentError, match="above 0"):
        optim.GradientAccumulator(optimizer, 0)
    with pytest.raises(errors.CompileError, match="outside"):
        un.compile(accumulator.step)()


@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam_of_kernels_beside_vectors(backend, amsgrad):
    """A framework may update one with a narrow last dimension in another form."""
    draw = np.random.default_rng(0)
    values = [draw.standard_normal(shape).astype(np.float32) for shape in [(7,), (32, 16, 3, 3), (5, 4)]]
    slopes = [[draw.standard_normal(value.shape).astype(np.float32) for value in values] for _ in range(3)]
    mine = [un.tensor(value).requires_grad_() for value in values]
    theirs = [torch.tensor(value, requires_grad=True) for value in values]
    options = {"lr": 0.1, "weight_decay": 0.1, "amsgrad": amsgrad}
    optimizer, reference = optim.AdamW(mine, **options), torch.optim.AdamW(theirs, **options)
    compiled = un.compile(optimizer.step)
    for place, given in enumerate(slopes):
        for our, their, slope in zip(mine, theirs, given, strict=True):
            our.grad, their.grad = un.tensor(slope), torch.tensor(slope)
        compiled() if place else optimizer.step()
        reference.step()
    for our, their in zip(mine, theirs, strict=True):
        # float32, updates of 0.1, one of which divides by a square root
        np.testing.assert_allclose(our.detach().numpy(), their.detach().numpy(), 1e-5, 1e-5)
