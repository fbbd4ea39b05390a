"""Convolution, pooling, padding, resizing, folding and table layers against torch.nn.

Tolerance: 5e-5 relative and absolute. Sums of up to a hundred float32 products in another order.
"""

from __future__ import annotations

import inspect
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import unified as un
from unified import errors, nn

TOLERANCE = 5e-5
FAMILIES = ("Conv", "Pool", "Pad", "Upsamp", "Shuffle", "Fold", "Unfold", "Unpool", "Embedding")

Case = tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]

LENGTHS = {1: (9,), 2: (7, 8), 3: (5, 6, 4)}


def _convolutions() -> list[Case]:
    cases: list[Case] = []
    for dims, lengths in LENGTHS.items():
        shape = (2, 4, *lengths)
        modes = ("zeros", "reflect", "replicate", "circular")
        for mode, padding in itertools.product(modes, ("same", "valid", (1,) * dims)):
            if dims == 2 or (mode, padding) in (("zeros", "same"), ("reflect", "same"), ("circular", (1,) * dims)):
                cases.append((f"Conv{dims}d", (4, 6, 2), {"padding": padding, "padding_mode": mode}, shape))
        cases += [
            (f"Conv{dims}d", (4, 4, 2), {"groups": 4, "stride": 2, "dilation": 2, "bias": False}, shape),
            (f"Conv{dims}d", (4, 6, 3), {"groups": 2, "padding": 1}, shape[1:]),
            (f"ConvTranspose{dims}d", (4, 6, 3), {}, shape),
            (f"ConvTranspose{dims}d", (4, 6, 3, 2, 1, 1, 2), {}, shape),
            (f"ConvTranspose{dims}d", (4, 2, 2), {"stride": 2, "dilation": 3, "output_padding": 2}, shape),
            (f"ConvTranspose{dims}d", (4, 4, 3), {"groups": 4, "bias": False, "padding": 1}, shape[1:]),
        ]
    return cases


def _pools() -> list[Case]:
    cases: list[Case] = []
    for dims, lengths in LENGTHS.items():
        shape = (2, 3, *lengths)
        averages: list[dict[str, Any]] = [
            {},
            {"stride": 1, "padding": 1, "count_include_pad": False, "ceil_mode": True},
        ]
        if dims > 1:
            averages.append({"stride": 2, "divisor_override": 3, "ceil_mode": True})
        cases += [(f"AvgPool{dims}d", (3,), options, shape) for options in averages]
        cases += [
            (f"MaxPool{dims}d", (2,), {}, shape),
            (f"MaxPool{dims}d", (3, 2, 1), {"ceil_mode": True}, shape[1:]),
            (f"MaxPool{dims}d", (2, 1), {"dilation": 2, "return_indices": True}, shape),
            (f"LPPool{dims}d", (2, 2), {}, shape),
            (f"LPPool{dims}d", (3.0, 3, 2, True), {}, shape),
            (f"AdaptiveAvgPool{dims}d", (3,), {}, shape),
            (f"AdaptiveMaxPool{dims}d", (2, True), {}, shape),
        ]
    cases += [
        ("AdaptiveAvgPool2d", ((None, 3),), {}, (2, 3, 7, 8)),
        ("AdaptiveMaxPool3d", ((2, None, 3),), {}, (3, 5, 6, 4)),
    ]
    return cases


def _pads() -> list[Case]:
    cases: list[Case] = []
    for dims, lengths in LENGTHS.items():
        several = (1, 2, 0, 1, 2, 1)[: 2 * dims]
        cropping = (-1, 1, 0, -2, 1, 0)[: 2 * dims]
        paddings = (1, several, cropping) if dims == 2 else (several,)
        for kind, padding in itertools.product(("Reflection", "Replication", "Circular"), paddings):
            cases.append((f"{kind}Pad{dims}d", (padding,), {}, (2, 3, *lengths)))
        for padding in paddings:
            cases.append((f"ConstantPad{dims}d", (padding, 3.5), {}, (2, 3, *lengths)))
            cases.append((f"ZeroPad{dims}d", (padding,), {}, (3, *lengths)))
    return cases


