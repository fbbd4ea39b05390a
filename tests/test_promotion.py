"""Type promotion is ``torch.result_type``'s, with Python numbers weak and 32 bits where PyTorch defaults to 64.

The table is whole: 12 dtypes by 12, each as a tensor with dimensions and without, and by Python numbers.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
import torch

import unified as un
from unified._dispatch import wrap
from unified._dtype import dtype_named
from unified.backends import registry

DTYPES = [
    "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64",
    "complex128",
]  # fmt: skip
NUMBERS = [True, 3, 2.5, 1j]
OPERATIONS: dict[str, Callable] = {
    "add": lambda L, x, y: x + y,
    "mul": lambda L, x, y: x * y,
    "div": lambda L, x, y: x / y,
    "pow": lambda L, x, y: x**y,
    "where": lambda L, x, y: L.where(x == x, x, y),
    "cat": lambda L, x, y: L.cat([x, y]),
}
NARROW = {"int64": "int32", "float64": "float32", "complex128": "complex64"}


def to_unified(dtype: str, shape: tuple[int, ...]) -> un.Tensor:
    backend = registry.load(un.get_backend())
    return wrap(backend.from_numpy(np.ones(shape), dtype_named(dtype), None))


def to_torch(dtype: str, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.ones(shape, dtype=getattr(torch, dtype))


def expected(found: torch.dtype, *given: str) -> str:
    """What torch's dtype is called here: narrow unless an operand is 64-bit; complex64 for complex32."""
    name = str(found).removeprefix("torch.")
    if name == "complex32":
        return "complex64"
    kinds = {"int64": {"int64"}, "float64": {"float64", "complex128"}, "complex128": {"float64", "complex128"}}
    return name if kinds.get(name, set()) & set(given) else NARROW.get(name, name)


def torch_refuses(operation: str, *dtypes: Any) -> bool:
    return operation == "pow" and all(dtype == "bool" or isinstance(dtype, bool) for dtype in dtypes)


@pytest.fixture(autouse=True)
def _no_complex_half_warning() -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="ComplexHalf support is experimental")
        yield


RANKS = [
    pytest.param((2,), (2,), id="tensors"),
    pytest.param((2,), (), id="and a 0-d tensor"),
    pytest.param(
        (), (2,), id="0-d tensor and a tensor", marks=pytest.mark.full
    ),  # the mirror image of the one before
    pytest.param((), (), id="0-d tensors", marks=pytest.mark.full),
]


def torch_dtype(operation: str, x: Any, y: Any) -> torch.dtype:
    """PyTorch's dtype: of its result, or by its rule where the CPU has no kernel for complex halves."""
    try:
        return OPERATIONS[operation](torch, x, y).dtype
    except NotImplementedError:
        return torch.result_type(x, y)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("shape", "other"), RANKS)
@pytest.mark.parametrize("first", DTYPES)
def test_tensor_with_tensor(
    backend: str, operation: str, first: str, shape: tuple[int, ...], other: tuple[int, ...]
) -> None:
    if operation == "cat" and not (shape and other):
        shape, other = (1,), (3,)  # 0-d tensors cannot be joined
    for second in DTYPES:
        if torch_refuses(operation, first, second):
            continue
        found = OPERATIONS[operation](un, to_unified(first, shape), to_unified(second, other)).dtype.name
        theirs = torch_dtype(operation, to_torch(first, shape), to_torch(second, other))
        assert found == expected(theirs, first, second), (first, shape, second, other)


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "cat"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_tensor_with_number(backend: str, operation: str, dtype: str) -> None:
    function = OPERATIONS[operation]
    for number, shape in itertools.product(NUMBERS, ((2,), ())):
        if torch_refuses(operation, dtype, number):
            continue
        x, t = to_unified(dtype, shape), to_torch(dtype, shape)
        found = function(un, x, number).dtype.name
        assert found == expected(torch_dtype(operation, t, number), dtype), (dtype, number, shape)
        if operation in ("add", "mul"):
            assert function(un, number, x).dtype.name == found, (number, dtype, shape)


def test_result_type(backend: str) -> None:
    shapes = [((2,), (2,)), ((2,), ()), ((), (2,)), ((), ())]
    for first, second, (shape, other) in itertools.product(DTYPES, DTYPES, shapes):
        found = un.result_type(to_unified(first, shape), to_unified(second, other)).name
        assert found == expected(torch.result_type(to_torch(first, shape), to_torch(second, other)), first, second)
    for dtype, number, shape in itertools.product(DTYPES, NUMBERS, ((2,), ())):
        x, t = to_unified(dtype, shape), to_torch(dtype, shape)
        assert un.result_type(x, number).name == expected(torch.result_type(t, number), dtype)
        assert un.result_type(number, x).name == expected(torch.result_type(number, t), dtype)


def test_promote_types_and_can_cast_are_torch_s() -> None:
    for first, second in itertools.product(DTYPES, DTYPES):
        one, two = dtype_named(first), dtype_named(second)
        theirs = [getattr(torch, name) for name in (first, second)]
        assert un.promote_types(one, two).name == str(torch.promote_types(*theirs)).removeprefix("torch.")
        assert un.can_cast(one, two) is torch.can_cast(*theirs), (first, second)


@pytest.mark.parametrize("dtype", ["int64", "float64", "complex128"])
def test_64_bits_leave_the_process_s_jax_flag_off(backend: str, dtype: str) -> None:
    x = to_unified(dtype, (2, 2))
    y = (x + 1) * 2 - x
    assert y.dtype.name == dtype
    if y.dtype.is_inexact:
        x.requires_grad_()
        (x * 0.5).sum().real.backward() if y.dtype.is_complex else (x * 0.5).sum().backward()
        assert x.grad is not None
        assert x.grad.dtype.name == dtype
    assert not jax.config.jax_enable_x64
    assert jax.numpy.asarray(2.0).dtype == np.float32


def test_a_number_keeps_its_double_precision_beside_float64(backend: str) -> None:
    x = to_unified("float64", (2,)).requires_grad_()
    y = x * 0.1
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(y.detach().numpy(), np.full(2, 0.1))
    np.testing.assert_array_equal(x.grad.numpy(), np.full(2, 0.1))


def test_a_zero_dimensional_half_stays_half_in_backward(backend: str) -> None:
    x = to_unified("float16", ()).requires_grad_()
    (x * 2.0).backward()
    assert x.grad is not None
    assert x.grad.dtype is un.float16
    assert x.grad.item() == 2.0


def test_where_of_two_numbers(backend: str) -> None:
    condition = to_unified("bool", (2,))
    assert un.where(condition, 1.0, 2.0).dtype is un.float32
    assert un.where(condition, 1, 2).dtype is un.int32
    half = to_unified("float16", ())
    assert (un.where(condition, 1.0, 2.0) * half).dtype is un.float32  # its result is no longer a weak number


def test_bools_are_not_subtracted(backend: str) -> None:
    with pytest.raises(un.errors.DTypeError, match="bools cannot be subtracted"):
        to_unified("bool", (2,)) - to_unified("bool", (2,))
