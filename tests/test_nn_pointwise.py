"""Modules that PyTorch's Module database leaves out, against torch.nn; dropouts by their masks; containers.

Tolerance: 1e-5, as in the Module database's comparison.
"""

from __future__ import annotations

import inspect
import math
from collections import OrderedDict

import numpy as np
import pytest
import torch

import unified as un
from unified import errors, nn

TOLERANCE = 1e-5

CASES: dict[str, tuple[tuple, dict, list[tuple[int, ...]]]] = {
    "CosineSimilarity": ((2, 1e-6), {}, [(2, 3, 4), (2, 3, 4)]),
    "PairwiseDistance": ((1.5,), {"keepdim": True}, [(5, 3), (5, 3)]),
    "TripletMarginLoss": ((), {"margin": 2.0, "swap": True, "p": 3.0}, [(5, 3)] * 3),
    "TripletMarginWithDistanceLoss": ((), {"reduction": "sum"}, [(5, 3)] * 3),
    "Bilinear": ((3, 4, 2), {}, [(5, 3), (5, 4)]),
    "Hardsigmoid": ((), {}, [(3, 4)]),
    "RReLU": ((0.1, 0.5), {}, [(3, 4)]),
    "CrossMapLRN2d": ((5, 0.1, 0.5, 2.0), {}, [(2, 2, 4, 4)]),
    "SyncBatchNorm": ((3,), {"momentum": 0.3}, [(4, 3, 2)]),
    "AlphaDropout": ((0.5,), {}, [(3, 4)]),
    "FeatureAlphaDropout": ((0.5, True), {}, [(3, 4)]),
    "Dropout1d": ((), {}, [(3, 4, 5)]),
    "Dropout3d": ((0.3,), {}, [(3, 4, 5, 2, 2)]),
}
"""Constructor arguments and the shapes of inputs. What draws is compared in evaluation, where it draws nothing."""

DRAWS = {"RReLU", "AlphaDropout", "FeatureAlphaDropout", "Dropout1d", "Dropout3d"}


def close(ours: un.Tensor, theirs: torch.Tensor) -> None:
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), TOLERANCE, TOLERANCE)


@pytest.mark.parametrize("name", CASES)
def test_module_equals_torchs(backend: str, name: str) -> None:
    args, options, shapes = CASES[name]
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(theirs.state_dict())
    rng = np.random.default_rng(0)
    for training in (False,) if name in DRAWS else (True, False):
        arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
        xs, ts = (
            [un.tensor(a).requires_grad_() for a in arrays],
            [torch.tensor(a, requires_grad=True) for a in arrays],
        )
        y, s = ours.train(training)(*xs), theirs.train(training)(*ts)
        close(y, s)
        cotangent = rng.standard_normal(tuple(s.shape)).astype(np.float32)
        (y * un.tensor(cotangent)).sum().backward()
        (s * torch.tensor(cotangent)).sum().backward()
        for x, t in zip(xs, ts, strict=True):
            close(x.grad, t.grad)
    for key, value in ours.state_dict().items():
        close(value, theirs.state_dict()[key])


def test_arguments_are_torchs() -> None:
    """Names, order and defaults of constructors; ``device`` and ``dtype`` may be where PyTorch has others."""
    families = ("activation", "loss", "distance", "dropout", "normalization", "batchnorm", "instancenorm", "linear")
    names = [
        name
        for name in torch.nn.modules.__all__
        if hasattr(nn, name) and getattr(torch.nn, name).__module__.split(".")[-1] in (*families, "adaptive")
    ]
    assert len(names) > 80
    for name in sorted(set(names) - {"MultiheadAttention"}):
        if name in ("HingeEmbeddingLoss", "MarginRankingLoss", "CosineEmbeddingLoss", "LinearCrossEntropyOptions"):
            continue  # the first three share a constructor, where None is each one's default margin
        if name in ("Hardtanh", "NLLLoss2d"):
            continue  # min_value and max_value, deprecated in 2017, are not arguments here; theirs takes anything
        ours, theirs = (inspect.signature(getattr(n, name)).parameters.values() for n in (nn, torch.nn))
        assert [(p.name, p.kind) for p in ours] == [(p.name, p.kind) for p in theirs], name
        for one, other in zip(ours, theirs, strict=True):
            assert one.default == other.default, f"{name}: {one.name}"


