"""Saving and loading: what goes in comes out, on any backend; damage is refused; a crash leaves the old file."""

from __future__ import annotations

import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

import unified as un
from unified import nn, optim
from unified._dtype import _BY_NAME

_DTYPES = sorted(_BY_NAME)


def _sample(dtype: str, shape: tuple[int, ...] = (2, 3)) -> np.ndarray[Any, Any]:
    array = (np.arange(int(np.prod(shape))) + 1).reshape(shape).astype(_BY_NAME[dtype].numpy)
    return (array * (1 + 0.5j)).astype(array.dtype) if array.dtype.kind == "c" else array


def _same(one: Any, other: Any) -> bool:
    """Equal in value, type and bits, Tensors by what they hold."""
    if isinstance(one, un.Tensor):
        alike = isinstance(other, un.Tensor) and one.dtype is other.dtype and one.shape == other.shape
        return alike and one.detach().numpy().tobytes() == other.detach().numpy().tobytes()
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, dict):
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other or (one != one and other != other)


# ---- round trips ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 3), (), (0, 4), (1,)], ids=str)
@pytest.mark.parametrize("dtype", _DTYPES)
def test_every_dtype_and_shape_comes_back_bit_for_bit(backend: str, dtype: str, shape: Any, tmp_path: Path) -> None:
    source = un.tensor(_sample(dtype, shape), dtype=_BY_NAME[dtype])
    un.save(source, tmp_path / "x")
    back = un.load(tmp_path / "x")
    assert _same(source, back)
    assert back.backend == backend


def test_what_one_backend_saves_the_others_load(backend: str, tmp_path: Path) -> None:
    saved = {name: un.tensor(_sample(name), dtype=_BY_NAME[name]) for name in _DTYPES}
    un.save(saved, tmp_path / "x")
    for target in un.available_backends():
        back = un.load(tmp_path / "x", backend=target, device="cpu")
        assert {tensor.backend for tensor in back.values()} == {target}
        assert _same(saved, back)


_plain = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.complex_numbers(allow_nan=False)
    | st.sampled_from(list(_BY_NAME.values())) | st.just(np.float64(2.5)) | st.just(un.device("gpu:1"))
    | st.sampled_from(_DTYPES).map(lambda name: _sample(name))
    | st.sampled_from(_DTYPES).map(lambda name: un.tensor(_sample(name), dtype=_BY_NAME[name]))
)  # fmt: skip
_keys = st.text() | st.integers() | st.booleans() | st.tuples(st.integers(), st.text()) | st.none()
_nests = st.recursive(
    _plain,
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple)
    | st.dictionaries(_keys, inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3).map(OrderedDict),
    max_leaves=10,
)  # fmt: skip


