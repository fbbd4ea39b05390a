"""Subscripts, gathering and scattering: values and gradients are PyTorch's on every backend.

Nothing here computes: elements are moved or added a few at a time, so that values are equal exactly, and gradients,
sums of a handful of float32 cotangents in whatever order, to 1e-6.
"""

from __future__ import annotations

import logging
import math

import jax
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import unified as un

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 3, 5)).astype(np.float32)


def agree(call, *arrays, numbers=()):
    """``call`` on our Tensors and on torch's: the same value and the same gradients of every float operand."""
    ours = [un.tensor(a) for a in arrays]
    theirs = [torch.tensor(a) for a in arrays]
    for a, b in zip(ours, theirs, strict=True):
        if b.is_floating_point():
            a.requires_grad_()
            b.requires_grad_()
    got = call(un, *ours)
    want = call(torch, *theirs)
    assert tuple(got.shape) == tuple(want.shape)
    np.testing.assert_array_equal(got.detach().numpy(), want.detach().numpy())
    assert got.requires_grad == want.requires_grad
    if not want.requires_grad:
        return
    weight = RNG.standard_normal(tuple(want.shape)).astype(np.float32)
    (got * un.tensor(weight)).sum().backward()
    (want * torch.tensor(weight)).sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        if b.grad is None:
            assert a.grad is None or not a.grad.numpy().any()
        else:
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-6, atol=1e-6)


def ids(values):
    return lambda library: library.tensor(values)


