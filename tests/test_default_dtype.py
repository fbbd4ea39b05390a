"""``un.set_default_dtype``: what creation and integers become, against native PyTorch under its own default."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
import pytest
import torch

import unified as un
import unified.nn.functional as F
from unified import errors, nn, optim
from unified._default import default
from unified._dispatch import tell_computed

NAMES = ["float64", "bfloat16", "float16", "float32"]
CLOSE = {"float64": 1e-12, "bfloat16": 2e-2, "float16": 2e-3, "float32": 1e-5}
"""Relative: some units in the last place, which kernels round differently; of 8 bits for bfloat16."""


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    un.set_default_dtype(un.float32)


@contextmanager
def natively(name: str) -> Iterator[None]:
    """PyTorch's own default, for the oracle alone."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, name))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "ComplexHalf")
            yield
    finally:
        torch.set_default_dtype(before)


def same(ours: un.Tensor, theirs: torch.Tensor, close: float) -> None:
    """Dtypes are equal, or complex64 for PyTorch's complex32, which is nowhere else; values are close."""
    expected = str(theirs.dtype).removeprefix("torch.").replace("complex32", "complex64")
    assert ours.dtype.name == expected.replace("int64", "int32")
    wide = np.complex128 if theirs.is_complex() else np.float64
    found = np.asarray(ours.detach().numpy()).astype(wide)
    right = theirs.detach().to(torch.complex128 if theirs.is_complex() else torch.float64).numpy()
    if theirs.dtype is torch.float32:  # as asked for, whatever the default
        close = max(close, CLOSE["float32"])
    np.testing.assert_allclose(found, right, rtol=close, atol=close)


CREATED: dict[str, Callable[[Any], Any]] = {
    "zeros": lambda L: L.zeros(2, 3),
    "ones": lambda L: L.ones(3),
    "empty": lambda L: L.empty(2).zero_(),
    "eye": lambda L: L.eye(3),
    "eye of two lengths": lambda L: L.eye(2, 3),
    "full of floats": lambda L: L.full((2,), 0.1),
    "full of complex numbers": lambda L: L.full((2,), 2j),
    "full of ints": lambda L: L.full((2,), 3),
    "arange of floats": lambda L: L.arange(0.0, 1.0, 0.25),
    "arange of ints": lambda L: L.arange(4),
    "linspace": lambda L: L.linspace(0, 1, 7),
    "logspace": lambda L: L.logspace(0, 1, 4),
    "tensor of floats": lambda L: L.tensor([[0.1, 0.2]]),
    "tensor of a float": lambda L: L.tensor(0.1),
    "tensor of floats and ints": lambda L: L.tensor([1, 0.1]),
    "tensor of nothing": lambda L: L.tensor([]),
    "tensor of ints": lambda L: L.tensor([1, 2]),
    "tensor of bools": lambda L: L.tensor([True]),
    "as_tensor": lambda L: L.as_tensor([0.1]),
    "scalar_tensor": lambda L: L.scalar_tensor(0.1),
    "hann_window": lambda L: L.hann_window(5),
    "kaiser_window": lambda L: L.kaiser_window(5),
    "fftfreq": lambda L: L.fft.fftfreq(5),
    "rfftfreq": lambda L: L.fft.rfftfreq(5),
    "a dtype that is given": lambda L: L.zeros(2, dtype=L.float32),
    "new_tensor": lambda L: L.ones(2, dtype=L.float32).new_tensor([0.1]),
    "zeros_like": lambda L: L.zeros_like(L.ones(2, dtype=L.float32)),
    "numpy float32": lambda L: L.tensor(np.ones(2, np.float32)),
    "numpy float16": lambda L: L.tensor(np.ones(2, np.float16)),
    "a causal mask": lambda L: L.nn.Transformer.generate_square_subsequent_mask(3).exp(),
}


@pytest.mark.parametrize("name", NAMES)
def test_created_tensors(backend, name):
    un.set_default_dtype(getattr(un, name))
    assert un.get_default_dtype() is getattr(un, name)
    for create in CREATED.values():
        with natively(name):
            expected = create(torch)
        same(create(un), expected, CLOSE[name])


