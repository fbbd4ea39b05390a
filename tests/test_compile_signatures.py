"""What makes another program, and what does not: arguments, hyperparameters, modes, state however reached."""

from __future__ import annotations

import enum
import sys
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

import unified as un
import unified.nn.functional as F
from unified import errors, nn, optim

X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
CLOSE = {"rtol": 2e-5, "atol": 1e-6}
"""XLA and inductor fuse and reorder float32 sums of a few terms."""


def programs(compiled) -> int:
    return int(compiled.explain().split(": ")[1].split()[0])


class Mode(enum.Enum):
    ADD = 1
    SCALE = 2


class Pair(NamedTuple):
    first: un.Tensor
    second: un.Tensor | None


@dataclass(frozen=True)
class Options:
    power: int
    shift: un.Tensor


def test_nested_arguments_of_every_kind(backend):
    def f(pair, options, table, mode, name, *rest, deep=None):
        total = pair.first * 2 if pair.second is None else pair.first + pair.second
        total = total**options.power + options.shift
        if mode is Mode.SCALE:
            total = total * table["a"][0]
        return OrderedDict(total=total + len(name) + sum(rest), deep=deep["x"][0][1] if deep else None)

    compiled, x = un.compile(f), un.tensor(X)
    calls = [
        ((Pair(x, None), Options(2, x), {"a": [x]}, Mode.ADD, "ab"), {}),
        ((Pair(x, x), Options(2, x), {"a": [x]}, Mode.SCALE, "ab"), {}),
        ((Pair(x, x), Options(3, x), {"a": [x]}, Mode.SCALE, "abc", 1, 2), {"deep": {"x": [(0, x)]}}),
    ]
    for args, kwargs in calls * 2:
        got, expected = compiled(*args, **kwargs), f(*args, **kwargs)
        assert type(got) is OrderedDict
        np.testing.assert_allclose(got["total"].numpy(), expected["total"].numpy(), **CLOSE)
        assert (got["deep"] is None) == (expected["deep"] is None)
    assert programs(compiled) == 3


def test_a_result_of_a_class_of_dicts_is_refused(backend):
    class Output(OrderedDict):
        pass

    with pytest.raises(errors.CompileError, match="the dict class Output, which cannot be made anew"):
        un.compile(lambda x: Output(x=x))(un.tensor(X))


def test_slices_are_arguments(backend):
    compiled, x = un.compile(lambda x, where: x[where]), un.tensor(X)
    for where in (slice(1, 3), slice(1, 3), (slice(None), slice(0, 2))):
        np.testing.assert_array_equal(compiled(x, where).numpy(), x[where].numpy())
    assert programs(compiled) == 2


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ({"n": 1}, {"n": 2}, "the Python value of n changed from 1 to 2"),
        ({"n": True}, {"n": 1}, "the Python value of n changed from True to 1"),
        ({"n": "a"}, {"n": None}, "the Python value of n changed from 'a' to None"),
        ({"n": Mode.ADD}, {"n": Mode.SCALE}, "the Python value of n changed"),
        ({"n": {"k": [1, 2]}}, {"n": {"k": [1, 3]}}, "the Python value of n['k'][1] changed from 2 to 3"),
        ({"n": [1]}, {"n": [1, 2]}, "a container of n changed length from 1 to 2"),
        ({"n": [1]}, {"n": (1,)}, "the nesting of n changed"),
        ({"n": 1}, {"n": 1, "m": 2}, "other arguments were given"),
        ({"n": np.int64(1)}, {"n": np.int64(2)}, "the Python value of n changed from 1 to 2"),
    ],
)
def test_why_python_values_are_another_program(first, second, why):
    with un.backend("jax"):
        compiled = un.compile(lambda x, n=0, m=0: x * 2)
        for kwargs in (first, second, first):
            compiled(un.tensor(X), **kwargs)
    assert programs(compiled) == 2
    assert why in compiled.explain()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda x: x[:3], "x changed from float32 (6, 4) to float32 (3, 4) (dimension 0)"),
        (lambda x: x.reshape(-1), "x changed from float32 (6, 4) to float32 (24,)"),
        (lambda x: x.to(un.int32), "x changed from float32 (6, 4) to int32 (6, 4)"),
        (lambda x: 1.5, "x changed between a Tensor and a Python float"),
        (lambda x: x.clone().requires_grad_(), "requires_grad of x changed from False to True"),
    ],
)
def test_why_tensors_are_another_program(backend, change, why):
    if why.endswith("float"):
        compiled, x = un.compile(lambda x: x * 2), un.tensor(1.0)
    else:
        compiled, x = un.compile(lambda x: x * 2), un.tensor(X)
    compiled(x)
    compiled(change(x))
    assert programs(compiled) == 2
    assert why in compiled.explain() or ("float" in why and backend == "jax")  # where its signature tells already


