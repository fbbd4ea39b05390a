"""PyTorch's conventions at kinks, ties, poles and infinities: values and gradients, NaN for NaN, on every backend."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import unified as un
from unified._dispatch import wrap
from unified._dtype import from_numpy_dtype
from unified.backends import registry

NAN, INF = float("nan"), float("inf")
ZEROS = [0.0, -0.0, 1.0, -2.0]
TIES = [1.0, 3.0, 3.0, -1.0]
HALVES = [-1.5, -0.5, 0.5, 1.5, 2.5, 0.0]

# (name, function of the library and its tensors, the tensors' values)
PROBES: list[tuple[str, Callable, list[list]]] = [
    ("abs at 0", lambda L, x: x.abs(), [ZEROS]),
    ("relu at 0", lambda L, x: L.relu(x), [ZEROS]),
    ("relu of nan", lambda L, x: L.relu(x), [[NAN, INF, -INF]]),
    ("sign", lambda L, x: L.sign(x), [[*ZEROS, NAN]]),
    ("clamp at both bounds", lambda L, x: x.clamp(0.0, 1.0), [[0.0, 1.0, -1.0, 2.0, 0.5]]),
    ("clamp at min", lambda L, x: x.clamp(min=0.0), [ZEROS]),
    ("clamp at max", lambda L, x: x.clamp(max=1.0), [TIES]),
    ("clamp of nan", lambda L, x: x.clamp(0.0, 1.0), [[NAN, INF, -INF]]),
    ("clamp by tensors", lambda L, x, a, b: L.clamp(x, a, b), [[0.0, 1.0, 5.0], [0.0, 2.0, 1.0], [3.0, 3.0, 5.0]]),
    ("clamp by crossed bounds", lambda L, x: x.clamp(2.0, 1.0), [[0.0, 1.5, 3.0]]),
    ("max over all, ties", lambda L, x: x.max(), [TIES]),
    ("min over all, ties", lambda L, x: x.min(), [[2.0, 2.0, 2.0]]),
    ("max along dim, ties", lambda L, x: x.max(0)[0], [TIES]),
    ("min along dim, ties", lambda L, x: x.min(0)[0], [[0.0, -0.0, 1.0]]),
    ("amax, ties", lambda L, x: x.amax(0), [TIES]),
    ("amax over two dims, ties", lambda L, x: x.amax((0, 1)), [[TIES, TIES]]),
    ("amin, ties", lambda L, x: x.amin(0), [[1.0, 1.0, 4.0]]),
    ("maximum, ties", lambda L, x, y: L.maximum(x, y), [[1.0, 2.0, 0.0], [1.0, 3.0, -0.0]]),
    ("minimum, ties", lambda L, x, y: L.minimum(x, y), [[1.0, 2.0, 0.0], [1.0, 3.0, -0.0]]),
    ("maximum with itself", lambda L, x: L.maximum(x, x), [TIES]),
    ("maximum, nan", lambda L, x, y: L.maximum(x, y), [[NAN, 2.0], [1.0, NAN]]),
    ("minimum, nan", lambda L, x, y: L.minimum(x, y), [[NAN, 2.0], [1.0, NAN]]),
    ("sort, ties", lambda L, x: L.sort(x, dim=0, stable=True)[0], [TIES]),
    ("sort descending, ties", lambda L, x: L.sort(x, dim=0, stable=True, descending=True)[0], [TIES]),
    ("norm at 0", lambda L, x: x.norm(), [[0.0, 0.0]]),
    ("norm rows, one of them 0", lambda L, x: x.norm(dim=1), [[[0.0, 0.0], [3.0, 4.0]]]),
    ("1-norm at 0", lambda L, x: x.norm(1), [[0.0, 1.0, -1.0]]),
    ("3-norm at 0", lambda L, x: x.norm(3), [[0.0, 0.0]]),
    ("1.5-norm with a 0", lambda L, x: x.norm(1.5), [[0.0, 0.0]]),
    ("inf-norm, ties", lambda L, x: x.norm(INF), [[2.0, -2.0, 1.0]]),
    ("std of a constant", lambda L, x: x.std(), [[2.0, 2.0, 2.0]]),
    ("var of a constant", lambda L, x: x.var(), [[2.0, 2.0, 2.0]]),
    ("std of one element", lambda L, x: x.std(), [[2.0]]),
    ("var of one element", lambda L, x: x.var(), [[2.0]]),
    ("prod, one 0", lambda L, x: x.prod(), [[2.0, 0.0, 3.0]]),
    ("prod, two 0", lambda L, x: x.prod(0), [[0.0, 4.0, 0.0]]),
    ("cumprod, one 0", lambda L, x: x.cumprod(0), [[2.0, 0.0, 3.0, 4.0]]),
    ("cumprod, two 0", lambda L, x: x.cumprod(0), [[2.0, 0.0, 3.0, 0.0, 5.0]]),
    ("where, nan in the dead branch", lambda L, x: L.where(x > 0, x, x * NAN), [[1.0, 2.0]]),
    ("where, log in the dead branch", lambda L, x: L.where(x > 0, x.log(), 0.0), [[1.0, 2.0]]),
    ("where, sqrt dead at 0", lambda L, x: L.where(x > 0, x.sqrt(), x), [[4.0, 0.0]]),
    ("sqrt at 0", lambda L, x: x.sqrt(), [[0.0, 4.0, -1.0]]),
    ("rsqrt at 0", lambda L, x: x.rsqrt(), [[0.0, 4.0]]),
    ("log at 0", lambda L, x: x.log(), [[0.0, 1.0, -1.0]]),
    ("log1p at -1", lambda L, x: x.log1p(), [[-1.0, 0.0]]),
    ("log2 at 0", lambda L, x: x.log2(), [[0.0, 1.0]]),
    ("reciprocal at 0", lambda L, x: x.reciprocal(), [ZEROS]),
    ("division by 0", lambda L, x, y: x / y, [[1.0, 0.0, -1.0], [0.0, 0.0, 0.0]]),
    ("number divided by 0", lambda L, x: 1.0 / x, [ZEROS]),
    ("pow 0 of 0", lambda L, x, y: x**y, [[0.0, 0.0, 2.0], [0.0, 2.0, 0.0]]),
    ("pow, negative of 0", lambda L, x, y: x**y, [[0.0], [-1.0]]),
    ("pow of a negative base", lambda L, x, y: x**y, [[-2.0, -2.0], [2.0, 3.0]]),
    ("x ** 0", lambda L, x: x**0, [ZEROS]),
    ("x ** 1", lambda L, x: x**1, [ZEROS]),
    ("x ** 2", lambda L, x: x**2, [ZEROS]),
    ("x ** 2.0", lambda L, x: x**2.0, [ZEROS]),
    ("x ** 3", lambda L, x: x**3, [ZEROS]),
    ("x ** 0.5", lambda L, x: x**0.5, [[0.0, 4.0, -1.0]]),
    ("x ** -1", lambda L, x: x**-1, [ZEROS]),
    ("x ** -0.5", lambda L, x: x**-0.5, [[0.0, 4.0]]),
    ("2 ** x", lambda L, x: 2**x, [ZEROS]),
    ("0 ** x", lambda L, x: 0.0**x, [[0.0, 1.0, -1.0]]),
    ("floor", lambda L, x: x.floor(), [HALVES]),
    ("ceil", lambda L, x: x.ceil(), [HALVES]),
    ("round", lambda L, x: x.round(), [HALVES]),
    ("trunc", lambda L, x: x.trunc(), [HALVES]),
    ("remainder at multiples", lambda L, x, y: x % y, [[4.0, -4.0, -3.0, 3.0], [2.0, 2.0, 2.0, -2.0]]),
    ("remainder by 0", lambda L, x, y: x % y, [[1.0], [0.0]]),
    ("fmod at multiples", lambda L, x, y: L.fmod(x, y), [[4.0, -4.0, -3.0, 3.0], [2.0, 2.0, 2.0, -2.0]]),
    ("floor division", lambda L, x: L.div(x, 2.0, rounding_mode="floor"), [[3.0, -3.0, 4.0]]),
    ("truncated division", lambda L, x: L.div(x, 2.0, rounding_mode="trunc"), [[3.0, -3.0, 4.0]]),
    ("logsumexp, one -inf", lambda L, x: x.logsumexp(0), [[-INF, 0.0, 1.0]]),
    ("logsumexp, all -inf", lambda L, x: x.logsumexp(0), [[-INF, -INF]]),
    ("logsumexp, inf", lambda L, x: x.logsumexp(0), [[INF, 0.0]]),
    ("logsumexp, huge", lambda L, x: x.logsumexp(0), [[1000.0, 1000.0]]),
    ("softmax, one -inf", lambda L, x: L.softmax(x, 0), [[-INF, 0.0, 0.0]]),
    ("softmax, all -inf", lambda L, x: L.softmax(x, 0), [[-INF, -INF]]),
    ("log_softmax, one -inf", lambda L, x: L.log_softmax(x, 0), [[-INF, 0.0, 0.0]]),
    ("softmax, huge", lambda L, x: L.softmax(x, 0), [[1000.0, 0.0]]),
    ("sigmoid, extremes", lambda L, x: x.sigmoid(), [[-200.0, 200.0, 0.0, INF, -INF]]),
    ("tanh, extremes", lambda L, x: x.tanh(), [[-200.0, 200.0, 0.0, INF]]),
    ("erf, extremes", lambda L, x: x.erf(), [[-20.0, 20.0, 0.0]]),
    ("exp, extremes", lambda L, x: x.exp(), [[-200.0, 200.0, 0.0]]),
    ("asin at 1", lambda L, x: x.asin(), [[1.0, 0.0, 2.0]]),
    ("acos at 1", lambda L, x: x.acos(), [[1.0, 0.0]]),
    ("atan2 at 0", lambda L, x, y: L.atan2(x, y), [[1.0, 0.0], [0.0, -1.0]]),
    ("logaddexp, equal", lambda L, x, y: L.logaddexp(x, y), [[1.0, 1000.0], [1.0, 1000.0]]),
    ("logaddexp, -inf", lambda L, x, y: L.logaddexp(x, y), [[-INF, 0.0], [0.0, -INF]]),
]


def to_unified(values: list) -> un.Tensor:
    array = np.asarray(values, np.float32)
    native = registry.load(un.get_backend()).from_numpy(array, from_numpy_dtype(array.dtype), None)
    return wrap(native).requires_grad_()


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")  # torch's, of the variance of one element
@pytest.mark.parametrize(("function", "values"), [probe[1:] for probe in PROBES], ids=[probe[0] for probe in PROBES])
def test_kink_is_torch_s(backend: str, function: Callable, values: list[list]) -> None:
    ours = [to_unified(value) for value in values]
    theirs = [torch.tensor(value, requires_grad=True) for value in values]
    found, expected = function(un, *ours), function(torch, *theirs)
    # Elementary functions are not correctly rounded: a few units in the last place. Infinities and NaN are exact.
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-6, atol=1e-7)
    found.sum().backward()
    expected.sum().backward()
    for x, t in zip(ours, theirs, strict=True):
        assert x.grad is not None
        np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=2e-6, atol=1e-7)


def test_there_are_enough_probes() -> None:
    assert len(PROBES) >= 80