COMPUTED: dict[str, Callable[[Any, Any, Any], Any]] = {
    "sin": lambda L, i, c: i.sin(),
    "exp of a bool": lambda L, i, c: L.exp(c),
    "sigmoid": lambda L, i, c: i.sigmoid(),
    "int by int": lambda L, i, c: i / (i + 1),
    "int by a number": lambda L, i, c: i / 3,
    "a number by int": lambda L, i, c: 1 / (i + 1),
    "times a float": lambda L, i, c: i * 0.1,
    "a float times": lambda L, i, c: 0.1 * i,
    "plus a float": lambda L, i, c: i + 0.1,
    "minus from a float": lambda L, i, c: 0.1 - i,
    "to the power of a float": lambda L, i, c: i**0.5,
    "a float to the power": lambda L, i, c: 0.5**i,
    "a bool times a float": lambda L, i, c: c * 0.1,
    "a bool by an int": lambda L, i, c: c / (i + 1),
    "a 0-d int times a float": lambda L, i, c: i.sum() * 0.1,
    "where, an int and a float": lambda L, i, c: L.where(c, i, 0.1),
    "where, two floats": lambda L, i, c: L.where(c, 0.1, 0.2),
    "where, two ints": lambda L, i, c: L.where(c, i, 2),
    "clamp": lambda L, i, c: i.clamp(0.5, 1.5),
    "remainder": lambda L, i, c: L.remainder(i, 0.75),
    "atan2": lambda L, i, c: L.atan2(i, i + 1),
    "sinc, a composite": lambda L, i, c: L.sinc(i),
    "xlogy": lambda L, i, c: L.xlogy(i, i + 1),
    "lgamma": lambda L, i, c: L.lgamma(i + 1),
    "logsumexp": lambda L, i, c: i.logsumexp(0),
    "mean in a dtype": lambda L, i, c: i.mean(dtype=L.float32),
    "softmax in a dtype": lambda L, i, c: i.softmax(0, dtype=L.float32),
    "trapezoid": lambda L, i, c: L.trapezoid(i),
    "cov": lambda L, i, c: L.cov(L.stack([i, i * i])),
    "rad2deg": lambda L, i, c: L.rad2deg(i),
    "times a complex number": lambda L, i, c: (i * 2j).real.to(L.float32),
    "sum of ints": lambda L, i, c: i.sum(),
    "cat of ints": lambda L, i, c: L.cat([i, i]),
    "to a dtype": lambda L, i, c: i.to(L.float32),
    "float()": lambda L, i, c: i.float(),
    "with a tensor of 32 bits": lambda L, i, c: i * L.ones(4, dtype=L.float32),
    "tensors of 16 bits": lambda L, i, c: i.half() + 0.1,
    "in place": lambda L, i, c: L.zeros(4).add_(i).mul_(0.1),
}


@pytest.mark.parametrize("name", NAMES)
def test_what_becomes_of_integers(backend, name):
    un.set_default_dtype(getattr(un, name))
    for compute in COMPUTED.values():
        with natively(name):
            i = torch.arange(4, dtype=torch.int32)
            expected = compute(torch, i, i > 1)
        i = un.arange(4)
        same(compute(un, i, i > 1), expected, CLOSE[name])


@pytest.mark.parametrize("name", NAMES)
def test_promotion_and_numpy(backend, name):
    wide = name == "float64"
    un.set_default_dtype(getattr(un, name))
    ints = un.arange(2)
    assert un.result_type(ints, 0.5) is getattr(un, name)
    assert un.result_type(ints, 1j) is (un.complex128 if wide else un.complex64)
    assert un.result_type(ints, 1) is un.int32
    assert un.result_type(un.ones(2, dtype=un.float32), 0.5) is un.float32
    assert un.tensor(1j).dtype is (un.complex128 if wide else un.complex64)
    assert un.tensor(np.ones(2)).dtype is (un.float64 if wide else un.float32)
    assert un.from_numpy(np.ones(2, np.complex128)).dtype is (un.complex128 if wide else un.complex64)
    assert un.tensor(np.ones(2, np.int64)).dtype is un.int32
    assert un.fft.fft(ints).dtype is (un.complex128 if wide else un.complex64)
    assert un.TensorSpec((2,)).dtype is getattr(un, name)
    assert un.Input(3).dtype is getattr(un, name)
    assert un.Input(3, un.int32).sin().dtype is getattr(un, name)
    assert un.bincount(ints, ints).dtype is (un.float64 if wide else un.float32)  # as PyTorch's, but for our 32 bits
    assert un.masked.var(ints, 0, mask=ints >= 0).dtype is un.float32  # as PyTorch's
    assert "dtype" not in repr(un.ones(2))
    assert "dtype" not in repr(un.tensor(1j))
    assert ("dtype=unified.float32" in repr(un.ones(2, dtype=un.float32))) is (name != "float32")


