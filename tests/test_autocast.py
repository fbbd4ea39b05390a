"""``un.autocast``: which dtype each op computes in, what is kept, and how it meets autograd, transforms and compile.

The oracle of the policies is PyTorch's table for CUDA and the CPU, ``torch.testing._internal.autocast_test_lists``.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing._internal.autocast_test_lists import AutocastCPUTestLists, AutocastTestLists

import unified as un
import unified.nn.functional as F
from unified import nn
from unified._dispatch import table
from unified.amp.policy import POLICIES

NOT_OURS = {
    "_convolution", "convolution", "cudnn_convolution", "cudnn_convolution_transpose", "conv_tbc", "nll_loss2d",
    "_addmm_activation", "_native_multi_head_attention", "grid_sampler", "chain_matmul", "__div__",
    "reflection_pad1d", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell",
}  # fmt: skip
"""What PyTorch's table has under names that are no public function here: kernels of conv2d, cells and such."""

DEPARTS = {"avg_pool3d"}
"""PyTorch's CPU pools volumes in 32 bits, its GPUs and we in 16."""

REWRITTEN: dict[str, Any] = {
    "einsum": lambda args: ("ij,jk->ik", torch.randn(4, 4), torch.randn(4, 4)),  # written as pairs in the table
    "poisson_nll_loss": lambda args: args[:4],  # what follows is an enum of PyTorch's kernel
    "margin_ranking_loss": lambda args: (
        args[0],
        args[1],
        args[2].expand(8, 8),
    ),  # the kernel broadcasts, no loss does
    "linear": lambda args: (args[0], args[1], *[bias[0] for bias in args[2:]]),  # so does this one
    "index_put": lambda args: (args[0], list(args[1]), args[2]),
}
"""Arguments of PyTorch's kernels as its public functions take them."""

CASES: dict[str, tuple[str, Any, dict[str, Any], str]] = {}


def _collect() -> None:
    torch.manual_seed(0)
    kinds = {"fp16": "lower", "16": "lower", "fp32": "float32", "promote": "float32"}
    for lists in (AutocastTestLists("cpu"), AutocastCPUTestLists("cpu")):
        for group, entries in vars(lists).items():
            kind = kinds.get(group.rsplit("_", 1)[-1])
            for number, (name, args, *rest) in enumerate(entries if kind else []):
                if name in NOT_OURS or name in DEPARTS:
                    continue
                kwargs = rest[0] if rest and isinstance(rest[0], dict) else {}
                result = rest[-1] if "builtin" in group else kind
                args = REWRITTEN.get(name, lambda args: args)(args)
                CASES[f"{type(lists).__name__[8:-9] or 'CUDA'}-{group}-{name}-{number}"] = (
                    name,
                    args,
                    kwargs,
                    result,
                )


_collect()


def test_the_table_was_read():
    assert len(CASES) > 130
    assert {name for name, *_ in CASES.values()} > {
        "linear",
        "conv2d",
        "softmax",
        "mse_loss",
        "addcdiv",
        "__matmul__",
    }


def test_every_policy_is_of_an_op():
    assert not [name for name in POLICIES if name not in table]


def _function(name: str) -> Any:
    for home in (un, F):
        if hasattr(home, name) and not name.startswith("__"):
            return getattr(home, name)
    if name.startswith("linalg_"):
        return getattr(un.linalg, name.removeprefix("linalg_"))
    return lambda x, *args: getattr(x, name)(*args)


