"""Reductions, scans, orders and norms against torch: values, dtypes and gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import unified as un
from unified._dispatch import wrap
from unified._dtype import from_numpy_dtype
from unified.backends import registry

# The frameworks add float32s in different orders: a few units in the last place of a sum of tens of elements.
TOLERANCE = {"rtol": 2e-5, "atol": 2e-6}


def to_unified(array: np.ndarray, requires_grad: bool = False) -> un.Tensor:
    native = registry.load(un.get_backend()).from_numpy(array, from_numpy_dtype(array.dtype), None)
    return wrap(native).requires_grad_(requires_grad)


def sample(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def outputs(result: object) -> list:
    return list(result) if isinstance(result, tuple) else [result]


def is_index(function: Callable, first: bool) -> bool:
    """Whether an output counts or indexes: int32, where torch's is int64 whatever the input."""
    return not first or any(name in function.__code__.co_names for name in ("argmax", "argmin", "count_nonzero"))


def agree(function: Callable, reference: Callable, array: np.ndarray) -> None:
    """Values, dtypes (32-bit for 64) and, for floats, gradients of a weighted sum."""
    floating = array.dtype.kind == "f"
    x = to_unified(array, floating)
    t = torch.tensor(array, requires_grad=floating)
    found, expected = outputs(function(x)), outputs(reference(t))
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        name = str(theirs.dtype).removeprefix("torch.")
        narrow = name == "int64" and (array.dtype != np.int64 or is_index(function, theirs is expected[0]))
        assert ours.dtype.name == ("int32" if narrow else name)
        assert tuple(ours.shape) == tuple(theirs.shape)
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), **TOLERANCE)
    if not floating or not expected[0].requires_grad:
        return
    weight = sample(*expected[0].shape, seed=1)
    (found[0] * to_unified(np.asarray(weight))).sum().backward()
    (expected[0] * torch.tensor(weight)).sum().backward()
    if t.grad is None:  # torch's norm(0) leaves no gradient at all; the tape's is 0
        assert x.grad is None or not x.grad.numpy().any()
        return
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), **TOLERANCE)


# Called alike on our Tensor and on torch's.
FLOAT_METHODS = [
    ("sum", lambda x: x.sum()),
    ("sum dim", lambda x: x.sum(1)),
    ("sum dims", lambda x: x.sum(dim=(0, -1), keepdim=True)),
    ("sum list", lambda x: x.sum([0, 2])),
    ("mean", lambda x: x.mean()),
    ("mean dims", lambda x: x.mean((-1, 0))),
    ("mean keepdim", lambda x: x.mean(1, keepdim=True)),
    ("prod", lambda x: x.prod()),
    ("prod dim", lambda x: x.prod(-2, keepdim=True)),
    ("amax", lambda x: x.amax()),
    ("amax dims", lambda x: x.amax((0, 1))),
    ("amin", lambda x: x.amin(-1, keepdim=True)),
    ("max", lambda x: x.max()),
    ("max dim", lambda x: x.max(1)),
    ("max keepdim", lambda x: x.max(dim=0, keepdim=True)),
    ("min", lambda x: x.min()),
    ("min dim", lambda x: x.min(-1)),
    ("max other", lambda x: x.max(x * x)),
    ("argmax", lambda x: x.argmax()),
    ("argmax dim", lambda x: x.argmax(1, keepdim=True)),
    ("argmin", lambda x: x.argmin(dim=-1)),
    ("any", lambda x: (x > 1).any()),
    ("all", lambda x: (x > -1).all(1)),
    ("any dims", lambda x: (x > 1).any(dim=(0, 2), keepdim=True)),
    ("var", lambda x: x.var()),
    ("var biased", lambda x: x.var(1, unbiased=False)),
    ("var correction", lambda x: x.var((0, 2), correction=0, keepdim=True)),
    ("std", lambda x: x.std(-1)),
    ("std dims", lambda x: x.std((1, 2), keepdim=True)),
    ("norm", lambda x: x.norm()),
    ("norm dim", lambda x: x.norm(2, 1)),
    ("norm 1", lambda x: x.norm(1, dim=-1, keepdim=True)),
    ("norm 3", lambda x: x.norm(3, dim=1)),
    ("norm 0.5", lambda x: x.norm(0.5, dim=1)),
    ("norm inf", lambda x: x.norm(float("inf"), dim=(0, 1))),
    ("norm 0", lambda x: x.norm(0, dim=1)),
    ("logsumexp", lambda x: x.logsumexp(1)),
    ("logsumexp dims", lambda x: x.logsumexp((0, -1), keepdim=True)),
    ("softmax", lambda x: x.softmax(-1)),
    ("softmax inner", lambda x: x.softmax(dim=0)),
    ("log_softmax", lambda x: x.log_softmax(-1)),
    ("log_softmax inner", lambda x: x.log_softmax(1)),
    ("cumsum", lambda x: x.cumsum(1)),
    ("cumprod", lambda x: x.cumprod(-1)),
    ("count_nonzero", lambda x: x.count_nonzero(1)),
    ("sort", lambda x: x.sort(1)),
    ("sort descending", lambda x: x.sort(dim=0, descending=True)),
    ("argsort", lambda x: x.argsort(-1)),
    ("topk", lambda x: x.topk(2, 1)),
    ("topk smallest", lambda x: x.topk(3, largest=False)),
]


