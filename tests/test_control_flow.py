"""Control flow: values and gradients of each construct, eager and compiled, as native PyTorch's loops give them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

import unified as un

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3)).astype(np.float32)
W = (RNG.normal(size=(3, 3)) / 2).astype(np.float32)

CLOSE = {"rtol": 2e-5, "atol": 2e-6}
"""Float32 sums of at most 15 terms, in another order, over at most 6 trips."""


class Case(NamedTuple):
    """One construct: ``ours`` and what it means as a plain loop in PyTorch, both of (x, w) to one number."""

    ours: Callable[[un.Tensor, un.Tensor], un.Tensor]
    native: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _cond(sign: float) -> Case:
    def native(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return (x @ w).sin().sum() if (x.sum() * sign > X.sum() * sign - 1) else (x * w[0]).square().sum()

    return Case(
        lambda x, w: un.cond(
            x.sum() * sign > float(X.sum()) * sign - 1,
            lambda x: (x @ w).sin().sum(),
            lambda x: (x * w[0]).square().sum(),
            (x,),
        ),
        native,
    )


def _switch(index: int) -> Case:
    natives = [lambda x, w: x.sin().sum(), lambda x, w: (x @ w).sum(), lambda x, w: (x * w[1]).square().sum()]
    return Case(
        lambda x, w: un.switch(
            (x * 0).sum().to(un.int32) + index,
            (lambda x: x.sin().sum(), lambda x: (x @ w).sum(), lambda x: (x * w[1]).square().sum()),
            (x,),
        ),
        natives[index],
    )


def _native_scan(x: torch.Tensor, w: torch.Tensor, rows: list[int]) -> torch.Tensor:
    carry, total = x[0], torch.zeros(())
    for i in rows:
        carry = (carry @ w + x[i]).tanh()
        total = total + ((i + 1) * carry.square()).sum()
    return total + carry.sum()


def _scan(reverse: bool) -> Case:
    def ours(x: un.Tensor, w: un.Tensor) -> un.Tensor:
        def step(carry: dict[str, un.Tensor], row: un.Tensor) -> Any:
            after = (carry["h"] @ w + row).tanh()
            return {"h": after, "trips": carry["trips"] + 1}, (after.square(), None)

        carry, (ys, nothing) = un.scan(step, {"h": x[0], "trips": un.tensor(0)}, x, reverse=reverse)
        assert nothing is None
        weights = un.arange(1, 6).to(un.float32).unsqueeze(1)
        return (ys * weights).sum() + carry["h"].sum() + 0.0 * carry["trips"]

    rows = list(reversed(range(5))) if reverse else list(range(5))
    return Case(ours, lambda x, w: _native_scan(x, w, rows))


def _native_nested(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    carry = x[0]
    for row in x:
        inner = carry
        for _ in range(3):
            inner = (inner @ w + row).sin()
            if inner.sum() > 0:
                inner = inner * row
        carry = inner
    return carry.square().sum()


def _nested(x: un.Tensor, w: un.Tensor) -> un.Tensor:
    def inner(row: un.Tensor) -> Callable[[un.Tensor, None], Any]:
        def step(carry: un.Tensor, _: None) -> Any:
            carry = (carry @ w + row).sin()
            return un.cond(carry.sum() > 0, lambda c: c * row, lambda c: c, (carry,)), None

        return step

    return un.scan(lambda c, row: (un.scan(inner(row), c, length=3)[0], None), x[0], x)[0].square().sum()


def _native_while(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    trips = 0
    while x.abs().sum() < 60 and trips < 6:
        x, trips = x * 1.5 + w[0], trips + 1
    return x.square().sum() * trips


def _while(x: un.Tensor, w: un.Tensor) -> un.Tensor:
    carry = un.while_loop(
        lambda state: state[0].abs().sum() < 60,
        lambda state: (state[0] * 1.5 + w[0], state[1] + 1),
        (x, un.tensor(0)),
        max_trips=6,
    )
    return carry[0].square().sum() * carry[1]


def _native_fori(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    for i in range(1, 5):
        x = (x @ w).sin() * i + x[i].tanh()
    return x.square().sum()


def _native_associative(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    gates, states, total = x.sigmoid(), x @ w, torch.zeros(3)
    rows = []
    for gate, state in zip(gates.flip(0), states.flip(0), strict=True):
        total = gate * total + state
        rows.append(total)
    return torch.stack(rows).sin().sum()


def _associative(x: un.Tensor, w: un.Tensor) -> un.Tensor:
    """A linear recurrence, as Mamba and LRU have it."""

    def combine(first: Any, second: Any) -> Any:
        return first[0] * second[0], second[0] * first[1] + second[1]

    return un.associative_scan(combine, (x.sigmoid(), x @ w), reverse=True)[1].sin().sum()


CASES = {
    "cond-true": _cond(1.0),
    "cond-false": _cond(-1.0),
    "switch-0": _switch(0),
    "switch-2": _switch(2),
    "scan": _scan(False),
    "scan-reverse": _scan(True),
    "nested": Case(_nested, _native_nested),
    "while": Case(_while, _native_while),
    "fori": Case(
        lambda x, w: un.fori_loop(1, 5, lambda i, c: (c @ w).sin() * i + c[i].tanh(), x).square().sum(), _native_fori
    ),
    "map": Case(
        lambda x, w: un.map(lambda row: ((row @ w).tanh(), row.sum()), x)[0].square().sum(),
        lambda x, w: (x @ w).tanh().square().sum(),
    ),
    "associative": Case(_associative, _native_associative),
}


def expected(case: Case) -> list[np.ndarray]:
    x, w = torch.tensor(X, requires_grad=True), torch.tensor(W, requires_grad=True)
    value = case.native(x, w)
    found = torch.autograd.grad(value, [x, w], allow_unused=True)
    zeros = [np.zeros_like(X), np.zeros_like(W)]
    return [value.detach().numpy(), *[z if g is None else g.numpy() for g, z in zip(found, zeros, strict=True)]]


def found(function: Callable[[un.Tensor], un.Tensor], w: un.Tensor) -> list[np.ndarray]:
    """The value and the gradients that flow out of ``function``, which reaches ``w`` by closure."""
    x = un.tensor(X, requires_grad=True)
    value = function(x)
    value.backward()
    grads = [np.zeros(t.shape, np.float32) if t.grad is None else t.grad.numpy() for t in (x, w)]
    return [value.detach().numpy(), *grads]


def agree(ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)


@pytest.mark.parametrize("name", CASES)
def test_eagerly_it_is_the_python_loop(backend: str, name: str) -> None:
    w = un.tensor(W, requires_grad=True)
    agree(found(lambda x: CASES[name].ours(x, w), w), expected(CASES[name]))


_SLOW = {"cond-false", "switch-0", "switch-2", "scan-reverse", "nested", "while", "fori", "map", "associative"}
"""What `make test` leaves out on PyTorch, whose compiler takes some seconds for each."""


def _compiled_cases() -> list[Any]:
    return [
        pytest.param(name, kind, marks=[pytest.mark.full] if kind == "torch" and name in _SLOW else [])
        for name in CASES
        for kind in ("torch", "jax", "tensorflow")
    ]


@pytest.mark.parametrize(("name", "on"), _compiled_cases())
def test_gradients_flow_out_of_a_compiled_function(name: str, on: str) -> None:
    with un.backend(on):
        w = un.tensor(W, requires_grad=True)
        compiled = un.compile(lambda x: CASES[name].ours(x, w))
        agree(found(compiled, w), expected(CASES[name]))
        assert len(compiled._entries) == 1


@pytest.mark.parametrize(("name", "on"), _compiled_cases())
def test_backward_within_a_compiled_step(name: str, on: str) -> None:
    with un.backend(on):
        w = un.tensor(W, requires_grad=True)
        x = un.tensor(X, requires_grad=True)

        def step() -> un.Tensor:
            x.grad = w.grad = None
            loss = CASES[name].ours(x, w)
            loss.backward()
            return loss

        value = un.compile(step)()
        grads = [np.zeros(t.shape, np.float32) if t.grad is None else t.grad.numpy() for t in (x, w)]
        agree([value.numpy(), *grads], expected(CASES[name]))


def test_several_constructs_in_one_program(backend: str) -> None:
    """All of them at once, which costs one compilation on PyTorch."""
    names = ["cond-true", "switch-2", "scan", "map", "associative"]
    w = un.tensor(W, requires_grad=True)
    compiled = un.compile(lambda x: sum((CASES[name].ours(x, w) for name in names), un.tensor(0.0)))
    each = [expected(CASES[name]) for name in names]
    agree(found(compiled, w), [sum(parts) for parts in zip(*each, strict=True)])


@pytest.mark.parametrize("name", ["cond-true", "scan", "while", "nested"])
@pytest.mark.parametrize("on", ["jax", "tensorflow", pytest.param("torch", marks=pytest.mark.full)])
def test_second_derivatives(name: str, on: str) -> None:
    """Of the gradient's sum of squares, by x, compiled and eager."""
    xt, wt = torch.tensor(X, requires_grad=True), torch.tensor(W, requires_grad=True)
    (first,) = torch.autograd.grad(CASES[name].native(xt, wt), xt, create_graph=True)
    (theirs,) = torch.autograd.grad(first.square().sum(), xt)
    with un.backend(on):
        w = un.tensor(W, requires_grad=True)

        def twice(x: un.Tensor) -> un.Tensor:
            (gradient,) = un.autograd.grad(CASES[name].ours(x, w), x, create_graph=True)
            return un.autograd.grad(gradient.square().sum(), x)[0]

        for function in (twice, un.compile(twice)):
            ours = function(un.tensor(X, requires_grad=True))
            np.testing.assert_allclose(ours.detach().numpy(), theirs.numpy(), rtol=1e-4, atol=1e-4)