def _ours(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        if value.dtype is torch.bfloat16:
            return un.tensor(value.float().numpy()).to(un.bfloat16)
        return un.tensor(value.numpy())
    if isinstance(value, (tuple, list)):
        return type(value)(_ours(member) for member in value)
    return value


def _as(value: Any, dtype: Any) -> Any:
    if isinstance(value, un.Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    return type(value)(_as(member, dtype) for member in value) if isinstance(value, (tuple, list)) else value


_SEEN = {name for case, (name, *_) in CASES.items() if case.startswith("CUDA")}


@pytest.mark.parametrize(
    "case",
    [
        # the CPU's list has next to no names of its own
        pytest.param(case, marks=pytest.mark.full) if case.startswith("CPU") and name in _SEEN else case
        for case, (name, *_) in CASES.items()
    ],
)
def test_policy_is_pytorchs(backend, case):
    name, args, kwargs, kind = CASES[case]
    function, given = _function(name), _ours(args)
    if isinstance(kind, torch.dtype):
        wanted = getattr(un, str(kind).removeprefix("torch."))
        with un.autocast("cpu"):
            found = function(*given)
        assert isinstance(found, bool) or found.dtype is wanted
        return
    lower = un.float16 if case.startswith("CUDA") else un.bfloat16
    dtype = lower if kind == "lower" else un.float32
    with un.autocast("cpu", lower):
        found = function(*given, **kwargs)
    control = function(*_as(given, dtype), **kwargs)
    assert found.dtype is control.dtype is dtype
    np.testing.assert_array_equal(
        found.float().numpy(), control.float().numpy()
    )  # the same kernels on the same values


# ---- the block -----------------------------------------------------------------------------------------------------


def test_what_is_not_cast(backend):
    x, wide = un.ones(2, 2), un.ones(2, 2, dtype=un.float64)
    with un.autocast("cpu"):
        assert (x @ x).dtype is un.bfloat16
        assert (wide @ wide).dtype is un.float64
        assert (un.ones(2, 2, dtype=un.int32) @ un.ones(2, 2, dtype=un.int32)).dtype is un.int32
        assert (x + x).dtype is (x * 2).dtype is x.relu().dtype is un.float32
        assert un.zeros(3).dtype is un.rand(3).dtype is un.float32
    assert (x @ x).dtype is un.float32


def test_blocks_nest_by_device(backend):
    x = un.ones(2, 2)

    def dtype() -> Any:
        return (x @ x).dtype

    with un.autocast():
        assert dtype() is un.bfloat16
        assert un.is_autocast_enabled()
        assert un.is_autocast_enabled("cuda")
        assert un.is_autocast_enabled("tpu")
        with un.autocast("cpu", enabled=False):
            assert dtype() is un.float32
            assert un.is_autocast_enabled("tpu")
            assert not un.is_autocast_enabled("cpu")
            with un.autocast("cpu", un.float16):
                assert dtype() is un.float16 is un.get_autocast_dtype("cpu")
        with un.autocast(enabled=False):
            assert dtype() is un.float32
            assert not un.is_autocast_enabled("tpu")
        assert dtype() is un.bfloat16
    with un.autocast("cuda"):
        assert dtype() is un.float32
        assert un.get_autocast_dtype("cuda") is un.float16
    assert not un.is_autocast_enabled()
    assert un.get_autocast_dtype("cpu") is un.get_autocast_dtype("tpu") is un.bfloat16
    assert un.amp.is_autocast_available("cuda")
    assert un.amp.is_autocast_available("tpu")


def test_a_block_ends_with_an_exception(backend):
    x = un.ones(2, 2)
    with pytest.raises(ZeroDivisionError), un.autocast("cpu"):
        raise ZeroDivisionError
    assert (x @ x).dtype is un.float32
    with un.autocast("cpu"), pytest.raises(un.errors.ShapeError, match="matmul"):
        x @ un.ones(3, 3)
    assert not un.is_autocast_enabled()


def test_as_a_decorator(backend):
    x = un.ones(2, 2)

    @un.autocast("cpu")
    def product() -> un.Tensor:
        return x @ x

    @un.autocast("cpu")
    def products() -> Iterator[un.Tensor]:
        yield x @ x
        yield x @ x

    assert product().dtype is un.bfloat16
    found = []
    for each in products():
        found += [each.dtype, (x @ x).dtype]
    assert found == [un.bfloat16, un.float32] * 2


def test_other_threads_are_not_in_the_block(backend):
    x = un.ones(2, 2)
    seen: dict[str, Any] = {}
    inside, ready = threading.Event(), threading.Event()

    def other() -> None:
        with un.autocast("cpu", un.float16):
            inside.set()
            ready.wait(30)
            seen["other"] = (x @ x).dtype

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(30)
    seen["here"] = (x @ x).dtype
    with un.autocast("cpu"):
        seen["within"] = (x @ x).dtype
    ready.set()  # a block has ended here while another goes on there
    thread.join()
    assert seen == {"here": un.float32, "within": un.bfloat16, "other": un.float16}
    assert (x @ x).dtype is un.float32


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"dtype": un.float32}, un.errors.DTypeError, "float16 or bfloat16, not float32"),
        ({"dtype": "half"}, un.errors.DTypeError, "not 'half'"),
        ({"device_type": "xpu"}, un.errors.DeviceError, "xpu"),
    ],
)
def test_bad_arguments(backend, arguments, error, match):
    with pytest.raises(error, match=match):
        un.autocast(**arguments)
    assert not un.is_autocast_enabled()