@pytest.mark.parametrize("function", [f for _, f in FLOAT_METHODS], ids=[name for name, _ in FLOAT_METHODS])
def test_float_reduction_matches_torch(backend: str, function: Callable) -> None:
    agree(function, function, sample(3, 4, 5))


INTEGER_METHODS = [
    ("sum", lambda x: x.sum()),
    ("sum dim", lambda x: x.sum(0)),
    ("prod", lambda x: x.prod(1)),
    ("cumsum", lambda x: x.cumsum(0)),
    ("amax", lambda x: x.amax(1)),
    ("argmax", lambda x: x.argmax(1)),
    ("argmin", lambda x: x.argmin()),
    ("any", lambda x: x.any()),
    ("all", lambda x: x.all(0)),
    ("max", lambda x: x.max(1)),
    ("sort", lambda x: x.sort(dim=1, descending=True, stable=True)),
    ("count_nonzero", lambda x: x.count_nonzero()),
]


@pytest.mark.parametrize("function", [f for _, f in INTEGER_METHODS], ids=[name for name, _ in INTEGER_METHODS])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int32", "int64"])
def test_integer_reduction_matches_torch(backend: str, function: Callable, dtype: str) -> None:
    values = np.array([[2, 0, 5], [4, 1, 3]]) if dtype != "bool" else np.array([[1, 0, 1], [0, 0, 1]])
    array = values.astype(dtype)
    if dtype == "bool" and function is dict(INTEGER_METHODS)["argmax"]:
        agree(function, lambda t: t.to(torch.uint8).argmax(1), array)
    elif dtype == "bool" and function is dict(INTEGER_METHODS)["argmin"]:
        agree(function, lambda t: t.to(torch.uint8).argmin(), array)
    else:
        agree(function, function, array)


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "cumsum", "cumprod", "softmax", "log_softmax"])
def test_dtype_argument_converts_first(backend: str, name: str) -> None:
    array = np.array([1, 2, 3], dtype=np.int32)
    found = getattr(un, name)(to_unified(array), 0, dtype=un.float64)
    expected = getattr(torch, name)(torch.tensor(array), 0, dtype=torch.float64)
    assert found.dtype is un.float64
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-14)  # float64 all through


def test_axis_and_keepdims_are_accepted(backend: str) -> None:
    x = to_unified(sample(3, 4))
    assert tuple(x.sum(axis=1, keepdims=True).shape) == (3, 1)
    assert tuple(x.max(axis=0, keepdims=True).values.shape) == (1, 4)
    assert tuple(x.softmax(axis=0).shape) == (3, 4)


def test_names_of_the_results(backend: str) -> None:
    x = to_unified(sample(3, 4))
    assert tuple(x.max(1).indices.shape) == (3,)
    assert tuple(un.sort(x).values.shape) == (3, 4)
    found = un.var_mean(x, 1)
    np.testing.assert_allclose(found.var.numpy(), sample(3, 4).var(1, ddof=1), **TOLERANCE)
    np.testing.assert_allclose(found.mean.numpy(), sample(3, 4).mean(1), **TOLERANCE)