DRAWS: dict[str, Callable[[Any], Any]] = {
    "rand": lambda dtype: un.rand(5, dtype=dtype),
    "randn": lambda dtype: un.randn(5, dtype=dtype),
    "normal": lambda dtype: un.normal(1.0, 2.0, (5,), dtype=dtype),
    "exponential": lambda dtype: un.random.exponential(5, dtype=dtype),
    "truncated_normal": lambda dtype: un.random.truncated_normal(5, dtype=dtype),
}


@pytest.mark.parametrize("name", NAMES)
def test_draws_are_those_of_the_dtype(backend, name):
    for draw in DRAWS.values():
        un.manual_seed(3)
        expected = draw(getattr(un, name))
        un.set_default_dtype(getattr(un, name))
        un.manual_seed(3)
        found = draw(None)
        un.set_default_dtype(un.float32)
        assert found.dtype is expected.dtype
        assert np.array_equal(found.numpy(), expected.numpy())
    assert un.svd_lowrank(un.randn(4, 3)).S.dtype is un.float32


@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_buffers(backend, name):
    un.set_default_dtype(getattr(un, name))
    layers = [
        nn.Linear(3, 2), nn.LSTM(3, 2), nn.BatchNorm1d(3), nn.Conv2d(1, 2, 3), nn.Embedding(3, 2), nn.LayerNorm(3),
        nn.MultiheadAttention(4, 2), nn.PReLU(), nn.LazyLinear(2),
    ]  # fmt: skip
    for layer in layers:
        for key, value in layer.state_dict().items():
            expected = un.int32 if key == "num_batches_tracked" else getattr(un, name)
            assert value.dtype is expected, (layer, key)
    assert layers[0](un.tensor([[0.1, 0.2, 0.3]])).dtype is getattr(un, name)
    assert layers[0].float().weight.dtype is un.float32


def _trained(
    L: Any, N: Any, optimizers: Any, functional: Any, state: dict[str, Any], step: Callable[[Any], Any]
) -> Any:
    model = N.Sequential(N.Linear(4, 5, bias=False), N.BatchNorm1d(5), N.Tanh(), N.Linear(5, 3))
    model.load_state_dict(state)
    optimizer = optimizers.AdamW(model.parameters(), lr=1e-2)
    x = L.linspace(-1, 1, 24).reshape(6, 4) * (L.arange(4) / 3)
    y = L.tensor([0, 1, 2, 0, 1, 2])

    def once(x: Any) -> Any:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y if L is un else y.long())
        loss.backward()
        optimizer.step()
        return loss

    once = step(once)
    losses = [once(x).item() for _ in range(4)]
    return losses, model.state_dict()


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.full)], ids=["eager", "compiled"])
def test_training_in_float64_is_native_training(backend, compiled):
    """To 1e-12: sums of a few terms of 52 bits, over four steps."""
    with natively("float64"):
        torch.manual_seed(0)
        first = torch.nn.Sequential(
            torch.nn.Linear(4, 5, bias=False), torch.nn.BatchNorm1d(5), torch.nn.Tanh(), torch.nn.Linear(5, 3)
        ).state_dict()
        first = {key: value.clone() for key, value in first.items()}
        losses, state = _trained(torch, torch.nn, torch.optim, torch.nn.functional, first, lambda f: f)
    un.set_default_dtype(un.float64)
    given = {key: un.tensor(value.numpy()) for key, value in first.items()}
    found, ours = _trained(un, nn, optim, F, given, un.compile if compiled else lambda f: f)
    np.testing.assert_allclose(found, losses, rtol=1e-12)
    for key, value in state.items():
        if key != "1.num_batches_tracked":
            assert ours[key].dtype is un.float64
            np.testing.assert_allclose(ours[key].detach().numpy(), value.numpy(), rtol=1e-11, atol=1e-12)


