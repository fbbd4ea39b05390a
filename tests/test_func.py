"""Function transforms: each, and each nested in each, against ``torch.func`` on the same numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.func

import unified as un
from unified import errors, func

CLOSE = {"rtol": 2e-5, "atol": 2e-5}
"""float32, after up to three differentiations of sums of some ten terms of size one."""

_X = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
_W = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)


def same(found, expected):
    """Whether two nestings have one structure and close values."""
    if isinstance(expected, torch.Tensor):
        assert isinstance(found, un.Tensor)
        assert tuple(found.shape) == tuple(expected.shape)
        np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), **CLOSE)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            same(found[key], expected[key])
    elif isinstance(expected, (tuple, list)):
        assert type(found) is type(expected)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    else:
        assert found == expected


def compare(program, *arrays):
    """``program(module, math, *tensors)`` gives the same with ours as with PyTorch's."""
    found = program(func, un, *[un.tensor(array) for array in arrays])
    same(found, program(torch.func, torch, *[torch.tensor(array) for array in arrays]))
    return found


def test_grad(backend):
    compare(lambda f, m, x: f.grad(lambda x: (x.sin() * x).sum())(x), _X)
    compare(lambda f, m, x, w: f.grad(lambda x, w: (x @ w).tanh().sum(), argnums=1)(x, w), _X, _W)
    compare(lambda f, m, x, w: f.grad(lambda x, w: (x @ w).tanh().sum(), argnums=(1, 0))(x, w), _X, _W)
    compare(lambda f, m, x, w: f.grad(lambda x, w: (x @ w).tanh().sum(), argnums=-1)(x, w), _X, _W)
    compare(lambda f, m, x, w: f.grad(lambda x, *, k: (x * k).sum())(x, k=2.0), _X, _W)


def test_grad_has_aux(backend):
    def loss(x):
        y = x.sin()
        return (y * x).sum(), (y, y + 1)

    compare(lambda f, m, x: f.grad(loss, has_aux=True)(x), _X)
    compare(lambda f, m, x: f.grad_and_value(loss, has_aux=True)(x), _X)
    x = un.tensor(_X)
    (value, aux), gradient = func.value_and_grad(lambda x: (loss(x)[0], {"y": x.sin(), "note": "kept"}), 0, True)(x)
    assert aux["note"] == "kept"
    assert not value.requires_grad
    assert not aux["y"].requires_grad
    np.testing.assert_allclose(gradient.numpy(), (x.cos() * x + x.sin()).numpy(), **CLOSE)


def test_nested_containers(backend):
    def loss(params, x):
        return ((x @ params["w"] + params["b"][0]) * params["b"][1]).cos().sum()

    def program(f, m, x, w):
        params = {"w": w, "b": [w[0], (w[1] + 1)]}
        rows = f.jacrev(lambda p, x: {"out": x @ p["w"], "two": (p["b"][0], x)}, argnums=(0, 1))(params, x)
        return f.grad(loss)(params, x), f.grad_and_value(loss, argnums=(0, 1))(params, x), rows

    compare(program, _X, _W)


def test_vjp(backend):
    def program(f, m, x, w):
        output, pull = f.vjp(lambda x, w: (x @ w, {"s": x.sin()}), x, w)
        once = pull((output[0] * 2, {"s": output[1]["s"]}))
        twice = pull((output[0] * 2, {"s": output[1]["s"]}))
        aux = f.vjp(lambda x: (x.exp(), x.sum()), x, has_aux=True)
        return output, once, twice, aux[0], aux[2], aux[1](x)

    compare(program, _X, _W)


def test_jvp(backend):
    def program(f, m, x, w):
        both = f.jvp(lambda x, w: {"a": x @ w, "b": (x.sin(), w)}, (x, w), (x * 2, w.cos()))
        aux = f.jvp(lambda x: (x.exp(), x.sum()), (x,), (x,), has_aux=True)
        unused = f.jvp(lambda x: (x.detach() * 2, x * 3), (x,), (x,))
        return both, aux, unused

    compare(program, _X, _W)
    with pytest.raises(errors.FunctionTransformError, match="strict"):
        func.jvp(lambda x: un.ones(2), (un.ones(2),), (un.ones(2),), strict=True)


def test_linearize(backend):
    x, t = un.tensor(_X), un.tensor(_X).cos()
    calls = []

    def function(x):
        calls.append(1)
        return {"y": x.sin() * x.sum()}

    output, push = func.linearize(function, x)
    expected = torch.func.jvp(lambda x: {"y": x.sin() * x.sum()}, (torch.tensor(_X),), (torch.tensor(_X).cos(),))
    same((output, push(t)), expected)
    same(push(t * 2), {"y": expected[1]["y"] * 2})
    assert len(calls) == 1


