"""Derivatives of derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.contract.row import SQUARE, A, B, Run, Theme, leaf

row = Theme(__name__)


@row
def up_to_the_third_order(lib: Any, run: Run) -> Any:
    """Each ``grad(create_graph=True)`` may be differentiated again."""
    x = leaf(lib, A)

    def derive() -> Any:
        found, value = [], (x.sin() * x**3).sum()
        for _ in range(3):
            (g,) = lib.autograd.grad(value, x, create_graph=True)
            found.append(g.detach())
            value = g.sum()
        return found

    return run(derive)()


@row
def what_create_graph_returns_requires_grad(lib: Any, run: Run) -> Any:
    """With ``create_graph`` a gradient is in the graph, without it is not."""
    x = leaf(lib, A)

    def rules() -> Any:
        loss = (x**3).sum()
        (live,) = lib.autograd.grad(loss, x, create_graph=True)
        (plain,) = lib.autograd.grad(loss, x)
        return live.requires_grad, live.is_leaf, plain.requires_grad

    return run(rules)()


@row
def mixed_partials_are_equal(lib: Any, run: Run) -> Any:
    """d2/dxdy and d2/dydx."""
    x, y = leaf(lib, A), leaf(lib, B)

    def derive() -> Any:
        value = ((x * y).sin() * x).sum()
        gx, gy = lib.autograd.grad(value, (x, y), create_graph=True)
        (xy,) = lib.autograd.grad(gx.sum(), y, retain_graph=True)
        (yx,) = lib.autograd.grad(gy.sum(), x)
        return xy, yx

    return run(derive)()


@row
def a_hessian_vector_product_by_reverse_over_reverse(lib: Any, run: Run) -> Any:
    """The gradient of <gradient, v>."""
    x, v = leaf(lib, A), lib.tensor(B)

    def derive() -> Any:
        (g,) = lib.autograd.grad((x.exp() * x.sum()).sum(), x, create_graph=True)
        return lib.autograd.grad((g * v).sum(), x)

    return run(derive)()


@row
def a_hessian_vector_product_by_cotangent(lib: Any, run: Run) -> Any:
    """The same with ``v`` as the cotangent of the gradient."""
    x, v = leaf(lib, A), lib.tensor(B)

    def derive() -> Any:
        (g,) = lib.autograd.grad((x.exp() * x.sum()).sum(), x, create_graph=True)
        return lib.autograd.grad(g, x, grad_outputs=v)

    return run(derive)()


@row
def forward_mode_by_two_reverses(lib: Any, run: Run) -> Any:
    """A Jacobian-vector product as the derivative of a vjp by its cotangent."""
    x, dummy, v = leaf(lib, A), leaf(lib, np.zeros_like(A)), lib.tensor(B)

    def derive() -> Any:
        (pulled,) = lib.autograd.grad(x.exp() * x.sum(), x, dummy, create_graph=True)
        return lib.autograd.grad(pulled, dummy, v)

    return run(derive)()


@row
def a_gradient_penalty(lib: Any, run: Run) -> Any:
    """The norm of an input gradient in the loss of a training step (WGAN-GP)."""
    w, x = leaf(lib, B), leaf(lib, A)

    def step() -> None:
        (g,) = lib.autograd.grad((x * w).tanh().sum(), x, create_graph=True)
        ((g.norm() - 1) ** 2).backward()

    run(step)()
    return w.grad


@row
def create_graph_accumulates_a_graph_in_grad(lib: Any, run: Run) -> Any:
    """After ``backward(create_graph=True)`` the ``.grad`` is part of a graph."""
    x = leaf(lib, A)

    def step() -> Any:
        (x**3).sum().backward(create_graph=True)
        live = x.grad.requires_grad
        held, x.grad = x.grad, None
        (held * held).sum().backward()
        return live, held.detach()

    return run(step)(), x.grad


@row
def create_graph_adds_to_a_graph_in_grad(lib: Any, run: Run) -> Any:
    """Two such passes: the sum of both is differentiable."""
    x = leaf(lib, A)

    def step() -> None:
        (x**3).sum().backward(create_graph=True)
        (x**2).sum().backward(create_graph=True)
        held, x.grad = x.grad, None
        held.sum().backward()

    run(step)()
    return x.grad


def _twice(name: str, what: str, function: Any, *values: Any) -> None:
    """A row: the gradient of the squared gradient of ``function``."""

    def body(lib: Any, run: Run) -> Any:
        leaves = [leaf(lib, value) for value in values]

        def derive() -> Any:
            result = function(lib, *leaves)
            first = lib.autograd.grad((result * result).sum(), leaves, create_graph=True)
            total = sum((g * g).sum() for g in first)
            return [g.detach() for g in first], lib.autograd.grad(total, leaves, materialize_grads=True)

        return run(derive)()

    body.__name__ = f"double_backward_of_{name}"
    body.__doc__ = f"The second order of {what}."
    row(body)


_IMAGE = np.linspace(-1, 1, 50, dtype=np.float32).reshape(1, 2, 5, 5)
_KERNEL = np.linspace(-0.5, 0.7, 36, dtype=np.float32).reshape(2, 2, 3, 3)

_twice("matmul", "a matrix product", lambda lib, a, b: a @ b, A, SQUARE)
_twice("conv2d", "a strided convolution", lambda lib, x, w: lib.conv2d(x, w, stride=2), _IMAGE * 0.5, _KERNEL * 0.5)
_twice("softmax", "softmax and its logarithm", lambda lib, x: lib.softmax(x, 1) + lib.log_softmax(x, 0), A)
_twice("norm", "norms, by rows and overall", lambda lib, x: x.norm(dim=1) * x.norm(), A)
_twice("layer_norm", "layer normalization", lambda lib, x, w: lib.nn.functional.layer_norm(x * w, (3,), w), A, B[0])
_twice("indexing", "slices, gathers and concatenation", lambda lib, x: lib.cat([x[:, 1:], x[[1, 0, 1]].T[:2]], 1), A)
_twice("solve", "a linear system and a determinant", lambda lib, m: lib.linalg.solve(m, m.T) * lib.det(m), SQUARE)
_twice("where", "a choice and a clamp", lambda lib, x: lib.where(x > 0, x**3, x.exp()) + x.clamp(-1.0, 1.0) ** 2, A)


@row
def a_second_order_of_a_linear_function_is_unused(lib: Any, run: Run) -> Any:
    """The gradient of a linear function does not depend on its input: None, or zeros if asked."""
    x, w = leaf(lib, A), leaf(lib, B)

    def derive() -> Any:
        (g,) = lib.autograd.grad((x * w).sum(), x, create_graph=True)
        first = lib.autograd.grad(g.sum(), x, allow_unused=True, retain_graph=True)
        return first, lib.autograd.grad(g.sum(), w)

    return run(derive)()


@row
def second_order_through_a_function(lib: Any, run: Run) -> Any:
    """A compiled forward may be differentiated twice outside."""
    x = leaf(lib, A)
    value = run(lambda t: (t.sin() * t).sum())(x)
    (g,) = lib.autograd.grad(value, x, create_graph=True)
    (second,) = lib.autograd.grad((g * g).sum(), x)
    return g.detach(), second


@row
def an_inner_loop_is_differentiated(lib: Any, run: Run) -> Any:
    """MAML: the derivative of a loss after one step of gradient descent, by the start."""
    start, target = leaf(lib, A), lib.tensor(B)

    def step() -> Any:
        inner = ((start - target) ** 2 * start.exp()).mean()
        (g,) = lib.autograd.grad(inner, start, create_graph=True)
        adapted = start - 0.1 * g
        loss = ((adapted * target) ** 2).sum()
        loss.backward()
        return loss.detach()

    return run(step)(), start.grad
