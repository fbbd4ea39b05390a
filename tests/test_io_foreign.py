"""Files of other libraries: PyTorch's without PyTorch, Keras's without Keras. The oracle is who wrote them."""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import unified as un
from unified import nn, optim

# Keras's own calls to numpy
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

# ---- PyTorch ------------------------------------------------------------------------------------------------------


def _alike(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, torch.Tensor):
        bits = theirs.detach().contiguous()
        bits = bits.view(torch.int16) if bits.dtype is torch.bfloat16 else bits
        same = ours.dtype.name == str(theirs.dtype).removeprefix("torch.") and tuple(ours.shape) == tuple(
            theirs.shape
        )
        return same and ours.numpy().tobytes() == bits.numpy().tobytes()
    if isinstance(theirs, dict):
        return (
            type(ours) is type(theirs)
            and list(ours) == list(theirs)
            and all(_alike(ours[k], theirs[k]) for k in ours)
        )
    if isinstance(theirs, (list, tuple)):
        return len(ours) == len(theirs) and all(map(_alike, ours, theirs))
    return bool(ours == theirs)


_TORCH = {
    "dtypes": {
        str(dtype): torch.ones(2, 3, dtype=dtype)
        for dtype in (
            torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16,
            torch.float32, torch.float64, torch.complex64, torch.complex128, torch.uint16, torch.uint32, torch.uint64,
        )
    },
    "views": [torch.arange(12.0).reshape(3, 4).T, torch.arange(12)[3::2], torch.ones(1).expand(4), torch.tensor(3.0)],
    "empty": torch.empty(0, 3),
    "plain": {"a": (1, 2.5, None, True, "text"), 3: [4], "o": OrderedDict(x=1), "big": 2**70},
    "parameter": torch.nn.Parameter(torch.arange(3.0)),
}  # fmt: skip


def test_what_torch_saves_is_read_on_every_backend(backend: str, tmp_path: Path) -> None:
    torch.save(_TORCH, tmp_path / "x.pt")
    ours = un.load(tmp_path / "x.pt")
    assert _alike(ours, torch.load(tmp_path / "x.pt", weights_only=True))
    assert ours["empty"].backend == backend


def test_a_model_and_its_optimizer_go_over_from_torch(backend: str, tmp_path: Path) -> None:
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    adam = torch.optim.AdamW(theirs.parameters(), lr=0.01)
    theirs(torch.ones(5, 3)).sum().backward()
    adam.step()
    torch.save({"model": theirs.state_dict(), "optimizer": adam.state_dict()}, tmp_path / "x.pt")
    ours = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    optimizer = optim.AdamW(ours.parameters())
    loaded = un.load(tmp_path / "x.pt")
    ours.load_state_dict(loaded["model"])
    optimizer.load_state_dict(loaded["optimizer"])
    expected = theirs.eval()(torch.arange(6.0).reshape(2, 3)).detach().numpy()
    found = ours.eval()(un.arange(6.0).reshape(2, 3)).detach().numpy()
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)  # float32 sums in another order
    assert float(optimizer.param_groups[0]["lr"]) == pytest.approx(0.01)