def test_jacobians_and_hessian(backend):
    def program(f, m, x, w):
        def function(x, w):
            return (x @ w).sin(), w.sum(0)

        def loss(x, w):
            return ((x @ w).sin() ** 2).sum()

        return [
            f.jacrev(function, argnums=(0, 1))(x, w),
            f.jacfwd(function, argnums=(0, 1))(x, w),
            f.jacrev(function, argnums=1, chunk_size=3)(x, w),
            f.jacfwd(lambda x: (x.sin(), x.sum()), has_aux=True)(x),
            f.jacrev(lambda x: (x.sin(), x.sum()), has_aux=True)(x),
            f.hessian(loss)(x, w),
            f.hessian(loss, argnums=(0, 1))(x, w),
        ]

    compare(program, _X, _W)


def _to_scalar(f, name, g):
    """``name`` applied to ``g``, a function from a matrix to a matrix of its shape; again such a function."""
    return {
        "grad": lambda x: f.grad(lambda x: (g(x) * x).sum())(x),
        "vjp": lambda x: f.vjp(g, x)[1](x.sin())[0],
        "jvp": lambda x: f.jvp(g, (x,), (x.cos(),))[1],
        "vmap": lambda x: f.vmap(lambda r: g(r.reshape(1, -1)).reshape(-1), in_dims=0)(x),
        "jacrev": lambda x: f.jacrev(lambda y: g(y).sum(1))(x).sum(0),
        "jacfwd": lambda x: f.jacfwd(lambda y: g(y).sum(1))(x).sum(0),
        "linearize": lambda x: f.linearize(g, x)[1](x.cos()) if f is func else f.jvp(g, (x,), (x.cos(),))[1],
    }[name]


_NAMES = ("grad", "vjp", "jvp", "vmap", "jacrev", "jacfwd")


@pytest.mark.parametrize("names", list(itertools.product(_NAMES, _NAMES)), ids="-".join)
def test_every_pair(backend, names):
    def program(f, m, x):
        function = lambda x: x.sin() * x.exp()  # noqa: E731
        for name in reversed(names):
            function = _to_scalar(f, name, function)
        return function(x)

    compare(program, _X)


_TRIPLES = [t for i, t in enumerate(itertools.product(_NAMES, repeat=3)) if i % 9 == 4]


@pytest.mark.parametrize("names", _TRIPLES, ids="-".join)
def test_triples(backend, names):
    test_every_pair(backend, names)


@pytest.mark.full
@pytest.mark.parametrize("names", list(itertools.product(_NAMES, repeat=3)), ids="-".join)
def test_every_triple(backend, names):
    test_every_pair(backend, names)


def test_closures_of_inner_transforms_are_constants(backend):
    """Perturbation confusion: the inner derivative must not see the outer's variable as its own."""
    compare(lambda f, m, x: f.grad(lambda x: x * f.grad(lambda y: x * y)(x))(x), np.float32(3))
    compare(lambda f, m, x: f.jvp(lambda x: x * f.jvp(lambda y: x + y, (x,), (x,))[1], (x,), (x,)), np.float32(3))
    compare(lambda f, m, x: f.grad(lambda x: f.jvp(lambda y: x * y, (x,), (x,))[1])(x), np.float32(3))
    compare(lambda f, m, x: f.jvp(lambda x: f.grad(lambda y: x * y * y)(x), (x,), (x,)), np.float32(3))


@pytest.mark.parametrize("transform", [*_NAMES, "hessian", "linearize"])
def test_a_loss_through_transforms_backpropagates(backend, transform):
    """To an argument that requires grad, and to one that the function closes over."""

    def program(f, m, x, w):
        x.requires_grad_()
        w.requires_grad_()
        g = lambda x: ((x @ w).tanh() @ w.transpose(0, 1)) * x  # noqa: E731
        if transform == "hessian":
            loss = f.hessian(lambda x: g(x).sum())(x).cos().sum()
        else:
            loss = _to_scalar(f, transform, g)(x).cos().sum()
        loss.backward()
        return loss.detach(), x.grad, w.grad

    found = compare(program, _X, _W)
    assert found[1] is not None


def test_autograd_grad_outside(backend):
    x = un.tensor(_X).requires_grad_()
    inner = func.grad(lambda y: (y.sin() * x).sum())(x)
    (second,) = un.autograd.grad(inner.sum(), x, create_graph=True)
    np.testing.assert_allclose(second.detach().numpy(), (x.cos() - x.sin() * x).detach().numpy(), **CLOSE)
    second.sum().backward()
    expected = -x.sin() - x.sin() - x.cos() * x
    np.testing.assert_allclose(x.grad.numpy(), expected.detach().numpy(), **CLOSE)


def test_results_require_grad_when_something_outside_does(backend):
    x = un.tensor(_X)
    assert not func.grad(lambda x: (x * x).sum())(x).requires_grad
    assert not func.jacrev(lambda x: x * x)(x).requires_grad
    assert not func.hessian(lambda x: (x * x).sum())(x).requires_grad
    assert not func.vmap(func.grad(lambda x: (x * x).sum()))(x).requires_grad
    w = un.tensor(_X).requires_grad_()
    assert func.grad(lambda x: (x * x * w).sum())(x).requires_grad
    with un.no_grad():
        gradient = func.grad(lambda x: (x * x * w).sum())(x)
    assert not gradient.requires_grad
    np.testing.assert_allclose(gradient.numpy(), (2 * x * w).detach().numpy(), **CLOSE)
    assert w.grad is None