# ---- what is kept --------------------------------------------------------------------------------------------------


@pytest.fixture
def casts(monkeypatch):
    """The shapes of what is cast to 16 bits."""
    found: list[tuple[int, ...]] = []
    to = un.Tensor.to

    def counting(self: un.Tensor, *args: Any, **kwargs: Any) -> un.Tensor:
        if args and args[0] is un.bfloat16:
            found.append(tuple(self.shape))
        return to(self, *args, **kwargs)

    monkeypatch.setattr(un.Tensor, "to", counting)
    return found


def test_a_parameter_is_cast_once_in_a_block(backend, casts):
    layer = nn.Linear(3, 3, bias=False)
    x = un.ones(2, 3)
    with un.autocast("cpu"):
        layer(layer(x))
    assert casts.count((3, 3)) == 1
    with un.autocast("cpu"):
        layer(x)
    assert casts.count((3, 3)) == 2
    with un.autocast("cpu", cache_enabled=False):
        layer(layer(x))
    assert casts.count((3, 3)) == 4


def test_what_is_kept_is_the_value_that_a_parameter_has(backend):
    layer = nn.Linear(3, 3, bias=False)
    optimizer = un.optim.SGD(layer.parameters(), lr=0.5)
    x = un.ones(2, 3)
    with un.autocast("cpu"):
        for change in (
            lambda: (layer(x).float().sum().backward(), optimizer.step()),
            lambda: layer.weight.data.mul_(3.0),
            lambda: layer.load_state_dict({"weight": un.ones(3, 3) * 7}),
        ):
            layer(x)
            change()
            wanted = x.to(un.bfloat16) @ layer.weight.detach().to(un.bfloat16).T
            np.testing.assert_array_equal(layer(x).detach().float().numpy(), wanted.float().numpy())


def test_what_was_kept_without_recording_does_not_cut_gradients(backend):
    layer = nn.Linear(3, 3, bias=False)
    x = un.ones(2, 3)
    with un.autocast("cpu"):
        with un.no_grad():
            assert not layer(x).requires_grad
        loss = layer(x).float().sum()
    loss.backward()
    assert layer.weight.grad.dtype is un.float32
    np.testing.assert_allclose(layer.weight.grad.numpy(), 2.0)


# ---- training ------------------------------------------------------------------------------------------------------


def test_gradients_are_native_autocasts(backend):
    """Linear, relu and cross entropy, which PyTorch's CPU has on the same lists."""
    torch.manual_seed(0)
    theirs = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    ours = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    ours.load_state_dict({name: un.tensor(value.numpy()) for name, value in theirs.state_dict().items()})
    x, y = torch.randn(5, 6), torch.tensor([0, 1, 2, 1, 0])
    with torch.autocast("cpu"):
        wanted = torch.nn.functional.cross_entropy(theirs(x), y)
    wanted.backward()
    with un.autocast("cpu"):
        loss = F.cross_entropy(ours(un.tensor(x.numpy())), un.tensor(y.numpy()))
    loss.backward()
    assert loss.dtype is un.float32
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert one.grad.dtype is un.float32
        # both round to 8 bits at the same places; sums of up to 8 terms are rounded in other orders
        np.testing.assert_allclose(one.grad.numpy(), other.grad.numpy(), rtol=2**-5, atol=2**-9)
    np.testing.assert_allclose(loss.item(), wanted.item(), rtol=2**-7)


