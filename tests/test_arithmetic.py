"""Arithmetic, comparison and complex numbers where the op database draws no sample."""

from __future__ import annotations

import pytest

import unified as un
from unified.errors import ArgumentError, DTypeError, OperandError, ShapeError


def test_shifts_beyond_the_bits(backend: str) -> None:
    x = un.tensor([1, -1, 5, -7])
    by = un.tensor([32, 33, -1, 40])
    assert (x << by).tolist() == [0, 0, 0, 0]
    assert (x >> by).tolist() == [0, -1, 0, -1]
    assert (x << 1).tolist() == [2, -2, 10, -14]
    assert (2 << un.tensor([0, 1, 2])).tolist() == [2, 4, 8]
    x >>= 1
    assert x.tolist() == [0, -1, 2, -4]


def test_negative_powers_of_integers(backend: str) -> None:
    base, exponent = un.tensor([2, 1, -1, -1, 0, 3]), un.tensor([-1, -5, -2, -3, 2, 4])
    assert (base**exponent).tolist() == [0, 1, 1, -1, 0, 81]


def test_divisors_and_multiples(backend: str) -> None:
    x, y = un.tensor([12, -12, 0, 0, 7]), un.tensor([18, 18, 5, 0, -7])
    assert un.gcd(x, y).tolist() == [6, 6, 5, 0, 7]
    assert un.lcm(x, y).tolist() == [36, 36, 0, 0, 7]


def test_frexp_takes_floats_apart(backend: str) -> None:
    x = un.tensor([0.0, 6.0, -0.1, float("inf"), 2.0**-126, 2.0**127])
    mantissa, exponent = un.frexp(x)
    assert exponent.tolist()[:3] == [0, 3, -3]
    assert exponent.tolist()[4:] == [-125, 128]
    assert mantissa.tolist()[1] == 0.75
    assert exponent.dtype is un.int32


def test_parts_are_properties(backend: str) -> None:
    z = un.complex(un.tensor([1.0, 2.0]), un.tensor([3.0, 4.0]))
    assert z.real.tolist() == [1, 2]
    assert z.imag.tolist() == [3, 4]
    z.real = un.tensor([5.0, 6.0])
    z.imag = 0.5
    assert z.tolist() == [5 + 0.5j, 6 + 0.5j]
    x = un.tensor([1.0, 2.0])
    assert x.real.tolist() == [1, 2]
    with pytest.raises(DTypeError, match="imaginary"):
        _ = x.imag


def test_a_complex_number_is_true_unless_it_is_zero(backend: str) -> None:
    z = un.complex(un.tensor([0.0, 0.0, 1.0]), un.tensor([0.0, 1.0, 0.0]))
    assert z.bool().tolist() == [False, True, True]


def test_conversions_by_method(backend: str) -> None:
    x = un.tensor([1.5, -2.5])
    assert x.long().dtype is un.int64
    assert x.double().dtype is un.float64
    assert x.int().tolist() == [1, -2]
    assert x.float() is x
    assert x.half().dtype is un.float16
    assert x.cfloat().tolist() == [1.5, -2.5]


def test_answers_in_python_bools(backend: str) -> None:
    x = un.tensor([1.0, float("nan")])
    assert un.allclose(x, x) is False
    assert un.allclose(x, x, equal_nan=True) is True
    assert un.equal(x, x) is False
    assert un.equal(un.ones(2), un.ones(2)) is True
    assert un.equal(un.ones(2), un.ones(3)) is False


def test_float_power_is_precise(backend: str) -> None:
    power = un.float_power(un.tensor([3]), -1)
    assert power.dtype is un.float64
    assert power.tolist() == [1 / 3]


def test_what_makes_no_sense_is_refused(backend: str) -> None:
    x, z = un.ones(2), un.complex(un.ones(2), un.ones(2))
    with pytest.raises(DTypeError, match="real line"):
        _ = z < x
    with pytest.raises(DTypeError, match="floating point"):
        un.complex(x, un.tensor([1, 2]))
    with pytest.raises(ShapeError, match="two elements"):
        un.view_as_complex(un.ones(3))
    with pytest.raises(ArgumentError, match="rtol"):
        un.isclose(x, x, rtol=-1.0)
    with pytest.raises(DTypeError, match="integers"):
        un.gcd(x, x)
    with pytest.raises(DTypeError, match="real line"):
        un.hypot(z, z)
    with pytest.raises(DTypeError, match="one dtype"):
        un.heaviside(x, un.tensor([1, 2]))
    with pytest.raises(ShapeError, match="0-d"):
        un.fill(x, x)
    with pytest.raises(DTypeError, match="complex"):
        un.fill(x, 1j)
    with pytest.raises(OperandError, match="rsub"):
        un.rsub(1, x)
