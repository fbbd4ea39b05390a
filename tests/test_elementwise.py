"""Elementwise ops against torch: values, gradients, operators, in-place forms, errors, and what recompiles."""

from __future__ import annotations

import logging
from collections.abc import Callable

import jax
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import unified as un
from unified._dispatch import wrap
from unified._dtype import from_numpy_dtype
from unified.backends import registry

# Elementary functions are not correctly rounded; libraries differ by a few units in the last place of float32.
TOLERANCE = {"rtol": 5e-6, "atol": 1e-6}


def to_unified(array: np.ndarray, requires_grad: bool = False) -> un.Tensor:
    native = registry.load(un.get_backend()).from_numpy(array, from_numpy_dtype(array.dtype), None)
    return wrap(native).requires_grad_(requires_grad)


def sample(*shape: int, low: float = -2.0, high: float = 2.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def agree(function: Callable, reference: Callable, *arrays: np.ndarray) -> None:
    floating = [array.dtype.kind == "f" for array in arrays]
    ours = [to_unified(array, flag) for array, flag in zip(arrays, floating, strict=True)]
    theirs = [torch.tensor(array, requires_grad=flag) for array, flag in zip(arrays, floating, strict=True)]
    found, expected = function(*ours), reference(*theirs)
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), **TOLERANCE)
    if not expected.requires_grad:
        return
    weight = sample(*expected.shape, seed=7)
    (found * to_unified(np.asarray(weight))).sum().backward()
    (expected * torch.tensor(weight)).sum().backward()
    for x, t in zip(ours, theirs, strict=True):
        if t.grad is not None:
            assert x.grad is not None
            np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), **TOLERANCE)


UNARY = [
    "neg", "abs", "sign", "exp", "expm1", "square", "reciprocal", "sin", "cos", "tan", "atan", "sinh", "cosh", "tanh",
    "sigmoid", "erf", "relu", "floor", "ceil", "round", "trunc", "isnan", "isinf", "isfinite", "logical_not", "clone",
]  # fmt: skip
POSITIVE = ["log", "log1p", "log2", "sqrt", "rsqrt"]
UNIT = ["asin", "acos"]


@pytest.mark.parametrize("name", UNARY + POSITIVE + UNIT)
def test_unary(backend: str, name: str) -> None:
    low = 0.1 if name in POSITIVE else -0.9 if name in UNIT else -2.0
    array = sample(3, 4, low=low, high=0.9 if name in UNIT else 2.0)
    method = name if hasattr(torch, name) else "clone"
    agree(lambda x: getattr(x, name)(), getattr(torch, method), array)


@pytest.mark.parametrize("name", ["exp", "log1p", "sqrt", "sigmoid", "tanh", "erf", "reciprocal"])
def test_float_functions_of_integers(backend: str, name: str) -> None:
    array = np.array([1, 2, 3], np.int32)
    agree(getattr(un, name), getattr(torch, name), array)
    assert getattr(un, name)(to_unified(array)).dtype is un.float32


BINARY = [
    "add", "sub", "mul", "div", "floor_divide", "remainder", "fmod", "maximum", "minimum", "atan2", "logaddexp", "eq",
    "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor",
]  # fmt: skip


@pytest.mark.parametrize("name", BINARY)
def test_binary_broadcasts(backend: str, name: str) -> None:
    arrays = sample(3, 1, 4, low=0.5), sample(2, 1, low=0.5, seed=1)
    if name == "floor_divide":  # torch records no derivative for it
        np.testing.assert_array_equal(
            un.floor_divide(*[to_unified(a) for a in arrays]).numpy(),
            torch.floor_divide(*[torch.tensor(a) for a in arrays]).numpy(),
        )
        return
    agree(getattr(un, name), getattr(torch, name), *arrays)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "floor_divide", "remainder", "fmod", "maximum", "eq", "lt"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32"])