MODELS: dict[str, Any] = {
    "convolutions": lambda: (
        nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
            nn.InstanceNorm2d(4, affine=True), nn.Conv2d(4, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.PReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2),
        ),
        un.randn(3, 2, 8, 8),
    ),
    "transposed": lambda: (
        nn.Sequential(nn.ConvTranspose1d(2, 3, 3), nn.ELU(), nn.Upsample(scale_factor=2)), un.randn(2, 2, 5)
    ),
    "transformer": lambda: (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), un.randn(2, 5, 8)),
    "embedding": lambda: (nn.Sequential(nn.Embedding(7, 6), nn.RMSNorm(6), nn.Linear(6, 3), nn.GELU()), un.arange(4)),
    "lstm": lambda: (nn.LSTM(4, 6, 2, batch_first=True), un.randn(2, 5, 4)),
    "gru": lambda: (nn.GRU(4, 6, bidirectional=True), un.randn(5, 2, 4)),
    "cell": lambda: (nn.LSTMCell(4, 6), un.randn(3, 4)),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [un.bfloat16, un.float16], ids=["bfloat16", "float16"])
@pytest.mark.parametrize("name", MODELS)
def test_models_train(backend, name, dtype):
    """Losses and gradients are those in 32 bits, but for the rounding of 16."""
    un.manual_seed(0)
    model, x = MODELS[name]()
    start = {key: value.clone() for key, value in model.state_dict().items()}

    def run(enabled: bool) -> tuple[Any, list[Any]]:
        model.load_state_dict(start)
        model.zero_grad()
        un.manual_seed(1)
        with un.autocast("cpu", dtype, enabled=enabled):
            result = model(x)
            result = result[0] if isinstance(result, tuple) else result
            loss = F.mse_loss(result, result.detach() * 0 + 0.5)
        loss.backward()
        assert loss.dtype is un.float32
        return loss.item(), [p.grad.numpy() for p in model.parameters()]

    loss, grads = run(True)
    exact, wanted = run(False)
    np.testing.assert_allclose(loss, exact, rtol=0.05)
    for one, other in zip(grads, wanted, strict=True):
        assert one.dtype == np.float32
        assert np.isfinite(one).all()
        # a few layers of 8 bits each: within a twentieth of the largest gradient
        np.testing.assert_allclose(one, other, atol=0.05 * max(np.abs(other).max(), 0.02))


# ---- compiled ------------------------------------------------------------------------------------------------------


def test_a_compiled_function_is_guarded(backend):
    weight = un.ones(2, 2)
    traces = []

    @un.compile
    def product(x: un.Tensor) -> un.Tensor:
        traces.append(un.is_autocast_enabled("cpu"))
        return x @ weight

    x, before = un.ones(2, 2), 0
    assert product(x).dtype is un.float32
    before = len(traces)
    with un.autocast("cpu"):
        assert product(x).dtype is un.bfloat16
        assert product(x).dtype is un.bfloat16
        count = len(traces)
    assert product(x).dtype is un.float32
    with un.autocast("cpu"):
        assert product(x).dtype is un.bfloat16
    assert len(traces) == count > before
    with un.autocast("cpu", un.float16):
        assert product(x).dtype is un.float16
    reasons = product.explain().reasons
    assert reasons[1:] == [
        "autocast changed from none to bfloat16 on cpu",
        "autocast changed from bfloat16 on cpu to float16 on cpu",
    ]


def _step(model: Any, optimizer: Any, x: un.Tensor, inside: Any) -> un.Tensor:
    optimizer.zero_grad()
    with un.autocast("cpu"):
        loss = F.mse_loss(inside(model, x), un.zeros(4, 3))
    loss.backward()
    optimizer.step()
    return loss.detach()


def _looped(model: Any, x: un.Tensor) -> un.Tensor:
    def trip(carry: un.Tensor, _: un.Tensor) -> tuple[un.Tensor, un.Tensor]:
        carry = (model[0](carry).tanh() * 0.5).float()
        return carry, carry

    last, _ = un.scan(trip, x, un.zeros(3))
    return model[1](un.cond(last.sum() > 1e6, lambda h: h @ model[0].weight, lambda h: model[0](h), (last,)))


BODIES = {
    "plain": lambda model, x: model(x),
    "checkpoint": lambda model, x: model[1](un.checkpoint(lambda h: model[0](h).tanh(), x)),
    "control flow": _looped,
}


