"""Ops that rearrange elements: values and gradients are PyTorch's on every backend.

Elements are moved, never computed with, so values are equal exactly; gradients are sums of a few float32 cotangents,
equal to 1e-6 in whatever order they are added.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional
from hypothesis import given, settings
from hypothesis import strategies as st

import unified as un

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3, 4)).astype(np.float32)
M = RNG.standard_normal((3, 4)).astype(np.float32)
V = RNG.standard_normal(5).astype(np.float32)
ONES = RNG.standard_normal((1, 3, 1)).astype(np.float32)
NUMBER = np.float32(2.5)
INTS = np.arange(6, dtype=np.int32).reshape(2, 3)


def torch_pad(library):
    return un.pad if library is un else torch.nn.functional.pad


def agree(call, *arrays):
    """``call`` on our Tensors and on torch's: the same values, dtypes and gradients, for one result or several."""
    ours, theirs = [un.tensor(a) for a in arrays], [torch.tensor(a) for a in arrays]
    for a, b in zip(ours, theirs, strict=True):
        if b.is_floating_point():
            a.requires_grad_()
            b.requires_grad_()
    got, want = call(un, *ours), call(torch, *theirs)
    many = isinstance(want, (tuple, list))
    assert isinstance(got, tuple) is many
    pairs = list(zip(got, want, strict=True)) if many else [(got, want)]
    losses = [0, 0]
    for a, b in pairs:
        assert tuple(a.shape) == tuple(b.shape)
        assert a.dtype.name == str(b.dtype).removeprefix("torch.")
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
        weight = RNG.standard_normal(tuple(b.shape)).astype(np.float32)
        losses = [losses[0] + (a * un.tensor(weight)).sum(), losses[1] + (b * torch.tensor(weight)).sum()]
    if not losses[1].requires_grad:
        return
    for loss in losses:
        loss.backward()
    for a, b in zip(ours, theirs, strict=True):
        if b.grad is not None:
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-6, atol=1e-6)