def test_zero_dimensional_input(backend: str) -> None:
    for function in (
        lambda x: x.sum(0), lambda x: x.mean(-1), lambda x: x.amax(), lambda x: x.cumsum(0), lambda x: x.argmax(0),
        lambda x: x.softmax(0), lambda x: x.log_softmax(-1), lambda x: x.logsumexp(0), lambda x: x.sort(),
        lambda x: x.max(0), lambda x: x.topk(1),
    ):  # fmt: skip
        agree(function, function, np.asarray(np.float32(2.5)))


def test_empty_sums(backend: str) -> None:
    x = to_unified(np.zeros((0, 3), np.float32))
    np.testing.assert_array_equal(x.sum(0).numpy(), np.zeros(3))
    np.testing.assert_array_equal(x.prod(0).numpy(), np.ones(3))
    assert not x.any().item()
    assert x.all().item()


NAN_ARRAYS = [
    np.array([3.0, np.nan, np.inf, -np.inf, np.nan, -0.0, 0.0], np.float32),
    np.array([np.inf, 1.0, np.nan, np.inf], np.float32),
]


@pytest.mark.parametrize("array", NAN_ARRAYS, ids=["both infinities", "ties at infinity"])
def test_nan_counts_as_largest(backend: str, array: np.ndarray) -> None:
    for function in (
        lambda x: x.sort(stable=True), lambda x: x.sort(descending=True, stable=True), lambda x: x.argmax(),
        lambda x: x.argmin(), lambda x: x.amax(), lambda x: x.amin(), lambda x: x.max(0), lambda x: x.min(0),
    ):  # fmt: skip
        for ours, theirs in zip(
            outputs(function(to_unified(array))), outputs(function(torch.tensor(array))), strict=True
        ):
            np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@settings(max_examples=8)
@given(shape=st.lists(st.integers(1, 3), min_size=1, max_size=3), data=st.data())
def test_any_dims_of_any_shape(shape: list[int], data: st.DataObject) -> None:
    dims = data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))
    signed = tuple(d - len(shape) if data.draw(st.booleans()) else d for d in dims)
    keepdim = data.draw(st.booleans())
    for name in un.available_backends():
        with un.backend(name):
            agree(lambda x: x.sum(signed, keepdim), lambda x: x.sum(signed, keepdim), sample(*shape))
            agree(lambda x: x.prod(signed, keepdim), lambda t: _prod(t, dims, keepdim), sample(*shape))


def _prod(t: torch.Tensor, dims: set[int], keepdim: bool) -> torch.Tensor:
    for dim in sorted(dims, reverse=True):
        t = t.prod(dim, keepdim)
    return t


BAD_CALLS = [
    (lambda x: x.sum(5), IndexError, "dim 5 is out of range for a tensor of 2 dimensions"),
    (lambda x: x.sum((0, 0)), ValueError, "names a dimension twice"),
    (lambda x: (x > 0).mean(), TypeError, "needs floating-point elements, not bool"),
    (lambda x: (x > 0).to(un.int32).mean(0), TypeError, "needs floating-point elements, not int32"),
    (lambda x: x.topk(9), ValueError, "k=9 is not between 0 and 3"),
    (lambda x: x.amax(-3), IndexError, "dim -3 is out of range"),
    (lambda x: x.norm("two"), ValueError, "p must be a number, 'fro' or 'nuc'"),
    (lambda x: x.softmax(2), IndexError, "dim 2 is out of range"),
    (lambda _: un.max(to_unified(np.zeros((0, 3), np.float32)), 0), ValueError, "is empty"),
]


@pytest.mark.parametrize(("call", "kind", "message"), BAD_CALLS)
def test_bad_arguments_read_the_same_everywhere(backend: str, call: Callable, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        call(to_unified(sample(2, 3)))
    assert isinstance(caught.value, un.errors.OpError)
    assert backend in str(caught.value)
