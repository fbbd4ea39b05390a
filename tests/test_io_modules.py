"""Whole Modules without pickle: any of ours, those that are registered, and whatever was done to them since."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import pickle
from pathlib import Path
from typing import Any

import pytest

import unified as un
from unified import nn
from unified.models import GPT, MLP, DigitsCNN, GPTConfig


@un.io.register
def double(x: un.Tensor) -> un.Tensor:
    return x * 2


@un.io.register(name="tests.Options")
@dataclasses.dataclass(frozen=True)
class Options:
    width: int
    names: tuple[str, ...] = ("a",)


@un.io.register(name="tests.Custom")
class Custom(nn.Module):
    def __init__(self, options: Options, *, function: Any, inner: nn.Module, scale: un.Tensor) -> None:
        super().__init__()
        self.inner, self.function = inner, function
        self.head = nn.Linear(options.width, 2)
        self.register_buffer("scale", scale)

    def forward(self, x: un.Tensor) -> un.Tensor:
        output: un.Tensor = self.function(self.head(self.inner(x))) * self.scale
        return output


class Unregistered(nn.Module):
    pass


@un.io.register
class Narrowing(nn.Sequential):
    def __init__(self, *sizes: int) -> None:
        super().__init__(*[nn.Linear(a, b) for a, b in itertools.pairwise(sizes)])


def _custom() -> nn.Module:
    return Custom(Options(3), function=double, inner=nn.Linear(4, 3), scale=un.tensor([1.0, 2.0]))


_MODELS: dict[str, Any] = {
    "sequential": (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.2), nn.GELU("tanh")),
        (2, 4),
    ),
    "named": (lambda: nn.Sequential({"a": nn.Linear(4, 4), "b": nn.Sequential(nn.Tanh())}), (2, 4)),
    "mlp": (lambda: MLP(4, (8,), 3), (2, 4)),
    "cnn": (lambda: DigitsCNN(dropout=0.5), (2, 1, 8, 8)),
    "custom": (_custom, (2, 4)),
    "narrowing": (lambda: Narrowing(4, 3, 2), (2, 4)),
}


@pytest.mark.parametrize("name", _MODELS)
def test_a_model_comes_back_whole_on_every_backend(backend: str, name: str, tmp_path: Path) -> None:
    make, shape = _MODELS[name]
    model = make().eval()
    un.save_model(model, tmp_path / "x")
    x = un.rand(*shape)
    for target in un.available_backends():
        back = un.load_model(tmp_path / "x", backend=target)
        assert repr(back) == repr(model)
        assert not any(module.training for module in back.modules())
        assert {t.backend for t in back.state_dict().values()} == {target}
        for key, value in model.state_dict().items():
            assert back.state_dict()[key].numpy().tobytes() == value.numpy().tobytes()
        with un.backend(target):
            # float32 sums in another order on another framework
            expected = model(x).detach().numpy()
            assert back(x.to(backend=target)).detach().numpy() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_a_gpt_comes_back_with_what_was_done_to_it(backend: str, tmp_path: Path) -> None:
    model = GPT(GPTConfig.tiny())
    model.head.weight = model.tokens.weight
    model.blocks.append(nn.Identity())
    model.blocks[0].expand.requires_grad_(False)
    model.blocks[1].eval()
    model.norm = nn.LayerNorm(32, eps=0.5)
    un.save_model(model, tmp_path / "x", max_shard_bytes=20_000)
    back = un.load_model(tmp_path / "x")
    assert repr(back) == repr(model)
    assert back.head.weight is back.tokens.weight
    assert [p.requires_grad for p in back.parameters()] == [p.requires_grad for p in model.parameters()]
    assert [m.training for m in back.modules()] == [m.training for m in model.modules()]
    assert back.config == model.config
    ids = un.zeros(1, 4, dtype=un.int32)
    assert back(ids).tolist() == model(ids).tolist()


def test_the_dtype_that_was_converted_to_comes_back(backend: str, tmp_path: Path) -> None:
    un.save_model(nn.Linear(2, 2).bfloat16(), tmp_path / "x")
    assert un.load_model(tmp_path / "x").weight.dtype is un.bfloat16


def test_what_is_not_registered_is_refused_and_says_how(tmp_path: Path) -> None:
    un.save(1, tmp_path / "x")
    with pytest.raises(un.errors.OperandError, match=r"Unregistered, which is not registered.*@un\.io\.register"):
        un.save_model(Unregistered(), tmp_path / "x")
    with pytest.raises(un.errors.OperandError, match=r"Unregistered, which is not registered.*@un\.io\.register"):
        un.save_model(nn.Sequential(nn.ReLU(), Unregistered()), tmp_path / "x")
    with pytest.raises(un.errors.OperandError, match="is not registered"):
        un.save_model(Custom(Options(3), function=repr, inner=nn.Identity(), scale=un.ones(2)), tmp_path / "x")
    with pytest.raises(un.errors.OperandError, match="takes a Module"):
        un.save_model({}, tmp_path / "x")  # type: ignore[arg-type]
    with pytest.raises(un.errors.CheckpointError, match="holds no Module"):
        un.load_model(tmp_path / "x")
    assert un.load(tmp_path / "x") == 1
    with pytest.raises(un.errors.ArgumentError, match="already names"):
        un.io.register(name="tests.Options")(Custom)


def test_a_file_that_names_what_is_not_here_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    un.save_model(_custom(), tmp_path / "x")
    monkeypatch.delitem(un.io.registered._by_name, "tests.Custom")
    with pytest.raises(un.errors.CheckpointError, match=r"'tests\.Custom', which is not registered here.*@un\.io"):
        un.load_model(tmp_path / "x")


@pytest.mark.parametrize(
    "structure",
    [
        {"dataclass": ["tests.test_io_modules.double", {"x": 1}]},
        {"module": {"class": "tests.test_io_modules.double", "training": True, "args": [1], "children": {}}},
    ],
    ids=["dataclass", "module"],
)
def test_a_forged_file_calls_no_registered_function(structure: Any, tmp_path: Path) -> None:
    argument = {"class": "nn.ReLU", "training": True, "args": [structure], "kwargs": {}, "children": {}}
    forged = {"saved_model": {"state": {"dict": {}}, "model": argument, "tied": {"dict": {}}, "frozen": []}}
    un.io.files.write(un.io.files.Snapshot(forged, {}, copy=False), tmp_path / "x")
    with pytest.raises(un.errors.CheckpointError, match=r"'tests\.test_io_modules\.double' where a"):
        un.load_model(tmp_path / "x")


def test_a_class_that_has_changed_lists_every_mismatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    un.save_model(Narrowing(4, 3), tmp_path / "x")

    def changed(self: Any, a: int, b: int) -> None:
        nn.Module.__init__(self)
        self.weight = nn.Parameter(un.zeros(a, b))
        self.gain = nn.Parameter(un.zeros(1))

    monkeypatch.setattr(nn.Linear, "__init__", changed)
    with pytest.raises(un.errors.StateDictError) as caught:
        un.load_model(tmp_path / "x")
    assert all(word in str(caught.value) for word in ("0.weight has shape (3, 4)", "0.bias is in the file", "0.gain"))


def test_a_module_is_still_copied_and_pickled_as_before(backend: str) -> None:
    model = _custom()
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert repr(twin) == repr(model)
        assert twin.head.weight is not model.head.weight
        assert twin.head.weight.tolist() == model.head.weight.tolist()