def test_a_compiled_function_is_traced_once_for_each_default(backend):
    traces = []

    @un.compile
    def f(x, scale):
        traces.append(1)
        return x.sin(), x * scale, x * 0.1 + un.zeros(3)

    x = un.arange(3)
    plain = [r.dtype for r in f(x, 0.1)]
    assert plain == [un.float32] * 3
    first = len(traces)
    un.set_default_dtype(un.float64)
    for _ in range(2):
        results = f(x, 0.1)
        assert [r.dtype for r in results] == [un.float64] * 3
        np.testing.assert_allclose(results[1].numpy(), np.arange(3) * 0.1, rtol=1e-15)
    assert len(traces) == 2 * first  # a trace runs the function as often as the first one did
    un.set_default_dtype(un.float32)
    assert [r.dtype for r in f(x, 0.1)] == plain
    un.set_default_dtype(un.float64)
    f(x, 0.1)
    assert len(traces) == 2 * first
    report = f.explain()
    assert report.reasons == ["first call", "the default dtype changed from float32 to float64"]
    assert len(report.programs) == 2


def test_half_defaults_in_programs(backend):
    """A Python float among the arguments is a number there too, and the dtypes are those of eager calls."""

    def f(x, scale):
        return x * scale, scale * x, x / scale, un.where(x > 1, 0.1, 0.2), x.sinc()

    un.set_default_dtype(un.bfloat16)
    x = un.arange(3)
    for found, expected in zip(un.compile(f)(x, 0.3), f(x, 0.3), strict=True):
        assert found.dtype is expected.dtype is un.bfloat16
        np.testing.assert_allclose(found.float().numpy(), expected.float().numpy(), rtol=2e-2, atol=1e-6)


def test_a_program_keeps_its_default_for_its_pullback(backend):
    un.set_default_dtype(un.float64)
    w = un.ones(3, requires_grad=True)
    loss = un.compile(lambda i: (i * 0.1 * w).sum())(un.arange(3))
    un.set_default_dtype(un.float32)
    loss.backward()
    assert w.grad.dtype is un.float64
    np.testing.assert_allclose(w.grad.numpy(), np.arange(3) * 0.1, rtol=1e-15)


def test_under_transforms(backend):
    un.set_default_dtype(un.float64)
    i = un.arange(6).reshape(2, 3)

    def f(x):
        return x.sin(), x * 0.1, un.where(x > 1, 0.1, 0.2), x.sinc().sum()

    for found, expected in zip(un.func.vmap(f)(i), f(i[0]), strict=True):
        assert found.dtype is expected.dtype is un.float64
        np.testing.assert_allclose(found[0].numpy(), expected.numpy(), rtol=1e-14)
    gradient = un.func.grad(lambda x: (x * (i[0] * 0.1)).sum())(un.ones(3))
    np.testing.assert_allclose(gradient.numpy(), np.arange(3) * 0.1, rtol=1e-15)
    _, tangent = un.func.jvp(lambda x: x * (i[0] / 3), (un.ones(3),), (un.ones(3),))
    np.testing.assert_allclose(tangent.numpy(), np.arange(3) / 3, rtol=1e-15)


def test_dynamic_lengths_and_control_flow(backend):
    un.set_default_dtype(un.float64)
    f = un.compile(lambda x: ((x * 0.1).mean(1), (x / x.shape[1]).sum(1)), dynamic={"x": {1: "time"}})
    mean, total = f(un.ones(2, 11, dtype=un.int32))
    assert mean.dtype is total.dtype is un.float64
    np.testing.assert_allclose(mean.numpy(), 0.1, rtol=1e-14)
    np.testing.assert_allclose(total.numpy(), 1.0, rtol=1e-14)
    chosen = un.compile(lambda i, s: un.cond(i.sum() > 0, lambda: i * s, lambda: i * 0.25))(un.arange(3), 0.1)
    np.testing.assert_allclose(chosen.numpy(), np.arange(3) * 0.1, rtol=1e-15)