def test_binary_of_integers(backend: str, name: str, dtype: str) -> None:
    arrays = np.array([7, 5, 9], dtype), np.array([2, 5, 4], dtype)
    agree(getattr(un, name), getattr(torch, name), *arrays)


@pytest.mark.parametrize("name", ["bitwise_and", "bitwise_or", "bitwise_xor"])
@pytest.mark.parametrize("dtype", ["bool", "int32", "uint8"])
def test_bitwise(backend: str, name: str, dtype: str) -> None:
    agree(getattr(un, name), getattr(torch, name), np.array([1, 0, 1], dtype), np.array([1, 1, 0], dtype))
    agree(un.bitwise_not, torch.bitwise_not, np.array([1, 0, 1], dtype))


OPERATORS: list[tuple[str, Callable]] = [
    ("x + 1", lambda x: x + 1),
    ("1 + x", lambda x: 1 + x),
    ("x - 0.5", lambda x: x - 0.5),
    ("2 - x", lambda x: 2 - x),
    ("x * 3", lambda x: x * 3),
    ("3 * x", lambda x: 3 * x),
    ("x / 4", lambda x: x / 4),
    ("2 / x", lambda x: 2 / x),
    ("x % 0.3", lambda x: x % 0.3),
    ("-x", lambda x: -x),
    ("abs(x)", lambda x: abs(x)),
    ("x ** 2", lambda x: x**2),
    ("x ** 3", lambda x: x**3),
    ("x ** 0.5", lambda x: x**0.5),
    ("2 ** x", lambda x: 2**x),
    ("x ** -1", lambda x: x**-1),
    ("x ** x", lambda x: x**x),
    ("x > 1", lambda x: x > 1),
    ("1 > x", lambda x: 1 > x),  # noqa: SIM300 (the reflected operator is meant)
    ("x == x", lambda x: x == x),
    ("alpha", lambda x: x.add(x, alpha=3)),
    ("sub alpha", lambda x: x.sub(x, alpha=2)),
    ("clamp", lambda x: x.clamp(0.5, 1.5)),
    ("clamp min", lambda x: x.clamp(min=1)),
    ("lerp", lambda x: x.lerp(x * x, 0.3)),
    ("addcmul", lambda x: x.addcmul(x, x, value=0.5)),
    ("addcdiv", lambda x: x.addcdiv(x, x + 1, value=2)),
    ("~", lambda x: ~(x > 1)),
    ("&", lambda x: (x > 1) & (x < 2)),
]


@pytest.mark.parametrize("function", [f for _, f in OPERATORS], ids=[name for name, _ in OPERATORS])
def test_operators(backend: str, function: Callable) -> None:
    agree(function, function, sample(2, 3, low=0.2, high=2.5))


def test_number_modulo_tensor_has_a_gradient(backend: str) -> None:
    agree(lambda x: 1.5 % x, lambda t: torch.remainder(torch.tensor(1.5), t), sample(2, 3, low=0.2))