IN_PLACE = {
    "relu_": (), "elu_": (0.5,), "selu_": (), "celu_": (0.5,), "leaky_relu_": (0.2,), "hardtanh_": (-0.5, 0.7),
    "threshold_": (0.1, 3.0), "rrelu_": (0.1, 0.3),
}  # fmt: skip


@pytest.mark.parametrize("name", IN_PLACE)
def test_functions_in_place(backend: str, name: str) -> None:
    array = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    x, t = un.tensor(array), torch.tensor(array.copy())
    assert getattr(nn.functional, name)(x, *IN_PLACE[name]) is x
    getattr(torch.nn.functional, name)(t, *IN_PLACE[name])
    close(x, t)


# ---- what draws: its bits are ours, the same on every backend, and not PyTorch's -------------------------------


@pytest.mark.parametrize("name", ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d"])
def test_dropout_keeps_or_zeroes_whole_channels(backend: str, name: str) -> None:
    un.manual_seed(0)
    shape = {
        "Dropout": (40, 50),
        "Dropout1d": (40, 50, 3),
        "Dropout2d": (40, 50, 2, 2),
        "Dropout3d": (40, 50, 2, 1, 2),
    }
    x = un.ones(*shape[name]).requires_grad_()
    y = getattr(nn, name)(0.3)(x)
    per_channel = y.detach().numpy().reshape(2000, -1)
    assert (per_channel == per_channel[:, :1]).all()
    kept = per_channel[:, 0] != 0
    np.testing.assert_allclose(per_channel[kept], 1 / 0.7, 1e-6)
    assert abs(kept.mean() - 0.7) < 4 * math.sqrt(0.21 / 2000)  # four standard deviations of the mean
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.detach().numpy(), 1e-6)
    assert getattr(nn, name)(0.3).eval()(x) is x


@pytest.mark.parametrize("name", ["AlphaDropout", "FeatureAlphaDropout"])
def test_alpha_dropout_keeps_mean_and_variance(backend: str, name: str) -> None:
    un.manual_seed(0)
    x = un.randn(200, 300, 2)
    y = getattr(nn, name)(0.2)(x).numpy()
    assert abs(y.mean() - x.numpy().mean()) < 0.02  # 60,000 channels: four standard deviations
    assert abs(y.var() - x.numpy().var()) < 0.04
    limit = 1.7580993408473766  # SELU's, scaled and shifted by the paper's formula
    dropped = np.isclose(y, -limit * 0.8 / math.sqrt((limit**2 * 0.2 + 1) * 0.8), 1e-5)
    assert abs(dropped.mean() - 0.2) < 0.01
    if name == "FeatureAlphaDropout":
        assert (dropped == dropped[:, :, :1]).all()


def test_rrelu_draws_slopes_while_training(backend: str) -> None:
    un.manual_seed(0)
    x = -un.ones(50, 40)
    y = nn.RReLU(0.1, 0.4)(x).numpy()
    assert -0.4 <= y.min() < -0.39
    assert -0.11 < y.max() <= -0.1
    np.testing.assert_array_equal(nn.RReLU()(un.ones(3)).numpy(), np.ones(3))