KEYS = [
    0, -1, (1, 2), (0, -1, 3), slice(None), slice(1, 3), slice(None, None, 2), slice(3, 1), (slice(None), 1),
    (slice(1, 4, 2), slice(None), slice(2, None)), Ellipsis, (Ellipsis, 2), (0, Ellipsis, slice(1, 3)), None,
    (None, 1, None), (slice(2), None, Ellipsis, None), [0, 2, -1], ([[0, 1], [2, 0]],), ([0, 1], [2, 0]),
    ([0, 1], slice(None), [4, 0]), (slice(None), [0, 2, 1], [4, 0, 0]), (slice(None), [[0], [2]], [1, 3]),
    (1, [0, 2], slice(1, 3)), ([0, 3], 1, [0, 4]), (slice(1, 3), [0, 0, 1]), (None, [1, 1]), ([0, 1], None, [1, 2]),
    ([3, 3, 3],), [], ([0, 0], slice(None), 0, None), (None, [1, 0], 2, slice(3), None),
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_getitem(backend, key):
    agree(lambda _, x: x[key], X)


TENSOR_KEYS = {
    "vector": lambda u, x: x[u.tensor([0, 2, -1, 0])],
    "scalar": lambda u, x: x[u.tensor(-1)],
    "scalar between": lambda u, x: x[:, u.tensor(1), u.tensor([0, 3])],
    "scalar before": lambda u, x: x[u.tensor(2), :, u.tensor([0, 3])],
    "mask": lambda u, x: x[x > 0],
    "mask of rows": lambda u, x: x[x[:, 0, 0] > 0],
    "mask of two axes": lambda u, x: x[:, x[0] > 0],
    "mask after dots": lambda u, x: x[..., x[0, 0] > 0],
    "mask and int": lambda u, x: x[1, x[0, :, 0] > -9],
    "mask and array": lambda u, x: x[u.tensor([True, False, True, True]), [0, 2, 1]],
    "empty mask": lambda u, x: x[x > 99],
    "True": lambda u, x: x[True],
    "False between": lambda u, x: x[1, False],
    "True after dots": lambda u, x: x[..., True, [0, 2]],
    "0-d mask": lambda u, x: x[:, u.tensor(True)],
    "tuples and ranges": lambda u, x: x[(0, 2), range(2)],
}


@pytest.mark.parametrize("key", TENSOR_KEYS)
def test_getitem_of_tensors(backend, key):
    agree(TENSOR_KEYS[key], X)


@st.composite
def basic_keys(draw):
    shape = (4, 3, 5)
    key = []
    for length in shape[: draw(st.integers(0, 3))]:
        position = st.integers(-length, length - 1)
        key.append(
            draw(
                st.one_of(
                    position,
                    st.lists(position, min_size=2, max_size=2),
                    st.builds(slice, *[st.none() | st.integers(-6, 6)] * 2, st.none() | st.integers(1, 3)),
                )
            )
        )
        if draw(st.booleans()):
            key.append(None)
    return tuple(key)


@settings(max_examples=25)
@given(key=basic_keys())
def test_getitem_of_any_key(key):
    for name in un.available_backends():
        with un.backend(name):
            agree(lambda _, x: x[key], X)


def put(key, value):
    def call(library, x, *others):
        y = x * 1
        y[key(library, x) if callable(key) else key] = value(library, *others) if callable(value) else value
        return y

    return call


V = RNG.standard_normal((3, 5)).astype(np.float32)


@pytest.mark.parametrize(
    ("key", "value_shape"),
    [
        (1, (3, 5)), (1, (5,)), (1, (1, 1, 5)), (slice(1, 3), (3, 5)), (slice(None), ()), ((Ellipsis, 2), (4, 3)),
        ((slice(None), slice(None), slice(0, None, 2)), (3,)), ((0, 1, 2), ()), ([0, 2], (2, 3, 5)),
        (([0, 2], slice(None), [1, 1]), (2, 3)), ((slice(None), [0, 1], 2), (4, 2)), (None, (5,)),
        (slice(3, 1), (3, 5)), ([0, -1], (5,)),
    ],
    ids=str,
)  # fmt: skip
def test_setitem(backend, key, value_shape):
    value = RNG.standard_normal(value_shape).astype(np.float32)
    agree(put(key, lambda _, v: v), X, value)


def positive(_, x):
    return x > 0


@pytest.mark.parametrize(
    "key", [0, slice(1, 3), [0, 2], (slice(None), 1), positive], ids=["0", "1:3", "[0, 2]", ":,1", "mask"]
)
def test_setitem_of_a_number(backend, key):
    agree(put(key, 7.5), X)
    agree(put(key, 7), X)


def test_setitem_by_masks(backend):
    agree(put(lambda u, x: x[:, 0, 0] > 0, lambda _, v: v), X, V)
    agree(put(lambda u, x: x > 99, 1.0), X)
    agree(put(True, lambda _, v: v), X, V)
    agree(put((0, False), 5.0), X)
    agree(put(lambda u, x: u.tensor(True), lambda _, v: v), X, V)
    count = int((X > 0).sum())
    agree(put(lambda u, x: x > 0, lambda _, v: v), X, RNG.standard_normal(count).astype(np.float32))


def test_setitem_rebinds_one_tensor_only(backend):
    x = un.zeros(3)
    alias, row = x.clone(), x[1:]
    x[1] = 5
    assert x.tolist() == [0, 5, 0]
    assert alias.tolist() == [0, 0, 0]
    assert row.tolist() == [0, 0]
    counts = un.zeros(3, dtype=un.int32)
    counts[0] = un.tensor(2.9)  # cast, as PyTorch does
    assert counts.tolist() == [2, 0, 0]
    with pytest.raises(un.errors.InPlaceLeafError):
        un.zeros(2, requires_grad=True)[0] = 1


I2 = np.array([[0, 2, 1], [1, 0, 0]], np.int64)
FLAT = RNG.standard_normal((4, 5)).astype(np.float32)
SRC = RNG.standard_normal((3, 4)).astype(np.float32)
CALLS = {
    "gather": (lambda u, x, i: u.gather(x, 0, i), FLAT, I2),
    "gather 1": (lambda u, x, i: x.gather(1, i), FLAT, I2),
    "gather -1": (lambda u, x, i: x.gather(-1, i), FLAT, I2),
    "scatter": (lambda u, x, i, s: u.scatter(x, 1, i, s[:2, :3]), FLAT, np.array([[0, 2, 1], [1, 0, 4]]), SRC),
    "scatter number": (lambda u, x, i: x.scatter(0, i, 3.0), FLAT, I2),
    "scatter_add": (lambda u, x, i, s: x.scatter_add(0, i, s[:2, :3]), FLAT, I2, SRC),
    "scatter_add 1": (lambda u, x, i, s: u.scatter_add(x, 1, i, s[:2, :3]), FLAT, I2, SRC),
    "index_select": (lambda u, x, i: u.index_select(x, 1, i), FLAT, np.array([4, 0, 0])),
    "index_add": (lambda u, x, i, s: u.index_add(x, 1, i, s, alpha=2), FLAT, np.array([4, 0, 0]), FLAT[:, :3]),
    "index_copy": (lambda u, x, i, s: x.index_copy(0, i, s), FLAT, np.array([3, 0]), FLAT[:2]),
    "index_fill": (lambda u, x, i: x.index_fill(1, i, -1.0), FLAT, np.array([3, 0])),
    "take": (lambda u, x, i: u.take(x, i), FLAT, np.array([[0, 7], [-1, 7]])),
    "take_along_dim": (lambda u, x, i: u.take_along_dim(x, i, 0), FLAT, np.array([[3, 0, 1, 1, 2]])),
    "take_along_dim broadcast": (lambda u, x, i: u.take_along_dim(x, i, 1), FLAT, np.array([[3, 0]])),
    "take_along_dim flat": (lambda u, x, i: u.take_along_dim(x, i), FLAT, np.array([[3, 0]])),
    "masked_select": (lambda u, x: u.masked_select(x, x > 0), FLAT),
    "masked_fill": (lambda u, x: x.masked_fill(x > 0, -math.inf), FLAT),
    "masked_fill broadcast": (lambda u, x: u.masked_fill(x, x[:1] > 0, 2), FLAT),
    "masked_fill tensor": (lambda u, x, v: x.masked_fill(x > 0, v), FLAT, np.float32(3)),
    "select": (lambda u, x: u.select(x, 1, -2), FLAT),
    "narrow": (lambda u, x: u.narrow(x, 1, 1, 3), FLAT),
    "narrow back": (lambda u, x: x.narrow(0, -2, 2), FLAT),
    "nonzero": (lambda u, x: u.nonzero(x > 0), FLAT),
    "argwhere": (lambda u, x: u.argwhere(x > 0), FLAT),
    "nonzero tuple": (lambda u, x: (x > 0).nonzero(as_tuple=True)[1], FLAT),
}


@pytest.mark.parametrize("name", CALLS)
def test_gather_and_scatter(backend, name):
    call, *arrays = CALLS[name]
    agree(call, *arrays)


def test_scatter_reads_the_corner_of_a_larger_source(backend):
    """PyTorch takes such a source too, but fails to differentiate it."""
    x, source = un.zeros(4, 5, requires_grad=True), un.tensor(SRC, requires_grad=True)
    y = x.scatter_add(0, un.tensor(I2), source)
    want = torch.zeros(4, 5).scatter_add(0, torch.tensor(I2), torch.tensor(SRC))
    np.testing.assert_array_equal(y.detach().numpy(), want.numpy())
    y.sum().backward()
    read = np.zeros_like(SRC)
    read[:2, :3] = 1
    np.testing.assert_array_equal(source.grad.numpy(), read)


def test_positions_are_int32(backend):
    assert un.tensor([0, 3, 0]).nonzero().dtype is un.int32


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: x[4], un.errors.IndexOutOfRangeError, "index 4 is out of range for axis 0"),
        (lambda x: x[0, 0, 0, 0], un.errors.IndexOutOfRangeError, "too many subscripts"),
        (lambda x: x[::-1], un.errors.OperandError, "un.flip"),
        (lambda x: x["a"], un.errors.OperandError, "cannot subscript"),
        (lambda x: x[1.5], un.errors.OperandError, "cannot subscript"),
        (lambda x: x[un.zeros(2)], un.errors.DTypeError, "float32"),
        (lambda x: x[un.tensor([True, False])], un.errors.ShapeError, "mask"),
        (lambda x: x[[0, 1], [0, 1, 2]], un.errors.ShapeError, "broadcast"),
        (lambda x: x.select(0, 9), un.errors.IndexOutOfRangeError, "index 9"),
        (lambda x: x.narrow(0, 2, 9), un.errors.IndexOutOfRangeError, "length 9"),
        (lambda x: x.gather(0, un.zeros(1, 1, dtype=un.int32)), un.errors.ShapeError, "as many dimensions"),
        (lambda x: x.masked_fill(un.zeros(7) > 0, 1), un.errors.ShapeError, "broadcast"),
        (lambda x: x.__setitem__(0, un.zeros(2)), un.errors.ShapeError, "does not broadcast"),
        (lambda x: x.index_add(0, un.tensor([0]), un.zeros(2)), un.errors.ShapeError, "source"),
    ],
)  # fmt: skip
def test_refusals_read_the_same(backend, call, error, words):
    x = un.tensor(X)
    with pytest.raises(error, match=words):
        call(x)
    np.testing.assert_array_equal(x.numpy(), X)


