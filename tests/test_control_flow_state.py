"""Control flow: what bodies reach from outside, what they leave there, random numbers, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import unified as un
import unified.nn.functional as F
from unified import errors, nn

RNG = np.random.default_rng(1)
X = RNG.normal(size=(4, 6, 3)).astype(np.float32)

CLOSE = {"rtol": 3e-5, "atol": 3e-6}
"""Float32 sums of 24 terms in another order, over 4 trips."""

ON = ["jax", "tensorflow", pytest.param("torch", marks=pytest.mark.full)]


def both(make: Callable[[], tuple[Callable[[], Any], Callable[[], list[un.Tensor]]]]) -> list[list[np.ndarray]]:
    """Results of two calls and the state after them, eager and compiled."""
    runs = []
    for compile in (lambda function: function, un.compile):
        un.manual_seed(3)
        function, state = make()
        function = compile(function)
        results = [tensor for _ in range(2) for tensor in function()]
        runs.append([tensor.detach().numpy().copy() for tensor in [*results, *state()]])
    return runs


@pytest.mark.parametrize("on", ["jax", "tensorflow", "torch"])
def test_counters_and_sums_that_a_body_changes(on: str) -> None:
    """A counter that a loop changes, and a sum that a branch within it changes, exactly."""

    def make() -> Any:
        count, total = un.tensor(0), un.zeros(3)

        def body(carry: un.Tensor) -> un.Tensor:
            count.add_(1)
            un.cond((count % 2) == 0, lambda: total.add_(carry.sum(0)), lambda: total.mul_(0.5))
            return carry * 2

        def call() -> Any:
            return (un.while_loop(lambda c: c.abs().sum() < 200, body, un.tensor(X[0])),)

        return call, lambda: [count, total]

    with un.backend(on):
        eager, compiled = both(make)
    assert eager[2] == compiled[2] == 2 * 5  # 13.. * 2^n reaches 200 after this many trips, twice
    for a, b in zip(eager, compiled, strict=True):
        np.testing.assert_allclose(b, a, **CLOSE)


@pytest.mark.parametrize("on", ON)
def test_batch_norm_in_a_body_keeps_its_statistics(on: str) -> None:
    def make() -> Any:
        norm, linear = nn.BatchNorm1d(3), nn.Linear(3, 3)

        def call() -> Any:
            norm.zero_grad()
            linear.zero_grad()
            ys = un.scan(lambda c, x: (c * 0.5, norm(linear(x) + c)), un.ones(6, 3), un.tensor(X))[1]
            loss = (ys * un.tensor(X)).square().mean()
            loss.backward()
            return (loss,)

        held = [norm.running_mean, norm.running_var, norm.num_batches_tracked]
        return call, lambda: [*held, norm.weight.grad, linear.weight.grad]

    with un.backend(on):
        eager, compiled = both(make)
    assert eager[4] == compiled[4] == 8
    for a, b in zip(eager, compiled, strict=True):
        np.testing.assert_allclose(b, a, **CLOSE)


def _draws() -> Any:
    def call() -> Any:
        carry, kept = un.scan(lambda c, x: (c + un.rand(6, 3), F.dropout(x, 0.5)), un.tensor(X[0]), un.tensor(X))
        chosen = un.cond(carry.sum() > 0, lambda: un.rand(3), lambda: un.rand(3) * 2)
        return carry, kept, chosen, un.rand(2)

    return call, lambda: [un.get_rng_state()]


@pytest.mark.parametrize("on", ON)
def test_random_numbers_in_bodies_are_the_same_bits(on: str) -> None:
    """Eager and compiled, two calls each, and as PyTorch's backend gives them eagerly."""
    with un.backend(on):
        eager, compiled = both(_draws)
    with un.backend("torch"):
        un.manual_seed(3)
        function, state = _draws()
        reference = [t.numpy() for _ in range(2) for t in function()] + [state()[0].numpy()]
    for a, b, c in zip(eager, compiled, reference, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)


@pytest.mark.parametrize("on", ON)
def test_training_within_a_loop(on: str) -> None:
    """Steps of gradient descent as a scan, and the gradient of the last loss by where they began."""
    start = X[0, 0]

    def make() -> Any:
        weights = un.tensor(start, requires_grad=True)

        def descend(p: un.Tensor, x: un.Tensor) -> Any:
            loss = lambda p: ((x * p).sin().sum() - 1).square()  # noqa: E731
            gradient, value = un.func.grad_and_value(loss)(p)
            return p - 0.1 * gradient, value

        def call() -> Any:
            weights.grad = None
            losses = un.scan(descend, weights, un.tensor(X))[1]
            losses[-1].backward()
            return losses, weights.grad

        return call, list

    with un.backend(on):
        eager, compiled = both(make)
    for a, b in zip(eager, compiled, strict=True):
        np.testing.assert_allclose(b, a, **CLOSE)


