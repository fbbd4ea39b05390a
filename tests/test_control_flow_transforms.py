"""Control flow within ``vmap``, ``grad`` and ``jvp``: eager and compiled, as the transformed plain loop gives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import unified as un
from unified import errors, func

RNG = np.random.default_rng(2)
X = RNG.normal(size=(5, 3)).astype(np.float32)
W = (RNG.normal(size=(3, 3)) / 2).astype(np.float32)

CLOSE = {"rtol": 2e-5, "atol": 5e-6}
"""Float32 sums of 15 terms in another order, and second derivatives of these."""


def chain(h: un.Tensor, x: un.Tensor, w: un.Tensor) -> Any:
    return un.scan(lambda c, row: ((c @ w + row).tanh(), c * 2), h, x)


def native_chain(h: torch.Tensor, x: torch.Tensor, w: torch.Tensor) -> Any:
    ys = []
    for row in x.unbind(0):
        ys.append(h * 2)
        h = (h @ w + row).tanh()
    return h, torch.stack(ys)


def native_branch(row: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return torch.where(row.sum() > 0, row.sin() * w[0], row * row)


def branch(row: un.Tensor, w: un.Tensor) -> un.Tensor:
    return un.cond(row.sum() > 0, lambda row: row.sin() * w[0], lambda row: row * row, (row,))


def native_while(row: torch.Tensor) -> torch.Tensor:
    for _ in range(4):
        row = torch.where(row.abs().sum() < 9, row * 1.5, row)
    return row


def bounded(row: un.Tensor) -> un.Tensor:
    return un.while_loop(lambda c: c.abs().sum() < 9, lambda c: c * 1.5, row, max_trips=4)


CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "vmap-cond": (
        lambda x, w: func.vmap(branch, in_dims=(0, None))(x, w),
        lambda x, w: torch.vmap(native_branch, in_dims=(0, None))(x, w),
    ),
    "vmap-switch": (
        lambda x, w: func.vmap(
            lambda r: un.switch((r.sum() > 0).to(un.int32) + 1, (un.cos, lambda r: r * w[0], un.sin), (r,))
        )(x),
        lambda x, w: torch.vmap(lambda r: torch.where(r.sum() > 0, r.sin(), r * w[0]))(x),
    ),
    "vmap-scan": (
        lambda x, w: func.vmap(lambda h: chain(h, x, w))(x),
        lambda x, w: torch.vmap(lambda h: native_chain(h, x, w))(x),
    ),
    "vmap-while": (lambda x, w: func.vmap(bounded)(x), lambda x, w: torch.vmap(native_while)(x)),
    "grad-scan": (
        lambda x, w: func.grad(lambda w: chain(x[0], x, w)[1].square().sum())(w),
        lambda x, w: torch.func.grad(lambda w: native_chain(x[0], x, w)[1].square().sum())(w),
    ),
    "grad-of-vmap-cond": (
        lambda x, w: func.grad(lambda w: func.vmap(branch, in_dims=(0, None))(x, w).square().sum())(w),
        lambda x, w: torch.func.grad(lambda w: torch.vmap(native_branch, in_dims=(0, None))(x, w).square().sum())(w),
    ),
    "vmap-of-grad": (
        lambda x, w: func.vmap(func.grad(lambda h: chain(h, x, w)[0].square().sum()))(x),
        lambda x, w: torch.vmap(torch.func.grad(lambda h: native_chain(h, x, w)[0].square().sum()))(x),
    ),
    "jvp": (
        lambda x, w: func.jvp(lambda x, w: chain(x[0], x, w), (x, w), (x * 0.5, w))[1],
        lambda x, w: torch.func.jvp(lambda x, w: native_chain(x[0], x, w), (x, w), (x * 0.5, w))[1],
    ),
    "jvp-cond": (
        lambda x, w: func.jvp(lambda x: branch(x[0], w), (x,), (x * 0.5,))[1],
        lambda x, w: torch.func.jvp(lambda x: native_branch(x[0], w), (x,), (x * 0.5,))[1],
    ),
    "hessian": (
        lambda x, w: func.hessian(lambda h: branch(chain(h, x, w)[0], w).sum())(x[0]),
        lambda x, w: torch.func.hessian(lambda h: native_branch(native_chain(h, x, w)[0], w).sum())(x[0]),
    ),
}

_LATE = {"vmap-switch", "vmap-while", "grad-of-vmap-cond", "vmap-of-grad", "jvp-cond", "hessian", "vmap-scan", "jvp"}
"""What `make test` leaves out on PyTorch."""


_ALIASES = pytest.mark.xfail(
    strict=True,
    reason="inductor 2.13 finds results of a scan of tangents that share memory, after it has merged their copies",
)


def _marks(name: str, on: str) -> list[pytest.MarkDecorator]:
    if on != "torch":
        return []
    return [*([pytest.mark.full] if name in _LATE else []), *([_ALIASES] if name == "jvp" else [])]


@pytest.mark.parametrize(
    ("name", "on"),
    [pytest.param(name, on, marks=_marks(name, on)) for name in CASES for on in ("torch", "jax", "tensorflow")],
)
def test_a_transform_of_a_loop_is_the_loop_of_transforms(name: str, on: str) -> None:
    ours, native = CASES[name]
    expected = native(torch.tensor(X), torch.tensor(W))
    expected = expected if isinstance(expected, tuple) else (expected,)
    with un.backend(on):
        x, w = un.tensor(X), un.tensor(W)
        for function in (ours, un.compile(ours)):
            found = function(x, w)
            found = found if isinstance(found, tuple) else (found,)
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_allclose(a.numpy(), b.numpy(), **CLOSE)


@pytest.mark.parametrize("on", ["jax", "tensorflow"])
def test_a_batched_loop_without_a_bound(on: str) -> None:
    """It goes on while any example does, and each keeps what it ended with."""
    with un.backend(on):
        loop = func.vmap(lambda r: un.while_loop(lambda c: c.abs().sum() < 9, lambda c: c * 1.5, r))
        rows = [X[i] * np.float32(1.5) ** k for i, k in enumerate(_trips())]
        for function in (loop, un.compile(loop)):
            np.testing.assert_allclose(function(un.tensor(X)).numpy(), np.stack(rows), rtol=1e-5)


def _trips() -> list[int]:
    return [next(k for k in range(99) if np.abs(row).sum() * 1.5**k >= 9) for row in X]


def test_a_batched_loop_without_a_bound_on_pytorch() -> None:
    """Eagerly it is the same; functorch's levels do not reach into a compiled one, which says so."""
    with un.backend("torch"):
        loop = func.vmap(lambda r: un.while_loop(lambda c: c.abs().sum() < 9, lambda c: c * 1.5, r))
        rows = [X[i] * np.float32(1.5) ** k for i, k in enumerate(_trips())]
        np.testing.assert_allclose(loop(un.tensor(X)).numpy(), np.stack(rows), rtol=1e-5)
        with pytest.raises(errors.FunctionTransformError, match="max_trips"):
            un.compile(loop)(un.tensor(X))


def test_the_branch_not_taken_leaves_no_nan_in_a_gradient(backend: str) -> None:
    def root(x: un.Tensor) -> un.Tensor:
        return un.cond(x > 0, lambda x: x.sqrt(), lambda x: x * 2, (x,))

    for function in (func.grad(root), un.compile(func.grad(root))):
        assert function(un.tensor(-4.0)).item() == 2.0
        assert function(un.tensor(4.0)).item() == 0.25