@pytest.mark.parametrize("body", BODIES)
def test_a_compiled_step_is_the_eager_one(backend, body):
    """Derivatives are taken outside of the block, and what they run again is cast as it was."""
    seen = []
    for compiled in (False, True):
        un.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 3))
        optimizer = un.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        step = functools.partial(_step, model, optimizer, inside=BODIES[body])
        step = un.compile(step) if compiled else step
        x = un.randn(4, 5)
        losses = [step(x).item() for _ in range(3)]
        assert losses[2] < losses[0]
        seen.append([*losses, *(p.detach().numpy() for p in model.parameters())])
    for one, other in zip(*seen, strict=True):
        # a compiler may keep 32 bits between fused ops where eager code rounds to 8
        np.testing.assert_allclose(one, other, rtol=2**-6, atol=2**-8)


def test_a_compiled_result_is_differentiated_outside(backend):
    weight = nn.Parameter(un.ones(2, 2))
    product = un.compile(lambda x: (x @ weight).float().sum())
    with un.autocast("cpu"):
        result = product(un.ones(3, 2))
    result.backward()
    assert weight.grad.dtype is un.float32
    np.testing.assert_array_equal(weight.grad.numpy(), 3.0)


# ---- transforms and functions of the user's ------------------------------------------------------------------------


def test_transforms(backend):
    x, weight = un.randn(3, 4), un.randn(4, 4)
    with un.autocast("cpu"):
        wanted = x @ weight
        found = un.vmap(lambda row: row @ weight)(x)
        slope = un.func.grad(lambda w: (x @ w).float().sum())(weight)
        _, tangent = un.func.jvp(lambda w: x @ w, (weight,), (un.ones(4, 4),))
    assert found.dtype is tangent.dtype is un.bfloat16
    assert slope.dtype is un.float32
    np.testing.assert_allclose(found.float().numpy(), wanted.float().numpy(), rtol=2**-7, atol=2**-7)
    np.testing.assert_allclose(slope[:, 0].numpy(), x.sum(0).numpy(), rtol=2**-6, atol=2**-6)


def test_a_function_says_how_it_is_cast(backend):
    seen: list[Any] = []

    class Product(un.autograd.Function):
        @staticmethod
        @un.amp.custom_fwd(device_type="cpu", cast_inputs=un.float32)
        def forward(ctx: Any, x: un.Tensor, y: un.Tensor) -> un.Tensor:
            ctx.save_for_backward(x, y)
            seen.append((x.dtype, un.is_autocast_enabled("cpu")))
            return x @ y

        @staticmethod
        @un.amp.custom_bwd(device_type="cpu")
        def backward(ctx: Any, cotangent: un.Tensor) -> tuple[un.Tensor, un.Tensor]:
            x, y = ctx.saved_tensors
            seen.append(un.is_autocast_enabled("cpu"))
            return cotangent @ y.T, x.T @ cotangent

    class Plain(un.autograd.Function):
        @staticmethod
        @un.amp.custom_fwd(device_type="cpu")
        def forward(ctx: Any, x: un.Tensor) -> un.Tensor:
            seen.append(un.is_autocast_enabled("cpu"))
            return x @ x

        @staticmethod
        @un.amp.custom_bwd(device_type="cpu")
        def backward(ctx: Any, cotangent: un.Tensor) -> un.Tensor:
            seen.append(un.is_autocast_enabled("cpu"))
            return cotangent.float()

    x = un.ones(2, 2, requires_grad=True)
    with un.autocast("cpu"):
        product = Product.apply(x.to(un.bfloat16), x)
        plain = Plain.apply(x)
    assert product.dtype is un.float32
    assert plain.dtype is un.bfloat16
    (product.sum() + plain.float().sum()).backward()
    assert seen[:2] == [(un.float32, False), True]
    assert sorted(seen[2:]) == [False, True]
    assert Product.apply(x, x).dtype is un.float32


def test_a_compiled_function_within_an_op_of_the_users(backend):
    """Of an op nothing is cast or traced within; a program that it calls is traced all the same."""
    inner = un.compile(lambda x, weight: (x @ weight).sum() * 2)

    @un.custom_op(f"tests::compiled_within_{backend}")
    def op(x: un.Tensor, weight: un.Tensor) -> un.Tensor:
        """Twice the sum of the product."""
        return inner(x, weight).exp().log()

    x = un.ones(2, 2)
    with un.autocast("cpu"):
        results = [op(x, un.full((2, 2), value)) for value in (2.0, 3.0)]
        assert (x @ x).dtype is un.bfloat16
    assert [round(result.item(), 3) for result in results] == [32.0, 48.0]
    assert {result.dtype for result in results} == {un.float32}