def test_modes_are_guarded(backend):
    w = un.tensor(X, requires_grad=True)
    seen = []

    def f(x):
        seen.append((un.is_grad_enabled(), un.is_inference_mode_enabled()))
        return x * w

    compiled, x = un.compile(f), un.tensor(X)
    assert compiled(x).requires_grad
    with un.no_grad():
        assert not compiled(x).requires_grad
    with un.inference_mode():
        assert not compiled(x).requires_grad
    assert compiled(x).requires_grad
    assert programs(compiled) == 3
    assert {True, False} == {enabled for enabled, _ in seen}
    assert "the grad mode changed from True to False" in compiled.explain()
    assert "the inference mode changed from False to True" in compiled.explain()


def test_the_current_backend_and_device_are_guarded(backend):
    compiled, x = un.compile(lambda x: x + un.ones(4)), un.tensor(X)
    compiled(x)
    with un.device("cpu"):
        compiled(x)
    assert "the current device changed from None to cpu" in compiled.explain()
    other = next(name for name in un.available_backends() if name != backend)
    with un.backend(other), pytest.raises(errors.BackendMismatchError):
        compiled(x)  # as eagerly: un.ones(4) lives elsewhere
    compiled(x)
    assert programs(compiled) == 2


# ---- floats -----------------------------------------------------------------------------------------------------


def test_a_float_is_an_input_and_takes_part_in_promotion_as_a_number(backend):
    def f(x, scale, shift=1.0):
        return x * scale + shift, x.shape[0] * scale

    compiled = un.compile(f)
    for dtype in (un.float32, un.float16, un.float64, un.int32):
        x = un.tensor(np.arange(4), dtype=dtype)
        for scale in (0.5, 0.1, 3.0):
            got, expected = compiled(x, scale, shift=-scale)[0], f(x, scale, shift=-scale)[0]
            assert got.dtype is expected.dtype
            tolerance = {un.float16: 2e-3, un.float64: 1e-14}.get(dtype, 1e-6)
            np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=tolerance)
    assert programs(compiled) == 4


def test_a_float_that_python_looks_at_says_how_to_keep_it(backend):
    def f(x, scale):
        return x * scale if scale > 1 else x

    with pytest.raises(errors.TracedValueError, match="static_argnames"):
        un.compile(f)(un.tensor(X), 2.0)
    compiled = un.compile(f, static_argnames="scale")
    for scale in (2.0, 0.5, 2.0):
        np.testing.assert_allclose(compiled(un.tensor(X), scale).numpy(), f(un.tensor(X), scale).numpy(), **CLOSE)
        np.testing.assert_allclose(
            compiled(un.tensor(X), scale=scale).numpy(), f(un.tensor(X), scale).numpy(), **CLOSE
        )
    assert programs(compiled) == 4  # by position and by name


def test_gradients_flow_out_beside_a_float_argument(backend):
    w = un.tensor(X[0], requires_grad=True)
    compiled = un.compile(lambda x, scale: (x * w).sum() * scale)
    for scale in (0.5, 2.0):
        compiled(un.tensor(X), scale).backward()
        np.testing.assert_allclose(w.grad.numpy(), X.sum(0) * scale, rtol=1e-5)
        w.grad = None
    assert programs(compiled) == 1


def test_static_arguments_are_compared_by_value(backend):
    @un.compile(static_argnames=("sizes",))
    def f(x, sizes):
        return x.reshape(*sizes)

    for _ in range(2):
        assert f(un.tensor(X), (3, 8)).shape == (3, 8)
        assert f(un.tensor(X), (2, 12)).shape == (2, 12)
    assert programs(f) == 2


def test_arguments_that_cannot_be_compared_are_refused(backend):
    class Unhashable:
        __hash__ = None

    def f(x, options):
        return x

    x = un.tensor(X)
    with pytest.raises(errors.OperandError, match=r"f: a static argument must be hashable.*a list is not"):
        un.compile(f, static_argnames="options")(x, [1])
    with pytest.raises(errors.OperandError, match=r"type Unhashable is neither a Tensor"):
        un.compile(f)(x, Unhashable())
    with pytest.raises(errors.OperandError, match=r"type set is neither a Tensor"):
        un.compile(f)(x, {1})
    with pytest.raises(errors.OperandError, match=r"un\.tensor\(array\)"):
        un.compile(f)(x, {"array": X})
    with pytest.raises(errors.ArgumentError, match=r"f has no parameter 'option', which static_argnames= names"):
        un.compile(f, static_argnames="option")