CALLS = {
    "reshape": (lambda u, x: x.reshape(4, -1), X),
    "reshape tuple": (lambda u, x: u.reshape(x, (3, 2, 4)), X),
    "view": (lambda u, x: x.view((24,)), X),
    "reshape scalar": (lambda u, x: x.reshape(()), V[:1]),
    "flatten": (lambda u, x: x.flatten(), X),
    "flatten 1": (lambda u, x: u.flatten(x, 1), X),
    "flatten scalar": (lambda u, x: x.flatten(), NUMBER),
    "unflatten": (lambda u, x: x.unflatten(-1, (2, -1)), X),
    "view_as": (lambda u, x, y: x.view_as(y), X, X.reshape(6, 4)),
    "reshape_as": (lambda u, x, y: x.reshape_as(y), X, X.reshape(6, 4)),
    "squeeze": (lambda u, x: u.squeeze(x), ONES),
    "squeeze 0": (lambda u, x: x.squeeze(0), ONES),
    "squeeze of a long one": (lambda u, x: x.squeeze(1), ONES),
    "squeeze two": (lambda u, x: x.squeeze((0, -1)), ONES),
    "squeeze scalar": (lambda u, x: x.squeeze(0), NUMBER),
    "unsqueeze": (lambda u, x: x.unsqueeze(1), X),
    "unsqueeze last": (lambda u, x: u.unsqueeze(x, -1), X),
    "expand": (lambda u, x: x.expand(2, -1, 5), ONES),
    "expand more": (lambda u, x: x.expand(6, 2, 3, 4), X),
    "expand_as": (lambda u, x, y: x.expand_as(y), ONES, X),
    "broadcast_to": (lambda u, x: u.broadcast_to(x, (2, 3, 4)), ONES),
    "broadcast_tensors": (lambda u, x, y: tuple(u.broadcast_tensors(x, y)), ONES, X),
    "meshgrid": (lambda u, x, y: tuple(u.meshgrid(x, y, indexing="ij")), V, V[:3]),
    "meshgrid xy": (lambda u, x, y: tuple(u.meshgrid(x, y, indexing="xy")), V, V[:3]),
    "permute": (lambda u, x: x.permute(2, 0, 1), X),
    "permute negative": (lambda u, x: u.permute(x, (-1, 1, -3)), X),
    "transpose": (lambda u, x: x.transpose(0, -1), X),
    "swapaxes": (lambda u, x: u.swapaxes(x, 1, 2), X),
    "t": (lambda u, x: x.t(), M),
    "t of a vector": (lambda u, x: u.t(x), V),
    "T": (lambda u, x: x.T, M),
    "mT": (lambda u, x: x.mT, X),
    "movedim": (lambda u, x: u.movedim(x, 0, -1), X),
    "movedim two": (lambda u, x: x.movedim((0, 1), (2, 0)), X),
    "flip": (lambda u, x: x.flip(0, 2), X),
    "flip tuple": (lambda u, x: u.flip(x, (-1,)), X),
    "roll": (lambda u, x: u.roll(x, 5), X),
    "roll along": (lambda u, x: x.roll((1, -2), (0, 2)), X),
    "roll one": (lambda u, x: x.roll(1, -1), X),
    "cat": (lambda u, x, y: u.cat([x, y, x], -1), X, X[..., :2]),
    "cat promotes": (lambda u, x, y: u.cat((x, y)), X, np.ones((1, 3, 4), np.int32)),
    "cat with an empty one": (lambda u, x, y: u.cat([y, x], 1), M, np.zeros(0, np.float32)),
    "concat": (lambda u, x: u.concat([x]), X),
    "stack": (lambda u, x, y: u.stack([x, y]), X, X[::-1].copy()),
    "stack last": (lambda u, x, y: u.stack((x, y), dim=-1), X, X[::-1].copy()),
    "stack numbers": (lambda u, x, y: u.stack([x, y]), NUMBER, NUMBER),
    "hstack": (lambda u, x, y: u.hstack([x, y]), V, V[:2]),
    "hstack matrices": (lambda u, x, y: u.hstack([x, y]), M, M),
    "vstack": (lambda u, x, y: u.vstack([x, y]), V, V),
    "split": (lambda u, x: x.split(2), V),
    "split along": (lambda u, x: u.split(x, 3, dim=-1), X),
    "split sizes": (lambda u, x: x.split([1, 2], 1), X),
    "chunk": (lambda u, x: x.chunk(3), V),
    "chunk few": (lambda u, x: u.chunk(x, 9, -1), X),
    "unbind": (lambda u, x: u.unbind(x), X),
    "unbind last": (lambda u, x: x.unbind(-1), X),
    "iterate": (lambda u, x: tuple(x), M),
    "repeat": (lambda u, x: x.repeat(2, 1, 1, 3), X),
    "repeat none": (lambda u, x: x.repeat(0, 1), M),
    "tile": (lambda u, x: u.tile(x, (2,)), M),
    "tile method": (lambda u, x: x.tile(2, 1, 1), M),
    "repeat_interleave": (lambda u, x: x.repeat_interleave(2), M),
    "repeat_interleave along": (lambda u, x: u.repeat_interleave(x, 3, dim=-1), X),
    "diagonal": (lambda u, x: u.diagonal(x), M),
    "diagonal offset": (lambda u, x: x.diagonal(1, -2, -1), X),
    "diagonal below": (lambda u, x: x.diagonal(-2, 2, 0), X),
    "diagonal outside": (lambda u, x: x.diagonal(9), M),
    "tril": (lambda u, x: u.tril(x), X),
    "tril below": (lambda u, x: x.tril(-1), X),
    "triu": (lambda u, x: u.triu(x, 1), X),
    "triu of ints": (lambda u, x: x.triu(), INTS),
    "pad": (lambda u, x: torch_pad(u)(x, (1, 2)), X),
    "pad two": (lambda u, x: torch_pad(u)(x, (1, 2, 0, 1), value=-1.5), X),
    "pad crops": (lambda u, x: torch_pad(u)(x, (-1, 1, 2, -1)), X),
    "pad ints": (lambda u, x: torch_pad(u)(x, (1, 0), value=7), INTS),
    "pad reflect": (lambda u, x: torch_pad(u)(x, (3, 2), mode="reflect"), X),
    "pad reflect two": (lambda u, x: torch_pad(u)(x, (3, 0, 1, 2), mode="reflect"), X),
    "pad replicate": (lambda u, x: torch_pad(u)(x, (5, 1), mode="replicate"), X),
    "pad circular": (lambda u, x: torch_pad(u)(x, (4, 1), mode="circular"), X),
    "to_device": (lambda u, x: x.to("cpu"), X),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_as_torch(backend, name):
    call, *arrays = CALLS[name]
    agree(call, *arrays)


@settings(max_examples=15)
@given(shape=st.lists(st.integers(0, 3), max_size=4), data=st.data())
def test_any_shape(shape, data):
    array = RNG.standard_normal(shape).astype(np.float32)
    dims = data.draw(st.permutations(range(len(shape))))
    reps = data.draw(st.lists(st.integers(0, 2), min_size=len(shape), max_size=len(shape) + 1))
    for name in un.available_backends():
        with un.backend(name):
            agree(lambda _, x: x.permute(dims).flatten().reshape(tuple(shape[d] for d in dims)), array)
            agree(lambda _, x: x.repeat(reps), array)
            agree(lambda u, x: u.cat([x.unsqueeze(0), x.unsqueeze(0)]), array)


def test_results_are_values_not_views(backend):
    x = un.zeros(2, 3)
    row, flat = x.reshape(3, 2), x.T
    row.add_(1)
    flat[0] = 5
    assert x.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_second_derivatives_flow(backend):
    x = un.tensor(M, requires_grad=True)
    y = (un.cat([x, x.flip(0)]).T ** 3).sum()
    (grad,) = un.autograd.grad(y, [x], create_graph=True)
    grad.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 12 * M, rtol=1e-5)  # 2 * 6 x, float32 arithmetic


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: x.reshape(5, -1), un.errors.ShapeError, "24 elements cannot be reshaped"),
        (lambda x: x.reshape(-1, -1), un.errors.ShapeError, "cannot be reshaped"),
        (lambda x: x.flatten(2, 1), un.errors.ShapeError, "comes after"),
        (lambda x: x.expand(2, 3, 5), un.errors.ShapeError, "cannot be expanded"),
        (lambda x: x.permute(0, 1), un.errors.ShapeError, "every dimension"),
        (lambda x: x.permute(0, 1, 1), un.errors.ArgumentError, "twice"),
        (lambda x: x.transpose(0, 3), un.errors.IndexOutOfRangeError, "dim 3 is out of range"),
        (lambda x: x.squeeze(4), un.errors.IndexOutOfRangeError, "dim 4 is out of range"),
        (lambda x: x.unsqueeze(5), un.errors.IndexOutOfRangeError, "dim 5 is out of range"),
        (lambda x: x.flip(3), un.errors.IndexOutOfRangeError, "dim 3 is out of range"),
        (lambda x: x.unbind(3), un.errors.IndexOutOfRangeError, "dim 3 is out of range"),
        (lambda x: x.roll((1, 2), 0), un.errors.ArgumentError, "equally many"),
        (lambda x: un.cat([]), un.errors.OperandError, "at least one"),
        (lambda x: un.cat([x, x[0]]), un.errors.ShapeError, "equal outside"),
        (lambda x: un.stack([x, x[0]]), un.errors.ShapeError, "must be equal"),
        (lambda x: x.split([1, 2]), un.errors.ShapeError, "must add up"),
        (lambda x: x.split(0), un.errors.ArgumentError, "positive"),
        (lambda x: x.repeat(2), un.errors.ShapeError, "repeats"),
        (lambda x: x[0, 0].tril(), un.errors.ShapeError, "at least two dimensions"),
        (lambda x: x.t(), un.errors.ShapeError, "at most two"),
        (lambda x: un.pad(x, (1,)), un.errors.ArgumentError, "one pair"),
        (lambda x: un.pad(x, (4, 0), mode="reflect"), un.errors.ShapeError, "does not fit"),
        (lambda x: un.pad(x, (1, 1), mode="mirror"), un.errors.ArgumentError, "mirror"),
        (lambda x: un.pad(x, (-3, -3)), un.errors.ShapeError, "negative length"),
        (lambda x: x.to("gpu:77"), un.errors.DeviceError, "is not here"),
    ],
)  # fmt: skip
def test_refusals_read_the_same(backend, call, error, words):
    with pytest.raises(error, match=words):
        call(un.tensor(X))