LAYERS = [
    *_convolutions(),
    *_pools(),
    *_pads(),
    ("Upsample", (), {"scale_factor": 2}, (2, 3, 4)),
    ("Upsample", ((5, 7),), {"mode": "bilinear"}, (2, 3, 4, 5)),
    ("Upsample", (None, (1.5, 2.5)), {"mode": "bicubic", "align_corners": True}, (2, 3, 4, 5)),
    ("Upsample", (None, 1.7, "trilinear", False, True), {}, (1, 2, 3, 4, 5)),
    ("UpsamplingNearest2d", (), {"scale_factor": 2}, (2, 3, 4, 5)),
    ("UpsamplingBilinear2d", ((6, 9),), {}, (2, 3, 4, 5)),
    ("PixelShuffle", (2,), {}, (2, 8, 3, 4)),
    ("PixelUnshuffle", (3,), {}, (2, 2, 6, 9)),
    ("ChannelShuffle", (3,), {}, (2, 6, 4, 5)),
    ("Fold", ((5, 6), (2, 3)), {"padding": 1, "stride": (2, 1)}, (2, 12, 18)),
    ("Unfold", ((2, 3), 2, 1, (1, 2)), {}, (2, 3, 7, 8)),
]


def _named(case: Case) -> str:
    name, args, options, shape = case
    return f"{name}{args}{options}{len(shape)}".replace(" ", "")


def _pair(name: str, *args: Any, **options: Any) -> tuple[nn.Module, torch.nn.Module]:
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    assert not any(ours.load_state_dict(theirs.state_dict()))
    assert repr(ours) == repr(theirs)
    return ours, theirs


def _close(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, tuple):
        assert len(ours) == len(theirs)
        for our, their in zip(ours, theirs, strict=True):
            _close(our, their)
        return
    actual, expected = ours.detach().numpy(), theirs.detach().numpy()
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=TOLERANCE, atol=TOLERANCE)


def _backward(ours: Any, theirs: Any) -> None:
    """The same cotangent through the first result of each."""
    y = ours if isinstance(ours, un.Tensor) else ours[0]
    s = theirs if isinstance(theirs, torch.Tensor) else theirs[0]
    cotangent = np.random.default_rng(1).standard_normal(tuple(s.shape)).astype(np.float32)
    y.backward(un.tensor(cotangent))
    s.backward(torch.tensor(cotangent))