FLOATS: dict[str, Callable[[un.Tensor], un.Tensor]] = {
    "gelu": F.gelu,
    "layer_norm": lambda x: F.layer_norm(x, (6,)),
    "interpolate": lambda x: F.interpolate(x[None], scale_factor=1.5, mode="linear"),
    "affine_grid": lambda x: F.affine_grid(x.reshape(2, 3, 4)[:, :2, :3], (2, 1, 3, 3)),
    "embedding": lambda x: F.embedding(un.tensor([0, 1]), x),
    "avg_pool": lambda x: F.avg_pool1d(x[None], 2),
    "cross_entropy": lambda x: F.cross_entropy(x, un.tensor([0, 1, 2, 3]), label_smoothing=0.1),
    "one_hot times": lambda x: F.one_hot(un.tensor([0, 1, 2, 3]), 6) * x,
    "stft": lambda x: un.stft(x.reshape(-1), 8, return_complex=True, window=un.ones(8, dtype=un.float32)).abs(),
    "nansum": lambda x: x.nansum(0),
    "quantile": lambda x: x.quantile(0.3),
    "var": lambda x: x.var(0),
}


@pytest.mark.parametrize("name", ["float64", "bfloat16"])
def test_where_operands_are_floating_the_default_changes_no_bit(backend, name):
    """So that no program of an op, which JAX and TensorFlow keep, depends on it; a body computes as before."""
    x = un.tensor(np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32))
    expected = {key: function(x).numpy() for key, function in FLOATS.items()}
    un.set_default_dtype(getattr(un, name))
    for key, function in FLOATS.items():
        found = function(x)
        assert found.dtype is un.float32, key
        assert np.array_equal(found.numpy(), expected[key]), key


def test_no_program_of_jax_is_stale_and_none_is_compiled_again():
    with un.backend("jax"):
        i = un.arange(5)

        def once() -> list[un.Tensor]:
            return [i.sin(), i * 0.1, i.sinc(), i.logsumexp(0), un.zeros(5) + 1, un.rand(5)]

        for dtype in (un.float32, un.float64, un.bfloat16):
            un.set_default_dtype(dtype)
            assert {r.dtype for r in once()} == {dtype}
        compiles: list[float] = []

        def listen(event: str, duration: float, **_: object) -> None:
            if event == "/jax/core/compile/backend_compile_duration":
                compiles.append(duration)

        jax.monitoring.register_event_duration_secs_listener(listen)
        try:
            for dtype in (un.float32, un.float64, un.bfloat16):
                un.set_default_dtype(dtype)
                assert {r.dtype for r in once()} == {dtype}
        finally:
            jax.monitoring.unregister_event_duration_listener(listen)
        assert not compiles


@pytest.mark.parametrize("given", [un.int32, un.bool, un.complex64, "float64", torch.float64, float, None])
def test_what_is_refused_changes_nothing(given):
    un.set_default_dtype(un.float64)
    with pytest.raises(errors.DTypeError, match=r"takes one of un\.float32, un\.float64.*, not "):
        un.set_default_dtype(given)
    assert un.get_default_dtype() is un.float64


def test_it_is_refused_while_a_function_is_traced(backend):
    def f(x):
        un.set_default_dtype(un.float64)
        return x + 1

    with pytest.raises(errors.CompileError, match="call it outside"):
        un.compile(f)(un.ones(2))
    assert un.get_default_dtype() is un.float32


def test_defaults_of_frameworks_stay(backend):
    un.set_default_dtype(un.float64)
    un.arange(3).sin() * un.ones(3)
    assert torch.get_default_dtype() is torch.float32
    assert not jax.config.jax_enable_x64


def test_it_holds_in_every_thread_and_listeners_hear_what_they_did(backend):
    heard: list[str] = []
    tell_computed(lambda name, results, line: heard.append(name))
    try:
        un.arange(3).sinc()
        before, heard = heard, []
        un.set_default_dtype(un.float64)
        un.ones(3).sinc()
        found: list[un.Tensor] = []

        def work() -> None:
            with un.backend(backend):
                found.extend([un.arange(3) * 0.5, un.ones(2)])

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert [tensor.dtype for tensor in found] == [un.float64] * 2
        assert "sinc" in before
        assert "sinc" in heard
        assert not {"sin", "where"} & set(heard)  # the body's
    finally:
        tell_computed(None)


def test_nobody_looks_while_it_is_float32():
    for dtype in (un.float64, un.float16, un.float16, un.float32, un.float32):
        un.set_default_dtype(dtype)
        assert bool(default.watched) is (dtype is not un.float32)
