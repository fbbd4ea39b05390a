"""Type promotion is ``torch.result_type``'s, with Python numbers weak and 32 bits where PyTorch defaults to 64."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch

import unified as un
from unified._dispatch import wrap
from unified._dtype import DType, dtype_named
from unified.backends import registry

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "float16", "bfloat16", "float32"]
SCALARS = [True, 3, 2.5]
OPERATIONS: dict[str, Callable] = {
    "add": lambda L, x, y: x + y,
    "mul": lambda L, x, y: x * y,
    "div": lambda L, x, y: x / y,
    "where": lambda L, x, y: L.where(x > 0, x, y),
    "pow": lambda L, x, y: x**y,
}


def to_unified(dtype: str, shape: tuple[int, ...]) -> un.Tensor:
    found: DType = dtype_named(dtype)
    return wrap(registry.load(un.get_backend()).from_numpy(np.ones(shape), found, None))


def expected_name(reference: torch.Tensor, *dtypes: str) -> str:
    """What torch's dtype is called with 32-bit defaults (no operand here is 64-bit)."""
    assert "int64" not in dtypes
    return {"int64": "int32"}.get(name := str(reference.dtype).removeprefix("torch."), name)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_tensor_with_tensor(backend: str, operation: str) -> None:
    function = OPERATIONS[operation]
    # Half of the lattice (it is symmetric) keeps the number of programs that XLA builds down.
    for first, second in itertools.combinations_with_replacement(DTYPES, 2):
        if operation == "pow" and first == second == "bool":
            continue  # torch has no power of bools
        for shape, other in ((2,), (2,)), ((2,), ()), ((), (2,)):
            x, y = to_unified(first, shape), to_unified(second, other)
            t = torch.ones(shape, dtype=getattr(torch, first))
            u = torch.ones(other, dtype=getattr(torch, second))
            found = function(un, x, y).dtype.name
            assert found == expected_name(function(torch, t, u), first, second), (first, shape, second, other)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_tensor_with_number(backend: str, operation: str) -> None:
    function = OPERATIONS[operation]
    for dtype, number, shape in itertools.product(DTYPES, SCALARS, ((2,), ())):
        if operation == "pow" and dtype == "bool" and number is True:
            continue  # torch has no power of bools
        x, t = to_unified(dtype, shape), torch.ones(shape, dtype=getattr(torch, dtype))
        found = function(un, x, number)
        assert found.dtype.name == expected_name(function(torch, t, number), dtype), (dtype, number, shape)


@pytest.mark.parametrize("number", SCALARS)
def test_number_with_tensor(backend: str, number: float) -> None:
    for dtype in DTYPES:
        x, t = to_unified(dtype, (2,)), torch.ones(2, dtype=getattr(torch, dtype))
        assert (number * x).dtype.name == expected_name(number * t, dtype)
        assert (number + x).dtype.name == expected_name(number + t, dtype)


def test_64_bits_where_an_operand_has_them(backend: str) -> None:
    assert (to_unified("int64", (2,)) + 1).dtype is un.int64
    assert (to_unified("float64", (2,)) * to_unified("float32", (2,))).dtype is un.float64
    assert (to_unified("int32", (2,)) * to_unified("int64", (2,))).dtype is un.int64
    assert (to_unified("float64", ()) * 0.1).dtype is un.float64


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