@pytest.mark.parametrize("p", [-0.1, 1.5])
@pytest.mark.parametrize("name", ["Dropout1d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"])
def test_a_probability_is_one(name: str, p: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        getattr(nn, name)(p)


# ---- losses and norms that have more to them ---------------------------------------------------------------------


@pytest.mark.parametrize("batched", [True, False])
def test_adaptive_softmax(backend: str, batched: bool) -> None:
    args, options = (16, 20, [5, 10, 15]), {"div_value": 2.0, "head_bias": True}
    ours, theirs = (
        nn.AdaptiveLogSoftmaxWithLoss(*args, **options),
        torch.nn.AdaptiveLogSoftmaxWithLoss(*args, **options),
    )
    ours.load_state_dict(theirs.state_dict())
    assert repr(ours) == repr(theirs)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 16)).astype(np.float32)
    target = rng.permutation(20).astype(np.int32)
    close(ours.log_prob(un.tensor(x)), theirs.log_prob(torch.tensor(x)))
    np.testing.assert_array_equal(ours.predict(un.tensor(x)).numpy(), theirs.predict(torch.tensor(x)).numpy())
    if not batched:
        x, target = x[0], target[0]
    found = ours(un.tensor(x), un.tensor(target))
    expected = theirs(torch.tensor(x), torch.tensor(target).long())
    close(found.output, expected.output)
    close(found.loss, expected.loss)
    found.loss.backward()
    expected.loss.backward()
    for (name, p), (_, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        gradient = np.zeros(tuple(q.shape), np.float32) if q.grad is None else q.grad.numpy()
        np.testing.assert_allclose(p.grad.numpy(), gradient, TOLERANCE, TOLERANCE, err_msg=name)


def test_adaptive_softmax_refuses(backend: str) -> None:
    for cutoffs in ([], [5, 3], [0, 3], [3, 3], [20], [2.5]):
        with pytest.raises(ValueError, match="cutoffs"):
            nn.AdaptiveLogSoftmaxWithLoss(4, 20, cutoffs)
    layer = nn.AdaptiveLogSoftmaxWithLoss(4, 20, [5])
    with pytest.raises(RuntimeError, match="goes with an input"):
        layer(un.ones(3, 4), un.zeros(2, dtype=un.int32))
    assert np.isnan(layer(un.ones(2, 4), un.tensor([1, 20])).output.detach().numpy()[1])


def test_cross_map_norm_windows_hold_their_own_channels(backend: str) -> None:
    """PyTorch's CrossMapLRN2d adds the first channel to every later window, and fails its gradcheck.

    LocalResponseNorm, the same function for an odd size, does not.
    """
    x = np.random.default_rng(0).standard_normal((2, 9, 3, 3)).astype(np.float32)
    expected = torch.nn.LocalResponseNorm(3, 0.5, 0.6, 1.5)(torch.tensor(x))
    close(nn.CrossMapLRN2d(3, 0.5, 0.6, 1.5)(un.tensor(x)), expected)
    for size in (4, 5):  # so few channels that no window lets go of one
        theirs = torch.nn.CrossMapLRN2d(size, 0.5, 0.6, 1.5)(torch.tensor(x[:, :2]))
        close(nn.CrossMapLRN2d(size, 0.5, 0.6, 1.5)(un.tensor(x[:, :2])), theirs)
    with pytest.raises(ValueError, match="4D"):
        nn.CrossMapLRN2d(3)(un.ones(2, 3))


def test_sync_batch_norm_of_one_process(backend: str) -> None:
    with pytest.raises(NotImplementedError, match="between processes"):
        nn.SyncBatchNorm(3, process_group=object())
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Sequential(nn.BatchNorm2d(2, affine=False)))
    weight = model[1].weight
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(model.eval())
    assert converted is model
    assert type(model[1]) is type(model[2][0]) is nn.SyncBatchNorm
    assert model[1].weight is weight
    assert not model[1].training
    theirs = torch.nn.SyncBatchNorm.convert_sync_batchnorm(torch.nn.BatchNorm2d(3, bias=False))
    assert repr(nn.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm2d(3, bias=False))) == repr(theirs)


def test_instance_norm_warns_of_channels_it_does_not_use(backend: str) -> None:
    with pytest.warns(UserWarning, match="num_features"):
        nn.InstanceNorm1d(3)(un.ones(2, 4, 5))
    with pytest.raises(ValueError, match="num_features"):
        nn.InstanceNorm1d(3, affine=True)(un.ones(2, 4, 5))
    with pytest.raises(ValueError, match="expected 2D or 3D input"):
        nn.InstanceNorm1d(3)(un.ones(3))


def test_older_spelling_of_a_reduction() -> None:
    assert nn.MSELoss(size_average=False).reduction == "sum"
    assert nn.CTCLoss(0, "none").reduction == "none"
    assert nn.NLLLoss(None, None, 3, False).reduction == "none"
    assert nn.HingeEmbeddingLoss().margin == torch.nn.HingeEmbeddingLoss().margin
    assert nn.CosineEmbeddingLoss().margin == torch.nn.CosineEmbeddingLoss().margin
    assert nn.MarginRankingLoss().margin == torch.nn.MarginRankingLoss().margin