def test_no_grad_within(backend):
    def program(f, m, x):
        def function(x):
            with m.no_grad():
                held = x * 2
            return (held * x).sum()

        return f.grad(function)(x)

    compare(program, _X)


def test_complex(backend):
    z = (_X + 1j * _X[::-1]).astype(np.complex64)

    def program(f, m, z):
        def function(z):
            return (z * z).sin() * z.conj()

        def energy(z):
            return function(z).abs().sum()

        rows = f.vjp(function, z)[1](z)
        return f.jvp(function, (z,), (z * 1j,)), rows, f.grad(energy)(z), f.vmap(f.grad(energy))(z)

    compare(program, z)
    compare(lambda f, m, z: f.jvp(lambda z: f.vjp(lambda y: y * y * y.conj(), z)[1](z)[0], (z,), (z,)), z)


def test_in_place_methods_rebind_within(backend):
    def program(f, m, x):
        def function(x):
            y = x * 2
            y.mul_(x)
            y += 1
            return y.sum()

        return f.grad(function)(x), f.vmap(function)(x), f.jvp(function, (x,), (x,))

    compare(program, _X)


@pytest.mark.parametrize(
    ("attempt", "kind", "reason"),
    [
        (lambda x: func.grad(lambda x: x * 2)(x), errors.FunctionTransformError, "without dimensions"),
        (lambda x: func.grad(lambda x: 1.0)(x), errors.FunctionTransformError, "float"),
        (lambda x: func.grad(lambda x: x.sum(), has_aux=True)(x), errors.FunctionTransformError, "has_aux"),
        (lambda x: func.grad(lambda x: x.sum(), argnums=1)(x), errors.ArgumentError, "out of range"),
        (lambda x: func.grad(lambda x: x.sum(), argnums=(0, 0))(x, x), errors.ArgumentError, "twice"),
        (lambda x: func.grad(lambda x: x.sum(), argnums="x")(x), errors.OperandError, "argnums"),
        (lambda x: func.grad(lambda x: x.sum())(x.to(un.int32)), errors.DTypeError, "int32"),
        (lambda x: func.grad(lambda x: x)(2.0), errors.OperandError, "at least one Tensor"),
        (lambda x: func.vjp(lambda x: x.to(un.int32), x), errors.DTypeError, "outputs must be floating"),
        (lambda x: func.vjp(lambda x: (x, 3), x), errors.FunctionTransformError, "returned int"),
        (lambda x: func.vjp(lambda x: x, x)[1]((x,)), errors.FunctionTransformError, "structure"),
        (lambda x: func.vjp(lambda x: x, x)[1](x[0]), errors.ShapeError, "cotangent of shape"),
        (lambda x: func.jvp(lambda x: x, x, (x,)), errors.OperandError, "must be a tuple"),
        (lambda x: func.jvp(lambda x: x, (x,), (x, x)), errors.FunctionTransformError, "structure"),
        (lambda x: func.jvp(lambda x: x, (x,), (x[0],)), errors.ShapeError, "tangent of shape"),
        (lambda x: func.jvp(lambda x: x, (x,), (x.to(un.float64),)), errors.DTypeError, "float64"),
        (lambda x: func.jvp(lambda x: None, (x,), (x,)), errors.FunctionTransformError, "NoneType"),
        (lambda x: func.jacrev(lambda x: x, chunk_size=0)(x), errors.ArgumentError, "chunk_size"),
        (lambda x: func.jacfwd(lambda x: x, argnums=2)(x), errors.ArgumentError, "out of range"),
    ],
)  # fmt: skip
def test_bad_input(backend, attempt, kind, reason):
    x = un.tensor(_X)
    with pytest.raises(kind, match=reason):
        attempt(x)
    np.testing.assert_array_equal(x.numpy(), _X)
    same(func.grad(lambda x: (x * x).sum())(x), 2 * torch.tensor(_X))  # nothing is left over


def test_arguments_of_two_backends_are_refused():
    first, second, *_ = un.available_backends()
    with un.backend(first):
        x = un.ones(2)
    with un.backend(second):
        y = un.ones(2)
    with pytest.raises(errors.BackendMismatchError, match=f"{first}|{second}"):
        func.grad(lambda x, y: x.sum(), argnums=(0, 1))(x, y)
    with pytest.raises(errors.BackendMismatchError):
        func.vmap(lambda x, y: x)(x, y)


def test_a_value_that_outlives_its_transform_says_so():
    for name in un.available_backends():
        held = []
        with un.backend(name):
            x = un.tensor(_X)
            func.vmap(lambda x, held=held: held.append(x) or x)(x)
            func.jvp(lambda x, held=held: held.append(x) or x, (x,), (x,))
            if name != "torch":
                for each, transform in zip(held, ("vmap", "jvp"), strict=True):
                    with pytest.raises(errors.FunctionTransformError, match=transform):
                        each + 1