def test_a_loop_without_a_bound(backend: str) -> None:
    def doubled(x: un.Tensor) -> un.Tensor:
        return un.while_loop(lambda c: c.abs().sum() < 50, lambda c: c * 2, x)

    x = un.tensor(X, requires_grad=True)
    eager = doubled(x)
    eager.sum().backward()
    factor = float(eager.detach().numpy()[0, 0] / X[0, 0])
    np.testing.assert_allclose(x.grad.numpy(), np.full_like(X, factor))
    compiled = un.compile(doubled)
    np.testing.assert_array_equal(compiled(x.detach()).numpy(), eager.detach().numpy())
    np.testing.assert_array_equal(compiled(x).detach().numpy(), eager.detach().numpy())
    with pytest.raises(un.errors.AutogradError, match="max_trips"):
        compiled(x).sum().backward()


def test_bounds_that_are_tensors(backend: str) -> None:
    def summed(x: un.Tensor, n: un.Tensor) -> un.Tensor:
        return un.fori_loop(1, n, lambda i, c: c + i * x[i], x[0])

    rows = X[0] + 1 * X[1] + 2 * X[2]
    compiled = un.compile(summed)
    for function in (summed, compiled):
        np.testing.assert_allclose(function(un.tensor(X), un.tensor(3)).numpy(), rows, **CLOSE)
    np.testing.assert_allclose(compiled(un.tensor(X), un.tensor(1)).numpy(), X[0], **CLOSE)
    with pytest.raises(un.errors.AutogradError, match="Python ints"):
        compiled(un.tensor(X, requires_grad=True), un.tensor(3)).sum().backward()