def test_bad_arguments_of_losses() -> None:
    for make in (
        lambda n: n.MultiMarginLoss(3),
        lambda n: n.TripletMarginLoss(0.0),
        lambda n: n.TripletMarginWithDistanceLoss(margin=-1.0),
        lambda n: n.LinearCrossEntropyOptions(acc_policy="x"),
        lambda n: n.LinearCrossEntropyOptions(chunking_method="aspect_ratio:0"),
        lambda n: n.Bilinear(0, 1, 1),
    ):
        for namespace in (nn, torch.nn):
            with pytest.raises(ValueError):
                make(namespace)


# ---- containers ---------------------------------------------------------------------------------------------------


def test_parameter_dict_is_torchs(backend: str) -> None:
    seen = []
    for n, t in ((nn, un), (torch.nn, torch)):
        held = n.ParameterDict({"b": t.ones(2), "a": n.Parameter(t.ones(1)), "c": 3})
        log = [list(held), list(held.state_dict()), "a" in held, len(held), held["c"], list(reversed(held))]
        held["z"] = t.ones(1)
        held.update([("y", t.ones(1))])
        held.update(OrderedDict(x=t.ones(1), w=t.ones(1)))
        log += [list(held.keys()), [k for k, _ in held.items()], len(list(held.values()))]
        log += [held.pop("c"), held.popitem()[0], held.get("none", 5), held.setdefault("b") is held["b"]]
        other = held | n.ParameterDict({"q": t.ones(1)})
        other |= n.ParameterDict({"r": t.ones(1)})
        log += [list(other), list(held.copy()), list(held.fromkeys(["u", "v"], 1)), type(held["z"]) is n.Parameter]
        del held["z"]
        held.clear()
        log += [len(held), list(held.state_dict())]
        for bad in (3, [3], [(1, 2, 3)]):
            with pytest.raises((TypeError, ValueError)):
                held.update(bad)
        with pytest.raises(KeyError):
            held["a.b"] = t.ones(1)
        assert "a.b" not in list(held.state_dict())
        with pytest.raises(RuntimeError):
            held(1)
        seen.append(log)
    assert seen[0] == seen[1]


def test_parameter_list_is_torchs(backend: str) -> None:
    seen = []
    for n, t in ((nn, un), (torch.nn, torch)):
        held = n.ParameterList([t.ones(2), n.Parameter(t.ones(1))])
        held.append(7)
        held += [t.ones(3)]
        held[1] = t.zeros(4)
        log = [len(held), held[2], held[-1].shape[0], held[1].shape[0], list(held.state_dict()), len(held[1:3])]
        log += [isinstance(p, n.Parameter) for p in held]
        log += [any(name.isdigit() for name in dir(held))]
        for bad in (3, t.ones(2)):
            with pytest.raises(TypeError):
                held.extend(bad)
        with pytest.raises(IndexError):
            held[4]
        seen.append(log)
    assert seen[0] == seen[1]
    kept = nn.ParameterList([un.ones(2, 3), 5])
    theirs = torch.nn.ParameterList([torch.ones(2, 3), 5])
    assert repr(kept).replace("unified.", "torch.") == repr(theirs)
    with pytest.raises(errors.OperandError):
        kept(1)


def test_chains_add_and_multiply() -> None:
    for n in (nn, torch.nn):
        a, b, c = n.ReLU(), n.Tanh(), n.Identity()
        chain = n.Sequential(a, b)
        assert list(chain + n.Sequential(c)) == [a, b, c]
        assert list(chain * 2) == list(2 * chain) == [a, b, a, b]
        chain *= 2
        assert len(chain) == 4
        chain += n.Sequential(c)
        assert chain[-1] is c
        with pytest.raises(ValueError):
            chain * 0
        with pytest.raises(TypeError):
            chain * 1.5
        listed = n.ModuleList([a]) + n.ModuleList([b])
        listed += [c]
        assert list(listed) == [a, b, c]
        assert "0" not in dir(listed)