@settings(max_examples=60)
@given(nest=_nests, sharded=st.booleans())
def test_any_nest_comes_back(nest: Any, sharded: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("nest") / "x"
    un.save(nest, path, max_shard_bytes=8 if sharded else 1000)
    assert _same(nest, un.load(path))


def test_state_dicts_of_a_whole_run_come_back(backend: str, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimizer = optim.AdamW(model.parameters(), lr=0.1)
    schedule = optim.lr_scheduler.MultiStepLR(optimizer, [1, 3])
    model(un.ones(5, 3)).sum().backward()
    optimizer.step()
    schedule.step()
    saved = {
        "model": model.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(),
        "rng": un.get_rng_state(),
    }  # fmt: skip
    un.save(saved, tmp_path / "run")
    back = un.load(tmp_path / "run")
    assert _same(saved, back)
    assert back["schedule"]["milestones"] == Counter([1, 3])
    optimizer.load_state_dict(back["optimizer"])
    assert _same(saved["optimizer"], optimizer.state_dict())


def test_the_same_tensor_twice_is_the_same_tensor_again(backend: str, tmp_path: Path) -> None:
    x = un.arange(4)
    un.save([x, {"again": x}, x.clone()], tmp_path / "x")
    first, second, third = (lambda a, b, c: (a, b["again"], c))(*un.load(tmp_path / "x"))
    assert first is second
    assert first is not third


@pytest.mark.parametrize("dtype", [un.float32, un.bfloat16], ids=repr)
def test_tied_weights_are_stored_once(backend: str, dtype: un.DType, tmp_path: Path) -> None:
    model = nn.ModuleList([nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False)]).to(dtype)
    model[1].weight = model[0].weight
    un.save(model.state_dict(), tmp_path / "tied")
    one = un.tensor(0, dtype=dtype).element_size() * 64 * 64
    assert one < (tmp_path / "tied").stat().st_size < 1.5 * one
    back = un.load(tmp_path / "tied")
    assert _same(back["0.weight"], model[0].weight)
    back["0.weight"].zero_()  # values: what shares memory does not share writes
    assert _same(back["1.weight"], model[0].weight)


# ---- the format, by its own library ------------------------------------------------------------------------------


def test_the_safetensors_library_reads_what_is_saved(backend: str, tmp_path: Path) -> None:
    names = [name for name in _DTYPES if not name.startswith("complex")]
    saved = {name: un.tensor(_sample(name), dtype=_BY_NAME[name]) for name in names}
    un.save(saved, tmp_path / "x.safetensors")
    read = safetensors.numpy.load_file(tmp_path / "x.safetensors")
    assert read.keys() == saved.keys()
    for name, array in read.items():
        assert array.tobytes() == saved[name].numpy().tobytes()
        assert array.dtype == _BY_NAME[name].numpy


def test_what_the_safetensors_library_writes_is_read(backend: str, tmp_path: Path) -> None:
    arrays = {
        "a": _sample("float32"),
        "b": _sample("bfloat16"),
        "c": _sample("int64", ()),
        "d": _sample("bool", (0,)),
    }
    safetensors.numpy.save_file(arrays, tmp_path / "x", metadata={"format": "pt"})
    back = un.load(tmp_path / "x")
    assert {name: (t.dtype.numpy, t.numpy().tobytes()) for name, t in back.items()} == {
        name: (array.dtype, array.tobytes()) for name, array in arrays.items()
    }
    assert back["b"].dtype.numpy == ml_dtypes.bfloat16


def test_a_folder_of_hugging_face_is_read(backend: str, tmp_path: Path) -> None:
    for number in (1, 2):
        arrays = {f"w{number}": np.full(3, number, np.float32)}
        safetensors.numpy.save_file(arrays, tmp_path / f"model-0000{number}-of-00002.safetensors")
    weights = {f"w{number}": f"model-0000{number}-of-00002.safetensors" for number in (1, 2)}
    index = {"metadata": {"total_size": 24}, "weight_map": weights}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert {name: tensor.tolist() for name, tensor in un.load(tmp_path).items()} == {"w1": [1.0] * 3, "w2": [2.0] * 3}


def test_shards_are_of_the_size_asked_for_and_old_ones_go(backend: str, tmp_path: Path) -> None:
    saved = {str(index): un.full((10,), float(index)) for index in range(10)}
    un.save(saved, tmp_path / "x", max_shard_bytes=100)
    assert len(list((tmp_path / "x").glob("model-*"))) == 5
    un.save(saved, tmp_path / "x")
    assert len(list((tmp_path / "x").glob("model-*"))) == 1
    assert _same(saved, un.load(tmp_path / "x"))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(un.errors.ArgumentError, match="is a file"):
        un.save(saved, tmp_path / "file", max_shard_bytes=100)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "photo.jpg").write_text("mine")
    with pytest.raises(un.errors.ArgumentError, match="other files"):
        un.save(saved, tmp_path / "other")


# ---- refusals --------------------------------------------------------------------------------------------------


class _Odd:
    pass


@pytest.mark.parametrize(
    ("obj", "says"),
    [
        ({"a": [1, _Odd()]}, "'a.1' is a tests.test_io._Odd"),
        ({"f": print}, "state_dict"),
        (np.array(["x"]), "dtype <U1"),
        (np.array([object()]), "dtype object"),
        ({"s": {1, 2}}, "builtins.set"),
    ],
    ids=["object", "function", "text", "objects", "set"],
)
def test_what_is_no_data_is_refused_and_the_old_file_stays(obj: Any, says: str, tmp_path: Path) -> None:
    un.save(1, tmp_path / "x")
    with pytest.raises(TypeError) as caught:
        un.save(obj, tmp_path / "x")
    assert says in str(caught.value)
    assert un.load(tmp_path / "x") == 1
    assert os.listdir(tmp_path) == ["x"]


def test_a_nest_that_contains_itself_is_refused(tmp_path: Path) -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(un.errors.OperandError, match="contains itself"):
        un.save(loop, tmp_path / "x")


def test_a_pickle_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(un.errors.CheckpointError, match=r"x\.pkl is a bare pickle"):
        un.load(tmp_path / "x.pkl")
    with pytest.raises(FileNotFoundError, match="nothing-here"):
        un.load(tmp_path / "nothing-here")