def test_a_module_as_a_loop_body_over_a_closure(backend: str) -> None:
    """Parameters, and a Tensor that the compiled function computed before, reached by closure alone."""
    un.manual_seed(0)
    cell = nn.Linear(3, 3)

    def run(x: un.Tensor) -> un.Tensor:
        scale = x.mean().exp()
        return un.scan(lambda h, row: (cell(row + h).tanh() * scale, None), un.zeros(6, 3), x)[0].square().sum()

    grads = []
    for function in (run, un.compile(run)):
        cell.zero_grad()
        x = un.tensor(X, requires_grad=True)
        function(x).backward()
        grads.append([x.grad.numpy(), *(p.grad.numpy() for p in cell.parameters())])
    for a, b in zip(*grads, strict=True):
        np.testing.assert_allclose(b, a, **CLOSE)


LOOPS: dict[str, Callable[[Callable[[Any], Any], Any], Any]] = {
    "fori": lambda trip, init: un.fori_loop(0, 3, lambda _, c: trip(c), init),
    "scan": lambda trip, init: un.scan(lambda c, _: (trip(c), None), init, length=3)[0],
    "while": lambda trip, init: un.while_loop(lambda _: un.tensor(True), trip, init, max_trips=3),
}
SLOPE = np.array([1.0, 3.0], np.float32)


def _late_carry(w: un.Tensor, s: un.Tensor, c: Any) -> Any:
    return c[0] + c[1], c[1] + w * un.tensor(SLOPE)


def _late_state(w: un.Tensor, s: un.Tensor, c: Any) -> Any:
    out = c[0] + s
    s.add_(w * un.tensor(SLOPE))
    return out, c[1]


def _fresh_state(w: un.Tensor, s: un.Tensor, c: Any) -> Any:
    out = c[0] + s
    s.copy_(w * 2.0)
    return out, c[1]


def _written_carry(w: un.Tensor, s: un.Tensor, c: Any) -> Any:
    c[1].add_(1).mul_(w)
    return c[0] + c[1], c[1]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("trip", [_late_carry, _late_state, _fresh_state, _written_carry])
@pytest.mark.parametrize("on", ON)
def test_what_comes_to_require_grad_in_a_later_trip_has_its_gradient(on: str, trip: Any, loop: str) -> None:
    """Nothing that the first trip starts from requires grad; from the second on, everything may."""

    def make() -> Any:
        w = nn.Parameter(un.tensor([1.0, 2.0]))

        def call() -> Any:
            w.grad = None
            s = un.zeros(2)
            first, _ = LOOPS[loop](lambda c: trip(w, s, c), (un.zeros(2), un.zeros(2)))
            loss = first.sum() + (s * s).sum() * 0.1 + w.sum()
            loss.backward()
            return loss, w.grad

        return call, list

    with un.backend(on):
        eager, compiled = both(make)
    for a, b in zip(eager, compiled, strict=True):
        np.testing.assert_allclose(b, a, **CLOSE)


# ---- what is refused ---------------------------------------------------------------------------------------------


def refused(function: Callable[..., Any], *args: Any, error: type[Exception], match: str, eager: bool = True) -> None:
    """``function`` raises the same, compiled and (unless a branch not taken hides it) eager."""
    for call in (function, un.compile(function)) if eager else (un.compile(function),):
        with pytest.raises(error, match=match):
            call(*args)


def test_branches_must_agree(backend: str) -> None:
    x = un.tensor(X[0])
    shapes = lambda x: un.cond(x.sum() > 0, lambda: {"a": x}, lambda: {"a": x[0]})  # noqa: E731
    message = r"cond: true_fn's result\['a'\] is float32 \(6, 3\), but false_fn's result\['a'\] is float32 \(3,\)"
    refused(shapes, x, error=errors.ControlFlowError, match=message, eager=False)
    dtypes = lambda x: un.switch(x.sum().to(un.int32), (lambda: x, lambda: x.to(un.int32)))  # noqa: E731
    refused(
        dtypes,
        x,
        error=errors.ControlFlowError,
        match=r"branches\[1\] is int32.*branches\[0\] is float32",
        eager=False,
    )
    nests = lambda x: un.cond(x.sum() > 0, lambda: (x,), lambda: [x])  # noqa: E731
    refused(nests, x, error=errors.ControlFlowError, match="nested otherwise", eager=False)
    values = lambda x: un.cond(x.sum() > 0, lambda: (x, 1), lambda: (x, 2))  # noqa: E731
    refused(values, x, error=errors.ControlFlowError, match="what varies must be a Tensor", eager=False)