# ---- state, however it is reached ---------------------------------------------------------------------------------

GLOBAL = {}


@pytest.mark.parametrize("way", ["argument", "object", "attribute", "container", "global", "closure", "default"])
def test_state_is_found_however_it_is_reached(backend, way):
    class Holder:
        def __init__(self):
            self.value = un.zeros(4)
            self.deep = {"list": [un.zeros(4)]}

    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("value", un.zeros(4))

        def forward(self, x):
            self.value.add_(x)
            return self.value * 2

    holder, module, free = Holder(), Counter(), un.zeros(4)
    GLOBAL["value"] = un.zeros(4)

    def by_default(x, value=holder.value):
        return value.add_(x) * 2

    functions = {
        "argument": lambda x, m=None: m(x),
        "object": lambda x, h=None: h.value.add_(x) * 2,
        "attribute": lambda x: holder.value.add_(x) * 2,
        "container": lambda x: holder.deep["list"][0].add_(x) * 2,
        "global": lambda x: GLOBAL["value"].add_(x) * 2,
        "closure": lambda x: free.add_(x) * 2,
        "default": by_default,
    }
    compiled = un.compile(functions[way])
    given = {"argument": {"m": module}, "object": {"h": holder}}.get(way, {})
    found = {"argument": module.value, "container": holder.deep["list"][0], "closure": free}
    found["global"] = GLOBAL["value"]
    x = un.tensor(X[0])
    for count in (1, 2, 3):
        result = compiled(x, **given)
        np.testing.assert_allclose(result.numpy(), 2 * count * X[0], **CLOSE)
        np.testing.assert_allclose(found.get(way, holder.value).numpy(), count * X[0], **CLOSE)


def test_train_and_eval_are_two_programs(backend):
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    compiled, x = un.compile(model), un.tensor(X)
    for _ in range(2):
        model.train()
        compiled(x)
        model.eval()
        np.testing.assert_allclose(compiled(x).detach().numpy(), model(x).detach().numpy(), **CLOSE)
    assert programs(compiled) == 2
    assert "training changed from True to False" in compiled.explain()


def test_a_parameter_or_child_that_is_replaced_is_seen(backend):
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    compiled, x = un.compile(model), un.tensor(X)
    compiled(x)
    model[0].weight = nn.Parameter(un.ones(3, 4))
    np.testing.assert_allclose(compiled(x).detach().numpy(), model(x).detach().numpy(), **CLOSE)
    assert "Linear.weight changed" in compiled.explain()
    model[1] = nn.Linear(3, 5)
    assert compiled(x).shape == (6, 5)
    for _ in range(3):
        compiled(x)
    assert programs(compiled) == 3


SEEN: un.Tensor | None = None


@pytest.mark.parametrize("way", ["attribute", "item", "object", "argument", "closure", "global"])
@pytest.mark.parametrize("on", ["jax", "tensorflow", pytest.param("torch", marks=pytest.mark.full)])
def test_a_tensor_that_takes_the_place_of_another_is_seen(on, way):
    class Holder:
        def __init__(self) -> None:
            self.w = un.ones(4)
            self.items = {"w": un.ones(4)}

        def add(self, x):
            return x + (self.w if way == "attribute" else self.items["w"])

    global SEEN
    with un.backend(on):
        x, holder, variable, SEEN = un.zeros(4), Holder(), un.ones(4), un.ones(4)
        functions = {
            "attribute": holder.add,
            "item": holder.add,
            "object": lambda x: x + holder.w,
            "argument": lambda x, holder: x + holder.w,
            "closure": lambda x: x + variable,
            "global": lambda x: x + SEEN,
        }
        compiled, arguments = un.compile(functions[way]), (x, holder) if way == "argument" else (x,)
        for value in (1.0, 2.0, 3.0):
            found = un.full((4,), value)
            holder.w, holder.items["w"], variable, SEEN = found, found, found, found
            for _ in range(2):
                assert compiled(*arguments).tolist() == [value] * 4
        assert programs(compiled) == 3
        assert "was replaced by another Tensor; write into it" in compiled.explain().reasons[1]