_SAVED = {"w": np.arange(40, dtype=np.float32), "lr": 0.125, "steps": 12, "c": np.array([1 + 2j])}


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut"
    un.save(_SAVED, path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(un.errors.CheckpointError, match="cut is damaged"):
            un.load(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(un.errors.CheckpointError, match="cut is damaged"):
        un.load(path)


def _flips(whole: bytes) -> list[bytes]:
    found = []
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << position % 8
        found.append(bytes(flipped))
    return found


def _refused_or_equal(path: Path, name: str) -> bool:
    """Whether a flip was seen; one that leaves the content as it was, as in the case of an escape, may pass."""
    try:
        back = un.load(path)
    except un.errors.CheckpointError as error:
        return name in str(error)
    assert _same(back, _SAVED)
    return False


def test_a_flipped_bit_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "flipped"
    un.save(_SAVED, path)
    whole = path.read_bytes()
    passed = []
    for position, content in enumerate(_flips(whole)):
        path.write_bytes(content)
        if not _refused_or_equal(path, "flipped"):
            passed.append(position)
    assert len(passed) < 8  # the padding of the header, where a blank may become a tab


def test_a_flipped_bit_in_a_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "sharded"
    un.save(_SAVED, folder, max_shard_bytes=20)
    for file in sorted(folder.iterdir()):
        whole = file.read_bytes()
        flips = _flips(whole)
        flips = flips[:: 1 + len(flips) // 300]
        seen = 0
        for content in flips:
            file.write_bytes(content)
            seen += _refused_or_equal(folder, "sharded")
        assert seen > 0.9 * len(flips)  # the rest are blanks between words
        file.write_bytes(whole)
    shard = next(folder.glob("model-*.safetensors"))
    shard.unlink()
    with pytest.raises(un.errors.CheckpointError, match=f"{shard.name} is missing"):
        un.load(folder)


def test_wrong_shapes_are_listed_all_at_once(backend: str, tmp_path: Path) -> None:
    un.save(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).state_dict(), tmp_path / "x")
    model = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(un.errors.StateDictError) as caught:
        model.load_state_dict(un.load(tmp_path / "x"))
    assert all(name in str(caught.value) for name in ("0.weight", "0.bias", "1.weight"))
    assert _same(before, dict(model.state_dict()))


# ---- a crash -------------------------------------------------------------------------------------------------------

_WRITER = """
import sys
import numpy as np
import unified as un
path, limit = sys.argv[1], int(sys.argv[2])
for number in range(10**6):
    data = [np.full(200_000, number), np.full(200_000, -number)]
    un.save({"number": number, "data": data}, path, max_shard_bytes=limit)
    print(number, flush=True)
"""


def _killed_while_saving(path: Path, limit: int, chance: random.Random) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path), str(limit)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as lines:
        last = int(lines.readline())
        time.sleep(chance.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        last = max([last, *map(int, lines.read().split())])
    process.wait()
    back = un.load(path)
    assert back["number"] in (last, last + 1)  # the rename may have been done, and its line not printed
    assert all((array == sign * back["number"]).all() for array, sign in zip(back["data"], (1, -1), strict=True))


@pytest.mark.parametrize("limit", [10**9, 10**6], ids=["file", "folder"])
@pytest.mark.parametrize("moments", [2, pytest.param(20, marks=pytest.mark.full)])
def test_a_kill_in_the_middle_of_a_save_leaves_the_last_complete_one(
    limit: int, moments: int, tmp_path: Path
) -> None:
    chance = random.Random(moments)
    for _ in range(moments):
        _killed_while_saving(tmp_path / "x", limit, chance)


# ---- in the background -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["eager", pytest.param("compiled", marks=pytest.mark.full)])
def test_later_updates_do_not_reach_an_asynchronous_save(backend: str, path: str, tmp_path: Path) -> None:
    model = nn.Linear(64, 64)
    optimizer = optim.AdamW(model.parameters(), lr=0.1)
    host = np.zeros(3)

    def step(x: un.Tensor) -> un.Tensor:
        optimizer.zero_grad()
        loss = model(x).square().sum()
        loss.backward()
        optimizer.step()
        return loss.detach()

    run = un.compile(step) if path == "compiled" else step
    x = un.ones(2, 64)
    run(x)
    futures, expected = [], []
    for number in range(4):
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "host": host}
        expected.append(model.weight.detach().numpy().copy())
        futures.append(un.io.save_async(state, tmp_path / str(number)))
        host += 1
        run(x)
    for number, future in enumerate(futures):
        assert future.result() == tmp_path / str(number)
        back = un.load(tmp_path / str(number))
        assert back["model"]["weight"].numpy().tobytes() == expected[number].tobytes()
        assert back["host"].tolist() == [number] * 3


def test_an_asynchronous_save_reports_what_went_wrong(tmp_path: Path) -> None:
    with pytest.raises(un.errors.OperandError):
        un.io.save_async(print, tmp_path / "x")
    with pytest.raises(FileNotFoundError):
        un.io.save_async(1, tmp_path / "absent" / "x").result()


def test_saving_inside_a_compiled_function_is_refused(backend: str, tmp_path: Path) -> None:
    @un.compile
    def step(x: un.Tensor) -> un.Tensor:
        un.save(x, tmp_path / "x")
        return x + 1

    with pytest.raises(un.errors.TracedValueError, match=r"un\.save"):
        step(un.ones(2))
