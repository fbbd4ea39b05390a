"""``autograd.Function`` within and around transforms, ``custom_op`` and what both refuse; oracle: native PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import unified as un
from unified import errors, func

X = np.array([1.0, 2.0, 3.0], np.float32)
CLOSE = {"rtol": 1e-6, "atol": 1e-6}
"""Products of small integers: exact, up to the last place of a sigmoid."""


def marked(lib):
    """A square whose derivatives are wrong on purpose, so that it shows whose rule was used."""

    class Square(lib.autograd.Function):
        generate_vmap_rule = True  # what functorch asks for; ours needs no word

        @staticmethod
        def forward(x, w):
            return x * x * w

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            return g * 7 * x * w, g * x * x

        @staticmethod
        def jvp(ctx, x_t, w_t):
            x, _ = ctx.saved_tensors
            return x_t * 100 * x

    return Square.apply


def _leaves(lib):
    return lib.tensor(X, requires_grad=True), lib.tensor(2.0, requires_grad=True)


def vmap_then_backward(lib, f, square):
    x, w = _leaves(lib)
    f.vmap(lambda t: square(t, w))(x).sum().backward()
    return x.grad, w.grad


def grad(lib, f, square):
    x, w = _leaves(lib)
    return [f.grad(lambda t: square(t, w.detach()).sum())(x.detach())]


def vmap_of_grad(lib, f, square):
    x, w = (t.detach() for t in _leaves(lib))
    by_second = f.vmap(f.grad(square, argnums=1), in_dims=(0, None))
    return f.vmap(f.grad(lambda t: square(t, w)))(x), by_second(x, w)


def backward_through_vmap_of_grad(lib, f, square):
    x, w = _leaves(lib)
    g = f.vmap(f.grad(lambda t: square(t, w)))(x)
    (g * g).sum().backward()
    return x.grad, w.grad


def jacobian_of_grad(lib, f, square):
    x, w = (t.detach() for t in _leaves(lib))
    return [f.jacrev(f.grad(lambda t: square(t, w).sum()))(x)]


def forward_derivative(lib, f, square):
    x, w = (t.detach() for t in _leaves(lib))
    return f.jvp(lambda t: square(t, w), (x,), (x * 0 + 1,))


def vmap_of_forward_derivative(lib, f, square):
    x, w = (t.detach() for t in _leaves(lib))
    return f.vmap(lambda t: f.jvp(lambda s: square(s, w), (t,), (t * 0 + 1,)))(x)


PROGRAMS = [
    vmap_then_backward, grad, vmap_of_grad, backward_through_vmap_of_grad, jacobian_of_grad, forward_derivative,
    vmap_of_forward_derivative,
]  # fmt: skip


def _agree(ours, theirs):
    for mine, native in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.detach().numpy(), native.detach().numpy(), **CLOSE)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_function_brings_its_rule_into_every_transform(backend, program):
    _agree(program(un, func, marked(un)), program(torch, torch.func, marked(torch)))


def test_without_a_jvp_forward_mode_is_refused(backend):
    class Twice(un.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    with pytest.raises(errors.FunctionTransformError, match=r"define its static method jvp"):
        func.jvp(Twice.apply, (un.tensor(X),), (un.tensor(X),))


def test_a_function_is_not_made(backend):
    with pytest.raises(errors.OperandError, match="is not to be made"):
        type("Empty", (un.autograd.Function,), {})()


def test_a_saved_number_is_refused(backend):
    class Saves(un.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(3)
            return x

    with pytest.raises(errors.OperandError, match="set it as an attribute"):
        Saves.apply(un.tensor(X))


# ---- custom_op ---------------------------------------------------------------------------------------------------

_CALLS: list[str] = []


def _kernel(name, function):
    def kernel(*natives):
        _CALLS.append(name)
        return function(*natives)

    return kernel


@un.custom_op("tests::swish", impl={"torch": _kernel("torch", lambda x, beta: x * torch.sigmoid(x * beta))})
def swish(x: un.Tensor, beta: float = 1.0) -> un.Tensor:
    """``x`` times the sigmoid of ``beta * x``."""
    _CALLS.append("fallback")
    return x * un.sigmoid(x * beta)


def _times_seven(ctx, g):
    x, y = ctx.saved_tensors
    return g * 7 * (1 - y * y) + 0 * x


@un.custom_op("tests::tanh", vjp=_times_seven)
def marked_tanh(x: un.Tensor) -> un.Tensor:
    """tanh, with seven times its derivative."""
    return x.tanh()


def test_a_kernel_runs_on_its_backend_and_the_fallback_elsewhere(backend):
    x, t = un.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    _CALLS.clear()
    y = swish(x, beta=2.0)
    assert set(_CALLS) <= {"torch" if backend == "torch" else "fallback"}
    want = t * torch.sigmoid(t * 2)
    (g,) = un.autograd.grad(y.sum(), x, create_graph=True)
    (h,) = torch.autograd.grad(want.sum(), t, create_graph=True)
    _agree([y, g, *un.autograd.grad(g.sum(), x)], [want, h, *torch.autograd.grad(h.sum(), t)])
    _agree([func.vmap(lambda s: swish(s, 2.0))(x.detach())], [want])


@pytest.mark.parametrize("wrapper", [lambda f: f, un.compile], ids=["eager", "compiled"])
def test_a_vjp_of_ones_own_is_the_derivative(backend, wrapper):
    x, t = un.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    wrapper(lambda x: marked_tanh(x).sum())(x).backward()
    torch.tanh(t).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 7 * t.grad.numpy(), rtol=1e-4)  # 1 - y * y loses digits near 1


def test_custom_op_refuses_what_it_cannot_declare():
    with pytest.raises(errors.ArgumentError, match="exists"):
        un.custom_op("tests::swish")(lambda x: x)
    with pytest.raises(errors.ArgumentError, match="no backend is called 'mxnet'"):
        un.custom_op("tests::new", impl={"mxnet": lambda x: x})
    with pytest.raises(errors.ArgumentError, match="there is no vjp"):
        un.custom_op("tests::new", setup_context=lambda ctx, inputs, output: None)
    with pytest.raises(errors.ArgumentError, match=r"annotate \['x', 'return'\]"):
        un.custom_op("tests::new")(lambda x: x)