def test_captured_state_of_another_shape_is_seen(backend):
    held = un.zeros(1, 4)
    compiled, x = un.compile(lambda x: x + held), un.tensor(X)
    compiled(x)
    held.data = un.ones(6, 1)
    np.testing.assert_allclose(compiled(x).numpy(), X + 1, **CLOSE)
    held.squeeze_(1).unsqueeze_(1)
    np.testing.assert_allclose(compiled(x).numpy(), X + 1, **CLOSE)
    assert programs(compiled) == 2


# ---- retraces ---------------------------------------------------------------------------------------------------


def mlp():
    un.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))


def test_a_thousand_steps_are_one_program(backend):
    """Schedule, changing hyperparameters, dropout, batch statistics: none is a retrace; another batch shape is."""
    model = mlp()
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=1000)
    group = optimizer.param_groups[0]

    @un.compile
    def step(x, y, smoothing, scale=1.0):
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y) * scale + smoothing * model[0].weight.square().sum()
        loss.backward()
        optimizer.step()
        return loss

    rng = np.random.default_rng(1)
    x, y = un.tensor(rng.normal(size=(6, 4)), dtype=un.float32), un.tensor(rng.normal(size=(6, 2)), dtype=un.float32)
    losses = []
    for index in range(1000):
        losses.append(step(x, y, 1e-4 / (index + 1), scale=1.0 + 1e-3 * index))
        scheduler.step()
        group["weight_decay"] = 1e-3 / (index + 1)
        group["betas"] = (0.9 - 1e-5 * index, 0.999)
        group["eps"] = 1e-8 * (1 + index)
        if index % 100 == 50:
            group["lr"] = 0.01
    assert programs(step) == 1, step.explain()
    assert model[1].num_batches_tracked.item() == 1000
    values = [loss.item() for loss in losses]
    assert len(set(values[:20])) == 20  # dropout draws anew
    assert np.mean(values[-50:]) < np.mean(values[:50])
    step(x[:5], y[:5], 0.1, scale=2.0)
    assert programs(step) == 2
    assert "x changed from float32 (6, 4) to float32 (5, 4) (dimension 0)" in step.explain()


def test_hyperparameters_that_change_have_their_effect(backend):
    """The compiled step follows ``lr``, ``betas`` and a float argument as the eager one does."""
    runs = {}
    for path in ("eager", "compiled"):
        model = nn.Linear(4, 2)
        with un.no_grad():
            model.weight.fill_(0.5)
            model.bias.zero_()
        optimizer = optim.Adam(model.parameters(), lr=0.1)

        def step(x, scale, model=model, optimizer=optimizer):
            optimizer.zero_grad()
            (model(x).square().mean() * scale).backward()
            optimizer.step()

        run = un.compile(step) if path == "compiled" else step
        for index in range(4):
            optimizer.param_groups[0]["lr"] = 0.1 / (index + 1)
            optimizer.param_groups[0]["betas"] = (0.9 - 0.1 * index, 0.99)
            run(un.tensor(X), 1.0 + index)
        runs[path] = model.weight.detach().numpy().copy()
    np.testing.assert_allclose(runs["compiled"], runs["eager"], rtol=1e-4, atol=1e-6)


def test_no_warning_before_nine_retraces(backend):
    compiled = un.compile(lambda x, n: x * n)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for n in range(9):  # one trace and eight retraces
            compiled(un.tensor(X), n)
        assert not [w for w in caught if "retraced" in str(w.message)]
        for n in range(9, 14):
            compiled(un.tensor(X), n)
    found = [w for w in caught if "retraced" in str(w.message)]
    assert len(found) == 1
    assert "retraced 9 times; the last reason: the Python value of n changed from 8 to 9" in str(found[0].message)
    assert found[0].filename == __file__


# ---- what a call costs ---------------------------------------------------------------------------------------------


def test_a_call_does_a_bounded_number_of_python_calls(backend):
    """The cost of a call is that of the leaves' natives, not of Python work for each: counted, not timed."""

    def calls(count: int) -> int:
        state = [un.zeros(2) for _ in range(count)]

        def f(x):
            for tensor in state:
                tensor.add_(x)
            return x

        compiled, x = un.compile(f), un.ones(2)
        compiled(x), compiled(x)
        seen = 0

        def profile(frame, event, arg):
            nonlocal seen
            seen += event == "call" and "unified" in frame.f_code.co_filename.replace("backends", "unified")

        sys.setprofile(profile)
        try:
            compiled(x)
        finally:
            sys.setprofile(None)
        return seen

    few, many = calls(2), calls(34)
    assert few < 60
    assert many - few <= 2 * 32  # at most two calls into Python for each leaf of state