def test_the_reader_needs_no_torch(tmp_path: Path) -> None:
    torch.save({"w": torch.arange(3.0)}, tmp_path / "x.pt")
    code = (
        "import sys; sys.modules['torch'] = None\nimport unified as un\n"
        f"print(un.load({str(tmp_path / 'x.pt')!r}, backend='jax')['w'].tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "[0.0, 1.0, 2.0]", done.stderr


class _Malicious:
    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


def _zipped(path: Path, pickled: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", pickled)
        archive.writestr("x/byteorder", "little")
    return path


@pytest.mark.parametrize("kind", ["system", "eval", "getattr", "nested"])
def test_a_malicious_pickle_raises_and_runs_nothing(kind: str, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    attack = {
        "system": _Malicious(os.system, f"touch {ran}"),
        "eval": _Malicious(eval, f"open({str(ran)!r}, 'w')"),
        "getattr": _Malicious(getattr, OrderedDict, "update"),
        "nested": {"weights": [1.0, {"x": _Malicious(os.mkdir, str(ran))}]},
    }[kind]
    torch.save(attack, tmp_path / "x.pt")
    with pytest.raises(un.errors.CheckpointError, match=r"x\.pt was refused: it names .*nothing of it was run"):
        un.load(tmp_path / "x.pt")
    assert not ran.exists()


@pytest.mark.parametrize(
    "opcodes",
    [
        b"ccollections\nCounter\n}X\x06\x00\x00\x00updateK\x01sb.",  # attributes of a class
        b"ctorch\nfloat32\nN}X\x08\x00\x00\x00itemsizeK\x01s\x86b.",  # slots of our dtype
        b"\x82\x01.",  # an object by its registered number
        b"cposix\nsystem\n.",
        b"ccollections\nOrderedDict.update\n.",
        b"\x80\x05\x8c\x02os\x8c\x06system\x93.",
    ],
)
def test_opcodes_that_reach_around_the_names_are_refused(opcodes: bytes, tmp_path: Path) -> None:
    with pytest.raises(un.errors.CheckpointError, match=r"x\.pt"):
        un.load(_zipped(tmp_path / "x.pt", opcodes))
    assert un.float32.itemsize == 4
    assert pickle.loads(pickle.dumps(un.float32)) is un.float32


def test_a_tensor_that_reaches_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    torch.save(torch.arange(4), tmp_path / "x.pt")
    with zipfile.ZipFile(tmp_path / "x.pt") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "bad.pt", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content[:8] if "/data/" in name else content)
    with pytest.raises(un.errors.CheckpointError, match="ends at element 3 of a storage of 1"):
        un.load(tmp_path / "bad.pt")


def test_a_damaged_torch_file_is_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.arange(100.0)}, tmp_path / "x.pt")
    whole = (tmp_path / "x.pt").read_bytes()
    for length in range(8, len(whole), 37):
        (tmp_path / "x.pt").write_bytes(whole[:length])
        with pytest.raises(un.errors.CheckpointError, match=r"x\.pt"):
            un.load(tmp_path / "x.pt")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(un.errors.CheckpointError, match="neither PyTorch nor Keras"):
        un.load(tmp_path / "other.zip")


# ---- Keras --------------------------------------------------------------------------------------------------


def _keras() -> Any:
    return importlib.import_module("keras")


def _randomised(model: Any) -> Any:
    chance = np.random.default_rng(0)
    model.set_weights([chance.uniform(0.1, 0.9, weight.shape).astype(np.float32) for weight in model.get_weights()])
    return model


def _saved(model: Any, path: Path, form: str) -> dict[str, un.Tensor]:
    target = str(path / f"x.{form}")
    model.save(target) if form == "keras" else model.save_weights(target)
    loaded: dict[str, un.Tensor] = un.load(target)
    return loaded


@pytest.mark.parametrize("form", ["keras", "weights.h5"])
def test_a_convolutional_network_of_keras_computes_the_same(backend: str, form: str, tmp_path: Path) -> None:
    """float32 sums in another order: 1e-4 relative."""
    keras = _keras()
    layers = keras.layers
    theirs = _randomised(
        keras.Sequential([
            keras.Input((8, 8, 3)), layers.Conv2D(4, 3, name="stem"), layers.DepthwiseConv2D(3, depth_multiplier=2),
            layers.BatchNormalization(epsilon=1e-5), layers.GlobalAveragePooling2D(), layers.Dense(5, name="head"),
        ])
    )  # fmt: skip
    state = _saved(theirs, tmp_path, form)

    depthwise = next(name for name in state if name.startswith("depthwise")).split(".")[0]
    norm = next(name for name in state if name.startswith("batch")).split(".")[0]
    ours = nn.Sequential({
        "stem": nn.Conv2d(3, 4, 3), depthwise: nn.Conv2d(4, 8, 3, groups=4), norm: nn.BatchNorm2d(8),
        "pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "head": nn.Linear(8, 5),
    })  # fmt: skip
    assert ours.load_state_dict(state, strict=False).missing_keys == []  # the count of batches is as in old files
    x = np.random.default_rng(1).uniform(size=(2, 8, 8, 3)).astype(np.float32)
    found = ours.eval()(un.tensor(x.transpose(0, 3, 1, 2))).detach().numpy()
    assert found == pytest.approx(theirs.predict(x, verbose=0), rel=1e-4)


