"""One autograd contract: each behaviour is first shown on native PyTorch, then asked of every backend."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import unified as un
from unified import errors

A = np.array([[1.5, -2.0, 0.5], [3.0, 0.25, -1.0]], np.float32)
B = np.array([[0.5, 1.0, -1.5], [2.0, -0.75, 1.25]], np.float32)

EXACT = {"rtol": 1e-6, "atol": 1e-6}
"""A handful of float32 operations, in one order or another: a few units in the last place."""


def leaf(array: np.ndarray) -> un.Tensor:
    return un.tensor(array, requires_grad=True)


def native(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(array, requires_grad=True)


def same(ours: un.Tensor | None, theirs: torch.Tensor | None) -> None:
    assert (ours is None) == (theirs is None)
    if ours is not None and theirs is not None:
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), **EXACT)


def test_backward_accumulates_into_leaves(backend):
    x, t = leaf(A), native(A)
    for _ in range(2):
        (x * x).sum().backward()
        (t * t).sum().backward()
    same(x.grad, t.grad)


def test_grad_is_the_same_object_while_it_accumulates(backend):
    x = leaf(A)
    (x * 2).sum().backward()
    first = x.grad
    (x * 2).sum().backward()
    assert x.grad is first
    np.testing.assert_array_equal(first.numpy(), np.full_like(A, 4))


def test_a_value_used_twice_gets_both_gradients(backend):
    def f(x):
        y = x * 3
        return (y * y + y).sum()

    x, t = leaf(A), native(A)
    f(x).backward()
    f(t).backward()
    same(x.grad, t.grad)


def test_unused_leaf_keeps_none(backend):
    x, unused = leaf(A), leaf(B)
    (x * 2).sum().backward()
    assert unused.grad is None


def test_gradients_reduce_over_broadcast_dimensions(backend):
    x, row, t, trow = leaf(A), leaf(B[0]), native(A), native(B[0])
    (x * row).sum().backward()
    (t * trow).sum().backward()
    same(x.grad, t.grad)
    same(row.grad, trow.grad)


def test_backward_takes_a_cotangent(backend):
    x, t = leaf(A), native(A)
    (x * x).backward(un.tensor(B))
    (t * t).backward(torch.tensor(B))
    same(x.grad, t.grad)


def test_several_outputs_of_one_op(backend):
    def f(x):
        first, second = x.unbind(0)
        return (first * 2).sum() + (second * second).sum()

    x, t = leaf(A), native(A)
    f(x).backward()
    f(t).backward()
    same(x.grad, t.grad)


def test_only_one_of_several_outputs_used(backend):
    x, t = leaf(A), native(A)
    x.unbind(0)[1].sum().backward()
    t.unbind(0)[1].sum().backward()
    same(x.grad, t.grad)


def test_no_grad_records_nothing_as_context_and_decorator(backend):
    x = leaf(A)
    with un.no_grad():
        assert not (x * 2).requires_grad
        with un.enable_grad():
            assert (x * 2).requires_grad
        assert not un.is_grad_enabled()

    @un.no_grad()
    def frozen():
        return x * 2

    assert not frozen().requires_grad
    assert un.is_grad_enabled()


def test_grad_mode_is_restored_after_an_exception(backend):
    with pytest.raises(ZeroDivisionError), un.no_grad():
        raise ZeroDivisionError
    assert (leaf(A) * 2).requires_grad


def test_detach_ends_the_graph(backend):
    x, t = leaf(A), native(A)
    (x * x.detach()).sum().backward()
    (t * t.detach()).sum().backward()
    same(x.grad, t.grad)
    assert not x.detach().requires_grad


def test_retain_graph_allows_a_second_pass(backend):
    x, t = leaf(A), native(A)
    y, u = (x * x).sum(), (t * t).sum()
    y.backward(retain_graph=True)
    y.backward()
    u.backward(retain_graph=True)
    u.backward()
    same(x.grad, t.grad)


def test_second_pass_through_a_freed_graph_is_an_error_and_changes_nothing(backend):
    x, other = leaf(A), leaf(B)
    y = x.exp() * other
    y.sum().backward()
    before = x.grad.numpy().copy(), other.grad.numpy().copy()
    with pytest.raises(errors.FreedGraphError, match=r"second time.*retain_graph=True"):
        y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), before[0])
    np.testing.assert_array_equal(other.grad.numpy(), before[1])


def test_backward_on_a_non_scalar_without_gradient(backend):
    x = leaf(A)
    with pytest.raises(errors.AutogradError, match=r"shape \(2, 3\).*gradient="):
        (x * 2).backward()
    assert x.grad is None


def test_backward_with_a_gradient_of_another_shape(backend):
    with pytest.raises(errors.AutogradError, match=r"\(3,\).*\(2, 3\)"):
        (leaf(A) * 2).backward(un.tensor(B[0]))


def test_backward_without_a_graph(backend):
    with pytest.raises(errors.AutogradError, match="does not require grad"):
        un.tensor(A).sum().backward()


def test_integers_never_require_grad(backend):
    with pytest.raises(errors.DTypeError, match="int32"):
        un.tensor([1, 2]).requires_grad_()


def test_comparisons_carry_no_gradient(backend):
    assert not (leaf(A) > 0).requires_grad


def test_leaf_rules(backend):
    x = leaf(A)
    y = x * 2
    assert x.is_leaf
    assert not y.is_leaf
    assert y.detach().is_leaf
    with pytest.raises(errors.AutogradError, match="leaves only"):
        y.requires_grad_(False)


def test_writing_a_leaf_in_place_while_recording_is_an_error(backend):
    x = leaf(A)
    with pytest.raises(errors.InPlaceLeafError, match="no_grad"):
        x.add_(1)
    np.testing.assert_array_equal(x.detach().numpy(), A)


def test_in_place_methods_record(backend):
    def f(x):
        y = x * 2
        y += 1
        y.mul_(x)
        return y.sum()

    x, t = leaf(A), native(A)
    f(x).backward()
    f(t).backward()
    same(x.grad, t.grad)


def test_value_semantics_no_other_tensor_sees_a_write(backend):
    x = un.tensor(A)
    view, alias = x.reshape(-1), x.detach()
    x.add_(100)
    np.testing.assert_array_equal(view.numpy(), A.reshape(-1))
    np.testing.assert_array_equal(alias.numpy(), A)


def test_writing_a_saved_value_in_place_still_gives_the_right_gradient(backend):
    """PyTorch refuses this (its version counters notice); value semantics make it right: d(x*y)/dx is the old y."""
    x, y = leaf(A), un.tensor(B)
    product = x * y
    y.mul_(0)
    product.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), B, **EXACT)


def test_an_update_between_forward_and_backward_does_not_lose_the_gradient(backend):
    x = leaf(A)
    loss = (x * x).sum()
    with un.no_grad():
        x.sub_(10)
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * A, **EXACT)
    np.testing.assert_allclose(x.detach().numpy(), A - 10, **EXACT)


def test_data_writes_through_and_is_not_recorded(backend):
    x = leaf(A)
    x.data.mul_(2)
    np.testing.assert_array_equal(x.detach().numpy(), 2 * A)
    x.data = un.tensor(B)
    np.testing.assert_array_equal(x.detach().numpy(), B)
    assert x.requires_grad
    assert x.is_leaf


def test_setting_grad(backend):
    x = leaf(A)
    x.grad = un.tensor(B)
    (x * 2).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), B + 2, **EXACT)
    x.grad.mul_(0.5)
    np.testing.assert_allclose(x.grad.numpy(), (B + 2) / 2, **EXACT)
    x.grad = None
    assert x.grad is None
    with pytest.raises(errors.ShapeError, match=r"\(3,\)"):
        x.grad = un.tensor(B[0])


def test_higher_orders(backend):
    def derivatives(x, grad):
        found = [(x * x * x * x).sum()]
        for _ in range(3):
            (g,) = grad(found[-1], x, create_graph=True)
            found.append((g * g).sum() if len(found) == 1 else g.sum())
        return found

    ours = derivatives(leaf(A), un.autograd.grad)
    theirs = derivatives(native(A), torch.autograd.grad)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.item(), b.item(), rtol=1e-5)  # thousands, in float32


def test_double_backward_into_grad(backend):
    def penalty(x, w, grad):
        (g,) = grad((x * w).tanh().sum(), x, create_graph=True)
        (g * g).sum().backward()

    x, w, t, v = leaf(A), leaf(B), native(A), native(B)
    penalty(x, w, un.autograd.grad)
    penalty(t, v, torch.autograd.grad)
    same(w.grad, v.grad)


def test_grad_function(backend):
    x, y, unused = leaf(A), leaf(B), leaf(A)
    gx, gy = un.autograd.grad((x * y).sum(), (x, y))
    np.testing.assert_allclose(gx.numpy(), B, **EXACT)
    np.testing.assert_allclose(gy.numpy(), A, **EXACT)
    assert x.grad is None
    with pytest.raises(errors.AutogradError, match=r"inputs\[0\] was not used.*allow_unused"):
        un.autograd.grad((x * 2).sum(), unused)
    assert un.autograd.grad((x * 2).sum(), unused, allow_unused=True) == (None,)
    (zeros,) = un.autograd.grad((x * 2).sum(), unused, materialize_grads=True)
    np.testing.assert_array_equal(zeros.numpy(), np.zeros_like(A))


def test_grad_of_an_interior_tensor(backend):
    x = leaf(A)
    y = x * 3
    (g,) = un.autograd.grad((y * y).sum(), y)
    np.testing.assert_allclose(g.numpy(), 6 * A, **EXACT)


def test_backward_of_several_roots(backend):
    x, t = leaf(A), native(A)
    un.autograd.backward([(x * 2).sum(), (x * x).sum()])
    torch.autograd.backward([(t * 2).sum(), (t * t).sum()])
    same(x.grad, t.grad)


def test_deepcopy_of_a_leaf_is_independent(backend):
    x = leaf(A)
    twin = copy.deepcopy(x)
    assert twin.requires_grad
    with un.no_grad():
        x.add_(1)
    np.testing.assert_array_equal(twin.detach().numpy(), A)
    with pytest.raises(errors.AutogradError, match="leaf"):
        copy.deepcopy(x * 2)


def test_long_chains_do_not_recurse(backend):
    x = leaf(A[0, :1])
    y = x
    for _ in range(3000):
        y = y + 1
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1.0])


def test_no_cotangent_is_computed_for_what_needs_none(backend):
    """On the tape the mask of the node names the operands that want one; torch prunes by itself."""
    product = leaf(A) * un.tensor(B)
    if product._node is not None:
        assert product._node.mask == ((0, -1),)
    product.sum().backward()


def test_gradient_on_another_backend_is_refused(backend):
    other = next(name for name in un.available_backends() if name != backend)
    y = leaf(A) * 2
    with un.backend(other):
        cotangent = un.tensor(B)
    with pytest.raises(errors.BackendError, match=other):
        y.backward(cotangent)


def test_message_of_a_freed_graph_is_the_same_everywhere():
    messages = set()
    for name in un.available_backends():
        with un.backend(name):
            x = leaf(A)
            y = (x * x).sum()
            y.backward()
            with pytest.raises(errors.FreedGraphError) as caught:
                y.backward()
            messages.add(str(caught.value).split("a second time", 1)[1])
    assert len(messages) == 1