@pytest.mark.parametrize("number", [2, 3, 2.5])
def test_floor_division(backend: str, number: float) -> None:
    array = np.array([7.0, -7.0, 8.0], np.float32)
    np.testing.assert_array_equal((to_unified(array) // number).numpy(), (torch.tensor(array) // number).numpy())
    np.testing.assert_array_equal((number // to_unified(array)).numpy(), np.floor(number / array))


def test_in_place_operators_rebind_one_tensor(backend: str) -> None:
    x = to_unified(np.array([1.0, 2.0], np.float32))
    same, other = x, x.detach()
    x += 1
    x *= 2
    x -= 0.5
    x /= 2
    x **= 2
    assert same is x
    np.testing.assert_allclose(x.numpy(), [1.75**2, 2.75**2], rtol=1e-6)
    np.testing.assert_array_equal(other.numpy(), [1.0, 2.0])


def test_in_place_methods(backend: str) -> None:
    x = to_unified(np.array([-1.0, 4.0], np.float32))
    assert x.abs_().sqrt_().add_(x, alpha=2).clamp_(max=5.0) is x
    np.testing.assert_array_equal(x.numpy(), [3.0, 5.0])
    with pytest.raises(un.errors.ShapeError, match="in-place result of shape"):
        x.add_(to_unified(np.ones((3, 2), np.float32)))
    with pytest.raises(un.errors.DTypeError, match="cannot be cast to int32"):
        to_unified(np.array([1], np.int32)).mul_(0.5)


def test_in_place_records(backend: str) -> None:
    x = to_unified(np.array([1.0, 2.0], np.float32), requires_grad=True)
    y = x * 2
    y += x
    y.pow_(2)
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [18.0, 36.0], rtol=1e-6)


@pytest.mark.filterwarnings("ignore:Using backward\\(\\) with create_graph=True")  # torch's, of its own cycle
def test_second_derivatives(backend: str) -> None:
    for function in (lambda x: x**3, lambda x: x.tanh(), lambda x: x.sigmoid() * x, lambda x: 1 / x, lambda x: x**x):
        x = to_unified(np.array([0.5, 1.5], np.float32), requires_grad=True)
        t = torch.tensor([0.5, 1.5], requires_grad=True)
        function(x).sum().backward(create_graph=True)
        (first,) = torch.autograd.grad(function(t).sum(), t, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), t)
        found, x.grad = x.grad, None
        assert found is not None
        found.sum().backward()
        assert x.grad is not None
        # Two passes of float32 rounding through products of the function's parts.
        np.testing.assert_allclose(x.grad.numpy(), second.numpy(), rtol=2e-5, atol=2e-6)


@settings(max_examples=6)
@given(data=st.data())
def test_broadcast_gradients_of_any_shapes(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 3), max_size=3))
    ones = data.draw(st.lists(st.booleans(), min_size=len(shape), max_size=len(shape)))
    dropped = data.draw(st.integers(0, len(shape)))
    other = [1 if one else n for one, n in zip(ones, shape, strict=True)][dropped:]
    for name in un.available_backends():
        with un.backend(name):
            arrays = np.asarray(sample(*shape)), np.asarray(sample(*other, seed=1))
            agree(un.mul, torch.mul, *arrays)
            agree(un.maximum, torch.maximum, *arrays)


BAD_CALLS = [
    (lambda x: x + to_unified(np.ones(4, np.float32)), ValueError, "do not broadcast"),
    (lambda x: x.div(2, rounding_mode="up"), ValueError, "rounding_mode must be None, 'trunc' or 'floor', not 'up'"),
    (lambda x: x & 1, TypeError, "bitwise operations take integers and bools"),
    (lambda x: x.clamp(), ValueError, "give min, max or both"),
    (lambda x: -(x > 1), TypeError, "bools cannot be negated"),
    (lambda x: (x > 1).to(un.int32) ** -1, TypeError, "int32 elements to the power -1 are no integers"),
    (lambda x: x + "a", TypeError, "must be a Tensor or a number, not str"),
]