def test_sequence_layers_of_keras_have_torchs_layout(tmp_path: Path) -> None:
    """Native torch layers, given what is read, compute what Keras does: 1e-4 for float32 sums in another order."""
    keras = _keras()
    layers = keras.layers
    start = keras.Input((6,), dtype="int32")
    x = layers.Embedding(10, 8, name="tokens")(start)
    x = layers.GRU(8, return_sequences=True, name="gru")(x)
    x = layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = layers.LayerNormalization(epsilon=1e-5, name="norm")(x)
    x = keras.Sequential([keras.Input((6, 8)), layers.Conv1D(8, 3, name="taps")], name="inner")(x)
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="both")(x)
    theirs = _randomised(keras.Model(start, x))
    state = _saved(theirs, tmp_path, "weights.h5")

    def given(layer: Any, name: str) -> Any:
        own = [key for key in state if key.startswith(f"{name}.")]
        part = {key.removeprefix(f"{name}."): torch.from_numpy(state[key].numpy().copy()) for key in own}
        layer.load_state_dict(part)
        return layer.eval()

    ids = np.arange(12).reshape(2, 6) % 10
    with torch.no_grad():
        y = given(torch.nn.Embedding(10, 8), "tokens")(torch.from_numpy(ids))
        y = given(torch.nn.GRU(8, 8, batch_first=True), "gru")(y)[0]
        y = given(torch.nn.MultiheadAttention(8, 2, batch_first=True), "attention")(y, y, y)[0]
        y = given(torch.nn.LayerNorm(8), "norm")(y)
        y = given(torch.nn.Conv1d(8, 8, 3), "inner.taps")(y.transpose(1, 2)).transpose(1, 2)
        y = given(torch.nn.LSTM(8, 3, batch_first=True, bidirectional=True), "both")(y)[0]
    assert y.numpy() == pytest.approx(theirs.predict(ids, verbose=0), rel=1e-4, abs=1e-5)


def test_layers_without_a_counterpart_are_refused_by_name(tmp_path: Path) -> None:
    keras = _keras()
    layers = keras.layers
    for layer, says in (
        (layers.PReLU(name="odd"), r"'odd' \(p_re_lu\).*no PyTorch layout"),
        (layers.GRU(2, reset_after=False, name="old"), r"'old' \(gru\).*reset_after"),
        (layers.BatchNormalization(scale=False, name="half"), r"'half'.*scale and center"),
    ):
        model = keras.Sequential([keras.Input((4, 3)), layer])
        with pytest.raises(un.errors.CheckpointError, match=says):
            _saved(model, tmp_path, "weights.h5")


# ---- TensorFlow and orbax ---------------------------------------------------------------------------------------


def test_a_tensorflow_checkpoint_has_torchs_layout(backend: str, tmp_path: Path) -> None:
    """The same numbers as the ``.weights.h5`` of the same model, whose layout is tested above."""
    keras, tensorflow = _keras(), importlib.import_module("tensorflow")
    layers = keras.layers
    theirs = _randomised(
        keras.Sequential([
            keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.DepthwiseConv2D(3, depth_multiplier=2),
            layers.BatchNormalization(), layers.Reshape((16, 8)), layers.LSTM(3, return_sequences=True),
            layers.GRU(3), layers.Dense(5),
        ])
    )  # fmt: skip
    tensorflow.train.Checkpoint(model=theirs).write(str(tmp_path / "variables"))
    state = un.load(tmp_path / "variables")
    assert {tensor.backend for tensor in state.values()} == {backend}
    expected = _saved(theirs, tmp_path, "weights.h5")

    def contents(named: dict[str, un.Tensor]) -> list[tuple[str, bytes]]:
        return sorted((name.rsplit(".", 1)[-1], tensor.numpy().tobytes()) for name, tensor in named.items())

    assert contents(state) == contents(expected)


def test_tensorflow_layers_that_cannot_be_told_are_refused(tmp_path: Path) -> None:
    keras, tensorflow = _keras(), importlib.import_module("tensorflow")
    theirs = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, use_bias=False)])
    tensorflow.train.Checkpoint(model=theirs).write(str(tmp_path / "variables"))
    with pytest.raises(un.errors.CheckpointError, match=r"cannot be carried over: a kernel of shape \(3, 3, 3, 4\)"):
        un.load(tmp_path / "variables")


def test_an_orbax_checkpoint_is_read_on_every_backend(backend: str, tmp_path: Path) -> None:
    orbax, numbers = importlib.import_module("orbax.checkpoint"), importlib.import_module("jax.numpy")
    tree = {"a": {"w": numbers.arange(6.0).reshape(2, 3)}, "l": [numbers.arange(3), 2.5]}
    orbax.PyTreeCheckpointer().save(tmp_path / "x", {**tree, "half": numbers.ones(2, numbers.bfloat16)})
    back = un.load(tmp_path / "x")
    assert back["a"]["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (back["l"][0].tolist(), back["l"][1], back["half"].dtype) == ([0, 1, 2], 2.5, un.bfloat16)
    assert back["a"]["w"].backend == backend