OUTSIDE = {
    "subscript": lambda x, i: x[i],
    "subscript from the end": lambda x, i: x[-i],
    "second subscript": lambda x, i: x[[0, 0, 0], i],
    "written subscript": lambda x, i: x.clone().__setitem__(i, 0.0),
    "take": lambda x, i: x.take(i + 99),
    "gather": lambda x, i: x.gather(0, i.reshape(3, 1, 1)),
    "gather of a negative one": lambda x, i: x.gather(0, -i.reshape(3, 1, 1)),
    "index_select": lambda x, i: x.index_select(0, i),
    "take_along_dim": lambda x, i: un.take_along_dim(x, i.reshape(3, 1, 1), 0),
    "scatter": lambda x, i: x.scatter(0, i.reshape(3, 1, 1), 1.0),
    "scatter_add": lambda x, i: x.scatter_add(0, i.reshape(3, 1, 1), un.ones(3, 1, 1)),
    "scatter_reduce": lambda x, i: x.scatter_reduce(0, i.reshape(3, 1, 1), un.ones(3, 1, 1), "amax"),
    "index_add": lambda x, i: x.index_add(0, i, un.ones(3, 3, 5)),
    "index_fill": lambda x, i: x.index_fill(0, i, 1.0),
    "put": lambda x, i: x.put(i + 99, un.ones(3)),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_an_index_out_of_range_raises(backend, name):
    with pytest.raises(un.errors.IndexOutOfRangeError, match="out of range"):
        OUTSIDE[name](un.tensor(X), un.tensor([0, 99, 1]))


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("shape", [(), (3, 5), (1, 5), (2, 3, 5)], ids=str)
def test_a_write_through_a_mask_compiles(backend, shape, accumulate):
    value = RNG.standard_normal(shape).astype(np.float32)
    holds = np.array([True, False, True, False])
    want = torch.tensor(X).index_put((torch.tensor(holds),), torch.tensor(value), accumulate)
    program = un.compile(lambda x, mask, v: un.index_put(x, (mask,), v, accumulate))
    np.testing.assert_array_equal(program(un.tensor(X), un.tensor(holds), un.tensor(value)).numpy(), want.numpy())


def test_methods_that_change_the_shape_in_place(backend):
    x = un.zeros(1, 2, 3)
    alias = x.clone()
    assert tuple(x.squeeze_(0).shape) == (2, 3)
    assert tuple(x.t_().shape) == (3, 2)
    assert tuple(x.unsqueeze_(-1).transpose_(0, 2).shape) == (1, 2, 3)
    assert tuple(alias.shape) == (1, 2, 3)


def test_a_loop_over_positions_compiles_one_program():
    """On JAX an int and a slice start are arguments of the program, not part of it."""
    names = []

    class Compilations(logging.Handler):
        def emit(self, record):
            if record.getMessage().startswith("Compiling"):
                names.append(record.getMessage().split()[1])

    with un.backend("jax"):
        x = un.tensor(RNG.standard_normal((50, 7)).astype(np.float32), requires_grad=True)
        handler = Compilations()
        logger = logging.getLogger("jax._src.interpreters.pxla")
        logger.addHandler(handler)
        try:
            with jax.log_compiles():
                total, window = un.zeros(7), un.zeros(3, 7)
                for t in range(50):
                    total = total + x[t]
                for t in range(40):
                    window = window + x[t : t + 3]
                (total.sum() + window.sum()).backward()
        finally:
            logger.removeHandler(handler)
        np.testing.assert_allclose(total.detach().numpy(), x.detach().numpy().sum(0), rtol=1e-5, atol=1e-5)
    assert names, "the handler saw no compilation at all"
    assert sum("select_at" in name for name in names) <= 2  # its value and its pullback
    assert sum("narrow_at" in name for name in names) <= 2