@pytest.mark.parametrize(("call", "kind", "message"), BAD_CALLS)
def test_bad_arguments_read_the_same_everywhere(backend: str, call: Callable, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        call(to_unified(sample(2, 3)))
    assert isinstance(caught.value, un.errors.OpError)


class _Compiles(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.names.append(record.getMessage())


def test_numbers_compile_nothing_on_jax() -> None:
    """A Python number is a dynamic argument: the second value of each runs the first one's program."""
    functions = [
        lambda x, v: x * v, lambda x, v: v - x, lambda x, v: x**v, lambda x, v: x.clamp(v, v + 1), lambda x, v: x / v,
        lambda x, v: x.add(x, alpha=v), lambda x, v: x.lerp(x, v), lambda x, v: x.addcmul(x, x, value=v),
        lambda x, v: un.where(x > v, v, x),
    ]  # fmt: skip
    handler = _Compiles()
    logger = logging.getLogger("jax")
    with un.backend("jax"):
        x = to_unified(sample(5, low=0.5), requires_grad=True)
        for function in functions:
            function(x, 0.25).sum().backward()
        logger.addHandler(handler)
        try:
            with jax.log_compiles():
                for value in (0.35, 0.45, 0.55):
                    for function in functions:
                        function(x, value).sum().backward()
                assert not handler.names
                (to_unified(sample(6)) * 0.3).sum()  # another shape does compile, so the count works
                assert handler.names
        finally:
            logger.removeHandler(handler)


PRODUCTS: list[tuple[str, Callable, list[tuple[int, ...]]]] = [
    ("matmul", lambda L, a, b: a @ b, [(2, 3, 4), (4, 5)]),
    ("matmul broadcast", lambda L, a, b: a @ b, [(2, 1, 3, 4), (5, 4, 2)]),
    ("matmul vectors", lambda L, a, b: a @ b, [(4,), (4,)]),
    ("matmul vector left", lambda L, a, b: a @ b, [(4,), (2, 4, 3)]),
    ("matmul vector right", lambda L, a, b: a @ b, [(2, 3, 4), (4,)]),
    ("mm", lambda L, a, b: a.mm(b), [(3, 4), (4, 2)]),
    ("bmm", lambda L, a, b: a.bmm(b), [(2, 3, 4), (2, 4, 2)]),
    ("mv", lambda L, a, b: a.mv(b), [(3, 4), (4,)]),
    ("dot", lambda L, a, b: a.dot(b), [(4,), (4,)]),
    ("outer", lambda L, a, b: a.outer(b), [(4,), (3,)]),
    ("addmm", lambda L, c, a, b: L.addmm(c, a, b, beta=0.5, alpha=2.0), [(2,), (3, 4), (4, 2)]),
    ("baddbmm", lambda L, c, a, b: L.baddbmm(c, a, b), [(2, 3, 2), (2, 3, 4), (2, 4, 2)]),
    ("einsum", lambda L, a, b: L.einsum("bij,bjk->bik", a, b), [(2, 3, 4), (2, 4, 5)]),
    ("einsum attention", lambda L, a, b: L.einsum("bhqd, bhkd -> bhqk", a, b), [(2, 2, 3, 4), (2, 2, 5, 4)]),
    ("einsum implicit", lambda L, a, b: L.einsum("ij,jk", a, b), [(3, 4), (4, 2)]),
    ("einsum trace", lambda L, a: L.einsum("ii", a), [(3, 3)]),
    ("einsum ellipsis", lambda L, a, b: L.einsum("...i,ij->...j", a, b), [(2, 3, 4), (4, 2)]),
    ("einsum three", lambda L, a, b, c: L.einsum("ij,jk,kl->il", a, b, c), [(2, 3), (3, 4), (4, 2)]),
]


@pytest.mark.parametrize(("function", "shapes"), [p[1:] for p in PRODUCTS], ids=[p[0] for p in PRODUCTS])
def test_products(backend: str, function: Callable, shapes: list[tuple[int, ...]]) -> None:
    arrays = [sample(*shape, seed=index) for index, shape in enumerate(shapes)]
    agree(lambda *x: function(un, *x), lambda *t: function(torch, *t), *arrays)


BAD_PRODUCTS = [
    (lambda a, b: a @ b, ValueError, "cannot be multiplied"),
    (lambda a, b: a.bmm(b), ValueError, "operand 0 must have 3 dimensions"),
    (lambda a, b: un.einsum("ij,jk->ik", a, b), ValueError, "'j' in 'ij,jk->ik' is 3 in one operand and 2"),
    (lambda a, b: un.einsum("ij->ik", a), ValueError, r"has \['k'\] in its result"),
    (lambda a, b: un.einsum("ij", a, b), ValueError, "names 1 operands, but got 2"),
]


@pytest.mark.parametrize(("call", "kind", "message"), BAD_PRODUCTS)
def test_bad_products_read_the_same_everywhere(backend: str, call: Callable, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        call(to_unified(sample(2, 3)), to_unified(sample(2, 3)))