def test_no_trips_at_all(backend: str) -> None:
    def empty(x: un.Tensor) -> Any:
        carry, ys = un.scan(lambda c, row: (c + row, (c * 2, row.sum())), x[0], x[:0])
        none = un.fori_loop(3, 1, lambda i, c: c * 2, x)
        never = un.while_loop(lambda c: c.sum() > 1e9, lambda c: c * 2, x, max_trips=0)
        return carry, ys, none, never

    for function in (empty, un.compile(empty)):
        carry, (twice, sums), none, never = function(un.tensor(X))
        np.testing.assert_array_equal(carry.numpy(), X[0])
        assert (tuple(twice.shape), tuple(sums.shape)) == ((0, 3), (0,))
        np.testing.assert_array_equal(none.numpy(), X)
        np.testing.assert_array_equal(never.numpy(), X)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8])
def test_associative_scan_of_any_length(backend: str, count: int) -> None:
    """Matrix products, which do not commute, against those of numpy in order."""
    elements = RNG.normal(size=(2, count, 3, 3)).astype(np.float32)
    product, rows = np.broadcast_to(np.eye(3, dtype=np.float32), (2, 3, 3)), []
    for i in range(count):
        product = product @ elements[:, i]
        rows.append(product)
    ours = un.associative_scan(un.matmul, un.tensor(elements), dim=1)
    np.testing.assert_allclose(ours.numpy(), np.stack(rows, 1), rtol=1e-4, atol=1e-4)