def _same_gradients(ours: nn.Module, theirs: torch.nn.Module) -> None:
    for (key, p), (expected, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert key == expected
        assert q.grad is not None
        _close(p.grad, q.grad)


@pytest.mark.parametrize("case", LAYERS, ids=_named)
def test_layer_equals_torchs(backend: str, case: Case) -> None:
    name, args, options, shape = case
    ours, theirs = _pair(name, *args, **options)
    array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    x, t = un.tensor(array).requires_grad_(), torch.tensor(array).requires_grad_()
    y, s = ours(x), theirs(t)
    _close(y, s)
    _backward(y, s)
    _close(x.grad, t.grad)
    _same_gradients(ours, theirs)


def test_every_layer_of_these_families_has_torchs_arguments() -> None:
    for name, theirs in vars(torch.nn).items():
        if inspect.isclass(theirs) and any(family in name for family in FAMILIES) and not name.endswith("Loss"):
            ours = getattr(nn, name)
            assert name in nn.__all__
            for mine, expected in ((ours, theirs), (ours.forward, theirs.forward)):
                found = [(p.name, p.default) for p in inspect.signature(mine).parameters.values()]
                assert found == [(p.name, p.default) for p in inspect.signature(expected).parameters.values()], name
            assert len(inspect.getdoc(ours) or "") > 30


@pytest.mark.parametrize("name", ["Conv2d", "ConvTranspose2d"])
def test_initial_weights_are_uniform_within_torchs_bound(backend: str, name: str) -> None:
    """``fan_in`` is of the weight as it lies: in a transposed one it counts the output's channels."""
    un.manual_seed(0)
    made = getattr(nn, name)(8, 32, 3, groups=2)
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(8, 32, 3, groups=2)
    for ours, expected in ((made.weight, theirs.weight), (made.bias, theirs.bias)):
        bound = 1 / math.sqrt(math.prod(theirs.weight.shape[1:]))
        values = ours.detach().numpy()
        assert np.abs(values).max() <= bound
        assert abs(values.std() - bound / math.sqrt(3)) < bound / 4
        assert float(expected.detach().abs().max()) <= bound


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_transposed_convolution_reaches_a_size_that_is_asked_for(backend: str, dims: int) -> None:
    ours, theirs = _pair(f"ConvTranspose{dims}d", 2, 3, 3, stride=3, padding=1, dilation=2)
    array = np.random.default_rng(0).standard_normal((2, 2, *[4] * dims)).astype(np.float32)
    for size in ([12] * dims, [2, 3, *[13] * dims], torch.zeros([14] * dims).shape):
        _close(ours(un.tensor(array), output_size=size), theirs(torch.tensor(array), output_size=list(size)))
    for size in ([11] * dims, [15] * dims, [12] * (dims + 1)):
        with pytest.raises(errors.ArgumentError, match="output_size"):
            ours(un.tensor(array), output_size=size)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
def test_a_lazy_layer_takes_its_channels_from_the_first_input(
    backend: str, kind: str, dims: int, tmp_path: Path
) -> None:
    name = f"Lazy{kind}{dims}d"
    ours, theirs = getattr(nn, name)(6, 2, groups=2, stride=2), getattr(torch.nn, name)(6, 2, groups=2, stride=2)
    assert repr(ours) == repr(theirs)
    array = np.random.default_rng(0).standard_normal((2, 4, *[5] * dims)).astype(np.float32)
    with pytest.raises(errors.ArgumentError, match="divisible by groups"):
        ours(un.tensor(array[:, :3]))
    with pytest.raises(errors.ShapeError, match="dimensions"):
        ours(un.ones(3))
    ours(un.tensor(array))
    theirs(torch.tensor(array))
    assert type(ours) is getattr(nn, f"{kind}{dims}d")
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(theirs.state_dict())
    _close(ours(un.tensor(array)), theirs(torch.tensor(array)))
    un.save_model(ours, tmp_path / "layer")
    _close(un.load_model(tmp_path / "layer")(un.tensor(array)), theirs(torch.tensor(array)))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_unpooling_puts_maxima_back(backend: str, dims: int) -> None:
    rng = np.random.default_rng(0)
    pool, their_pool = _pair(f"MaxPool{dims}d", 2, return_indices=True)
    unpool, their_unpool = _pair(f"MaxUnpool{dims}d", 2)
    for length, size in ((6, None), (7, [7] * dims)):
        array = rng.standard_normal((2, 3, *[length] * dims)).astype(np.float32)
        x, t = un.tensor(array).requires_grad_(), torch.tensor(array).requires_grad_()
        y = unpool(*pool(x), output_size=size)
        s = their_unpool(*their_pool(t), output_size=size)
        _close(y, s)
        _backward(y, s)
        _close(x.grad, t.grad)


@pytest.mark.parametrize("dims", [2, 3])
def test_fractional_pooling_by_given_samples(backend: str, dims: int) -> None:
    rng = np.random.default_rng(0)
    array, samples = rng.standard_normal((2, 3, *[9] * dims)), rng.uniform(size=(2, 3, dims))
    name = f"FractionalMaxPool{dims}d"
    for options in ({"output_size": 4}, {"output_ratio": (0.6,) * dims}):
        ours = getattr(nn, name)(2, **options, return_indices=True, _random_samples=un.tensor(samples))
        theirs = getattr(torch.nn, name)(
            2, **options, return_indices=True, _random_samples=torch.tensor(samples).float()
        )
        assert list(ours.state_dict()) == list(theirs.state_dict()) == ["_random_samples"]
        _close(ours(un.tensor(array)), theirs(torch.tensor(array).float()))
        _close(ours(un.tensor(array[0])), theirs(torch.tensor(array[0]).float()))  # more samples than examples
    assert getattr(nn, name)(2, output_size=4)(un.tensor(array)).shape == (2, 3, *[4] * dims)
    for wrong in ({}, {"output_size": 3, "output_ratio": 0.5}, {"output_ratio": 1.5}):
        with pytest.raises(errors.ArgumentError, match=name):
            getattr(nn, name)(2, **wrong)


# ---- tables ------------------------------------------------------------------------------------------------------

INDICES = np.array([[0, 1, 4], [4, 4, 2]], np.int32)
TABLES: list[dict[str, Any]] = [
    {}, {"padding_idx": 1}, {"padding_idx": -1}, {"max_norm": 0.8}, {"max_norm": 1.0, "norm_type": 1.0},
    {"scale_grad_by_freq": True, "padding_idx": 0},
]  # fmt: skip


@pytest.mark.parametrize("options", TABLES, ids=str)
def test_embedding(backend: str, options: dict[str, Any]) -> None:
    ours, theirs = _pair("Embedding", 6, 3, **options)
    y, s = ours(un.tensor(INDICES)), theirs(torch.tensor(INDICES))
    _close(y, s)
    _backward(y, s)
    _same_gradients(ours, theirs)
    _close(ours.weight, theirs.weight)


BAGS: list[dict[str, Any]] = [
    {"mode": mode, **options}
    for mode in ("sum", "mean", "max")
    for options in (
        {},
        {"padding_idx": 4},
        {"max_norm": 0.8, "include_last_offset": True},
        {"scale_grad_by_freq": True},
    )
    if mode != "max" or "scale_grad_by_freq" not in options
]


@pytest.mark.parametrize("options", BAGS, ids=str)
def test_embedding_bag(backend: str, options: dict[str, Any]) -> None:
    ours, theirs = _pair("EmbeddingBag", 6, 3, **options)
    offsets = np.array([0, 2, 2, 5] + [6] * options.get("include_last_offset", False), np.int32)
    factors = np.random.default_rng(0).standard_normal(INDICES.shape).astype(np.float32)
    calls: list[tuple[Any, ...]] = [(INDICES,), (INDICES.reshape(-1), offsets)]
    if options["mode"] == "sum":
        calls += [(INDICES, None, factors), (INDICES.reshape(-1), offsets, factors.reshape(-1))]
    for call in calls:
        ours.zero_grad()
        theirs.zero_grad()
        y = ours(*[None if arg is None else un.tensor(arg) for arg in call])
        s = theirs(*[None if arg is None else torch.tensor(arg) for arg in call])
        _close(y, s)
        _backward(y, s)
        _same_gradients(ours, theirs)
    _close(ours.weight, theirs.weight)


@pytest.mark.parametrize("name", ["Embedding", "EmbeddingBag"])
def test_tables_of_given_rows(backend: str, name: str, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    kind, theirs = getattr(nn, name), getattr(torch.nn, name).from_pretrained(torch.tensor(rows), padding_idx=-2)
    ours = kind.from_pretrained(un.tensor(rows), padding_idx=-2)
    assert not ours.weight.requires_grad
    assert repr(ours) == repr(theirs)
    _close(ours(un.tensor(INDICES)), theirs(torch.tensor(INDICES)))
    trained = kind.from_pretrained(un.tensor(rows), freeze=False)
    assert trained.weight.requires_grad
    with un.no_grad():
        trained.weight.mul_(2.0)
    un.save_model(un.nn.Sequential(ours, trained), tmp_path / "tables")
    frozen, loaded = un.load_model(tmp_path / "tables")
    np.testing.assert_array_equal(loaded.weight.detach().numpy(), 2 * rows)
    np.testing.assert_array_equal(frozen.weight.detach().numpy(), rows)
    assert (frozen.padding_idx, frozen.weight.requires_grad, loaded.weight.requires_grad) == (4, False, True)
    with pytest.raises(errors.ShapeError, match="2 dimensions"):
        kind.from_pretrained(un.ones(3))
    with pytest.raises(errors.ShapeError, match="must be"):
        kind(5, 3, _weight=un.tensor(rows))


@pytest.mark.parametrize("wrong", [6, -1])
def test_an_index_outside_of_the_table_is_refused(backend: str, wrong: int) -> None:
    index = un.tensor([[0, wrong]])
    for table in (nn.Embedding(6, 3), nn.Embedding(6, 3, scale_grad_by_freq=True), nn.EmbeddingBag(6, 3)):
        with pytest.raises(errors.IndexOutOfRangeError, match=f"index {wrong} is out of range"):
            table(index)
    with pytest.raises(errors.IndexOutOfRangeError, match="out of range"):
        nn.EmbeddingBag(6, 3, mode="max")(index.reshape(-1), un.tensor([0, 1]))


# ---- refusals, and the static path -------------------------------------------------------------------------------

REFUSALS: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("Conv2d", (3, 4, 3), {"groups": 2}, "in_channels must be divisible by groups"),
    ("Conv2d", (4, 3, 3), {"groups": 2}, "out_channels must be divisible by groups"),
    ("Conv2d", (4, 4, 3), {"groups": 0}, "groups must be a positive integer"),
    ("Conv2d", (4, 4, 3), {"padding": "full"}, "'same', 'valid'"),
    ("Conv2d", (4, 4, 3), {"padding": "same", "stride": 2}, "strided"),
    ("Conv2d", (4, 4, (3, 3, 3)), {}, "kernel_size must be an int or 2 ints"),
    ("Conv2d", (4, 4, 3), {"padding_mode": "mirror"}, "padding_mode"),
    ("ConvTranspose2d", (4, 4, 3), {"padding_mode": "reflect"}, "'zeros'"),
    ("ConvTranspose2d", (4, 4, 3), {"padding": "same"}, "lengths"),
    ("ReflectionPad2d", ((1, 2),), {}, "padding must be an int or 4 ints"),
    ("Embedding", (5, 3), {"sparse": True}, "dense on every backend"),
    ("Embedding", (5, 3), {"padding_idx": 5}, "within num_embeddings"),
    ("EmbeddingBag", (5, 3), {"sparse": True}, "dense on every backend"),
    ("EmbeddingBag", (5, 3), {"padding_idx": -6}, "within num_embeddings"),
]


@pytest.mark.parametrize(("name", "args", "options", "words"), REFUSALS)
def test_constructors_refuse(name: str, args: tuple[Any, ...], options: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.ArgumentError, match=words):
        getattr(nn, name)(*args, **options)


def test_layers_refuse_inputs_of_another_rank(backend: str) -> None:
    for layer, shape in (
        (nn.Conv2d(3, 4, 3), (3, 5)), (nn.ConvTranspose1d(3, 4, 3), (2, 3, 5, 5)), (nn.MaxPool2d(2), (3, 4)),
        (nn.CircularPad1d(1), (2, 3, 4, 5)), (nn.ReplicationPad2d(1), (3, 4)), (nn.ReflectionPad1d(4), (2, 3, 4)),
        (nn.AdaptiveMaxPool1d(2), (4,)), (nn.PixelShuffle(2), (2, 3, 4, 4)), (nn.Unfold(9), (1, 2, 4, 4)),
    ):  # fmt: skip
        with pytest.raises((errors.ShapeError, errors.ArgumentError)):
            layer(un.ones(*shape))


@pytest.mark.full
def test_a_network_of_them_compiles(backend: str) -> None:
    """Two losses of training, eager and compiled; float32 in the fused order of a compiler, hence 1e-4."""

    def losses(compiled: bool) -> list[float]:
        un.manual_seed(0)
        net = nn.Sequential(
            nn.ReflectionPad1d(1), nn.ConvTranspose1d(2, 4, 2, stride=2), nn.AdaptiveMaxPool1d(3), nn.Flatten()
        )  # fmt: skip
        table = nn.EmbeddingBag(10, 12, max_norm=1.0)
        sgd = un.optim.SGD([*net.parameters(), *table.parameters()], lr=0.1)

        def step(x: un.Tensor, bags: un.Tensor) -> un.Tensor:
            sgd.zero_grad()
            loss = (net(x) - table(bags)).square().mean()
            loss.backward()
            sgd.step()
            return loss

        run = un.compile(step) if compiled else step
        rng = np.random.default_rng(0)
        x = un.tensor(rng.standard_normal((2, 2, 6)).astype(np.float32))
        bags = un.tensor(rng.integers(0, 10, (2, 5)).astype(np.int32))
        return [float(run(x, bags).detach()) for _ in range(2)]

    eager = losses(False)
    assert eager[1] < eager[0]
    np.testing.assert_allclose(losses(True), eager, rtol=1e-4)