def test_a_carry_must_keep_its_kind(backend: str) -> None:
    x = un.tensor(X[0])
    grows = lambda x: un.scan(lambda c, row: ({"h": un.cat([c["h"], row])}, None), {"h": x[0]}, x)  # noqa: E731
    refused(
        grows, x, error=errors.ControlFlowError, match=r"scan: the carry\['h'\] is float32 \(6,\), but init\['h'\]"
    )
    casts = lambda x: un.while_loop(lambda c: c.sum() < 100, lambda c: c + 0.5, un.tensor(1))  # noqa: E731
    refused(casts, x, error=errors.ControlFlowError, match=r"the carry is float32 \(\), but init is int32")
    counts = lambda x: un.fori_loop(0, 3, lambda i, c: (c[0] + 1, c[1] + 1), (x, 0))  # noqa: E731
    refused(counts, x, error=errors.ControlFlowError, match="changed from 0 to 1")
    lone = lambda x: un.scan(lambda c, row: c, x[0], x)  # noqa: E731
    refused(lone, x, error=errors.ControlFlowError, match="pair")


def test_arguments_are_looked_at(backend: str) -> None:
    x = un.tensor(X[0])
    refused(lambda x: un.cond(x > 0, un.sin, un.cos, (x,)), x, error=errors.ShapeError, match=r"single.*\(6, 3\)")
    refused(lambda x: un.cond("yes", un.sin, un.cos, (x,)), x, error=errors.OperandError, match="pred")
    refused(lambda x: un.cond(True, x, un.cos, (x,)), x, error=errors.OperandError, match="true_fn")
    refused(lambda x: un.cond(True, un.sin, un.cos, x), x, error=errors.OperandError, match="tuple")
    refused(lambda x: un.switch(0, ()), x, error=errors.ArgumentError, match="branch")
    refused(lambda x: un.switch(x.sum(), (un.sin,), (x,)), x, error=errors.DTypeError, match="float32")
    refused(lambda x: un.switch(2, (un.sin, un.cos), (x,)), x, error=errors.IndexOutOfRangeError, match="2 branches")
    refused(lambda x: un.scan(lambda c, _: (c, None), x), x, error=errors.ArgumentError, match="length")
    refused(lambda x: un.scan(lambda c, _: (c, None), x, x, length=5), x, error=errors.ShapeError, match="length=5")
    refused(lambda x: un.scan(lambda c, _: (c, None), x, x.sum()), x, error=errors.ShapeError, match="0-d")
    refused(lambda x: un.map(un.sin, ()), x, error=errors.ArgumentError, match="xs")
    refused(lambda x: un.fori_loop(0, 1.5, lambda i, c: c, x), x, error=errors.OperandError, match="upper")
    refused(lambda x: un.fori_loop(x.sum(), 1, lambda i, c: c, x), x, error=errors.DTypeError, match="lower")
    refused(
        lambda x: un.while_loop(lambda c: True, lambda c: c, x, max_trips=-1), x,
        error=errors.ArgumentError, match="max_trips",
    )  # fmt: skip
    refused(
        lambda x: un.while_loop(lambda c: c > 0, lambda c: c, x), x, error=errors.ShapeError, match="single element"
    )
    refused(lambda x: un.associative_scan(un.add, x, dim=2), x, error=errors.ShapeError, match="dim 2")
    refused(
        lambda x: un.associative_scan(lambda a, b: a.sum(0), x), x, error=errors.ControlFlowError, match="associative"
    )


def test_an_index_out_of_range_takes_the_nearest_branch_when_compiled(backend: str) -> None:
    chosen = un.compile(lambda i, x: un.switch(i, (un.sin, un.cos), (x,)))
    x = un.tensor(X[0])
    np.testing.assert_allclose(chosen(un.tensor(7), x).numpy(), x.cos().numpy(), **CLOSE)
    np.testing.assert_allclose(chosen(un.tensor(-1), x).numpy(), x.sin().numpy(), **CLOSE)


def test_a_body_keeps_nothing_that_has_no_value(backend: str) -> None:
    kept: list[un.Tensor] = []
    weight = un.tensor(X[0, 0], requires_grad=True)

    def leaks(x: un.Tensor) -> un.Tensor:
        return un.scan(lambda c, row: (kept.append(c * 2) or c, None), x[0], x)[0]

    def fills(x: un.Tensor) -> un.Tensor:
        def body(c: un.Tensor, row: un.Tensor) -> Any:
            (weight * row).sum().backward()
            return c, None

        return un.scan(body, x[0], x)[0]

    with pytest.raises(errors.LeakedTensorError, match="scan"):
        un.compile(leaks)(un.tensor(X[0]))
    with pytest.raises(errors.ControlFlowError, match=r"backward\(\) within it"):
        un.compile(fills)(un.tensor(X[0]))
    assert weight.grad is None
    np.testing.assert_array_equal(weight.detach().numpy(), X[0, 0])


def test_python_asks_for_no_value(backend: str) -> None:
    """Each names the user's line; a loop over the static first dimension is none of these."""
    x = un.tensor(X[0])
    n = un.tensor(3)

    def while_(x: un.Tensor) -> un.Tensor:
        while x.sum() < 3:
            x = x + 1
        return x

    def assert_(x: un.Tensor) -> un.Tensor:
        assert x.sum() > 0
        return x

    questions: list[Callable[[un.Tensor], Any]] = [
        lambda x: x if x.sum() > 0 else -x,
        while_,
        assert_,
        lambda x: [x * i for i in range(n + x.sum().to(un.int32))],
        lambda x: x * float(x.sum()),
        lambda x: x * int(x.sum()),
        lambda x: x.sum().item(),
        lambda x: x.tolist(),
        lambda x: un.scan(lambda c, row: (c if c.sum() > 0 else row, None), x[0], x)[0],
        lambda x: un.cond(x.sum() > 0, lambda: x * float(x.sum()), lambda: x),
    ]
    for question in questions:
        with pytest.raises(errors.TracedValueError, match=r"test_control_flow_state\.py:\d+ \(in (?s:.*)un\.cond"):
            un.compile(question)(x)
    rows = un.compile(lambda x: sum((row * i for i, row in enumerate(x)), un.zeros(3)))(x)
    np.testing.assert_allclose(rows.numpy(), (X[0] * np.arange(6)[:, None]).sum(0), **CLOSE)


def test_a_leaf_changed_within_has_no_silent_hole_in_its_gradient(backend: str) -> None:
    """Eagerly each use of the leaf counts; a compiled loop knows one value of it, and says so."""
    w = nn.Parameter(un.tensor([1.0, 2.0]))

    def run(detached: bool) -> un.Tensor:
        def body(_: un.Tensor, c: un.Tensor) -> un.Tensor:
            c = c + w * un.tensor([1.0, 3.0])
            with un.no_grad():
                w.mul_(2.0)
            return c.detach() if detached else c

        out: un.Tensor = un.fori_loop(0, 3, body, un.zeros(2))
        return out

    run(False).sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), [3.0, 9.0])
    np.testing.assert_array_equal(w.detach().numpy(), [8.0, 16.0])
    with pytest.raises(errors.ControlFlowError, match=r"a leaf from outside that requires grad, of shape \(2,\)"):
        un.compile(lambda: run(False))()
    np.testing.assert_array_equal(w.detach().numpy(), [8.0, 16.0])
    un.compile(lambda: run(True))()
    np.testing.assert_array_equal(w.detach().numpy(), [64.0, 128.0])


@pytest.mark.parametrize("loop", LOOPS)
def test_a_leaf_changed_while_state_is_recorded_is_refused_by_name(backend: str, loop: str) -> None:
    w = nn.Parameter(un.tensor([1.0, 2.0]))

    def run() -> un.Tensor:
        total = un.zeros(2)

        def trip(c: un.Tensor) -> un.Tensor:
            total.add_(w)
            with un.no_grad():
                w.mul_(2.0)
            return c + 1

        LOOPS[loop](trip, un.zeros(2))
        return total.sum()

    with pytest.raises(errors.ControlFlowError, match="left in a Tensor depends on something that requires grad"):
        un.compile(run)()
    np.testing.assert_array_equal(w.detach().numpy(), [1.0, 2.0])


class _Product(un.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: un.Tensor, b: un.Tensor) -> un.Tensor:
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx: Any, gradient: un.Tensor) -> Any:
        a, b = ctx.saved_tensors
        return gradient * b, gradient * a


@pytest.mark.parametrize("construct", ["scan", "cond"])
@pytest.mark.parametrize("kind", ["checkpoint", "function"])
@pytest.mark.parametrize("on", ON)
def test_what_has_a_backward_of_its_own_reaches_tensors_from_outside(on: str, kind: str, construct: str) -> None:
    def make() -> Any:
        weight = un.tensor([2.0, 3.0], requires_grad=True)

        def product(x: un.Tensor) -> Any:
            return un.checkpoint(lambda x: x * weight, x) if kind == "checkpoint" else _Product.apply(x, weight)

        def step() -> Any:
            weight.grad = None
            if construct == "scan":
                result, _ = un.scan(lambda h, x: (h + product(x), h.sum()), un.zeros(2), un.ones(3, 2))
            else:
                result = un.cond(weight.sum() > 0, product, un.sin, (un.ones(2),))
            result.square().sum().backward()
            return [weight.grad]

        return step, lambda: [weight.grad]

    with un.backend(on):
        eager, compiled = both(make)
    np.testing.assert_allclose(compiled, eager, rtol=1e-6)
    assert eager[0].all()
