"""Tensors in einops, numpy and DLPack, with einops over numpy, and PyTorch's own rules, as the oracle."""

from __future__ import annotations

import subprocess
import sys

import einops
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import unified as un
from unified import errors, nn
from unified.interop.einops import EinMix, Rearrange, Reduce

A = np.arange(2 * 3 * 4 * 6, dtype=np.float32).reshape(2, 3, 4, 6) / 10 - 3
TOLERANCE = 1e-5
"""Relative: float32 sums in another order than numpy's."""

CASES = {
    "rearrange": lambda x: einops.rearrange(x, "b c (h p) (w q) -> b (h w) (p q c)", p=2, q=3),
    "rearrange nothing": lambda x: einops.rearrange(x, "a b c d -> a b c d"),
    "rearrange a list": lambda x: einops.rearrange([x, x * 2], "n b c h w -> b (n c) h w"),
    "sum": lambda x: einops.reduce(x, "b c h w -> b c", "sum"),
    "mean": lambda x: einops.reduce(x, "b c (h 2) (w 2) -> b h w c", "mean"),
    "max": lambda x: einops.reduce(x, "b c (h 2) (w 2) -> b c h w", "max"),
    "min to a number": lambda x: einops.reduce(x, "b c h w -> ", "min"),
    "prod": lambda x: einops.reduce(x, "b c h w -> h", "prod"),
    "any": lambda x: einops.reduce(x > 3, "b c h w -> b c", "any"),
    "all": lambda x: einops.reduce(x > -3, "b c h w -> b c", "all"),
    "repeat": lambda x: einops.repeat(x, "b c h w -> b (c r) k h w", r=2, k=3),
    "einsum": lambda x: einops.einsum(x, x, "b c h w, b d h w -> b c d"),
    "pack": lambda x: einops.pack([x, x[:, :2]], "b * h w")[0],
    "unpack": lambda x: einops.unpack(x, [[2], [4]], "b c h *")[1],
}


@pytest.mark.parametrize("case", CASES)
def test_einops_takes_tensors(backend: str, case: str) -> None:
    found, expected = CASES[case](un.tensor(A)), CASES[case](A)
    assert isinstance(found, un.Tensor)
    assert found.backend == backend
    assert tuple(found.shape) == np.shape(expected)
    np.testing.assert_allclose(found.numpy(), expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_shapes_are_parsed_and_refused(backend: str) -> None:
    x = un.tensor(A)
    assert einops.parse_shape(x, "b _ h w") == {"b": 2, "h": 4, "w": 6}
    with pytest.raises(einops.EinopsError, match="can't divide axis of length 4 in chunks of 3"):
        einops.rearrange(x, "b c (h p) w -> b c h p w", p=3)


def test_gradients_flow_through_and_programs_hold_it(backend: str) -> None:
    def f(x: un.Tensor) -> un.Tensor:
        rows = einops.rearrange(x, "b c h w -> (b c) (h w)")
        return einops.reduce(rows, "n d -> n", "max") * einops.einsum(rows, rows, "n d, n d -> n")

    x, y = un.tensor(A).requires_grad_(), un.tensor(A).requires_grad_()
    t = torch.tensor(A, requires_grad=True)
    f(x).sum().backward()
    f(t).sum().backward()
    un.compile(f)(y).sum().backward()
    for found in (x.grad, y.grad):
        np.testing.assert_allclose(found.numpy(), t.grad.numpy(), rtol=TOLERANCE, atol=TOLERANCE)


def test_layers(backend: str) -> None:
    import einops.layers.torch as of_torch

    mine = (
        Rearrange("b c h w -> b (h w) c"), Reduce("b (n k) c -> b n c", "mean", k=3),
        EinMix("b n (g i) -> b (g o) n", "g i o", "o", g=1, i=3, o=5), EinMix("b o n -> b n", "o", o=5),
    )  # fmt: skip
    theirs = (
        of_torch.Rearrange("b c h w -> b (h w) c"), of_torch.Reduce("b (n k) c -> b n c", "mean", k=3),
        of_torch.EinMix("b n (g i) -> b (g o) n", "g i o", "o", g=1, i=3, o=5),
        of_torch.EinMix("b o n -> b n", "o", o=5),
    )  # fmt: skip
    ours, reference = nn.Sequential(*mine), torch.nn.Sequential(*theirs)
    assert repr(ours) == repr(reference)
    assert list(ours.state_dict()) == list(reference.state_dict())
    bound = (3 / 3) ** 0.5
    assert float(mine[2].weight.detach().abs().max()) <= bound
    ours.load_state_dict(reference.state_dict())
    y, s = ours(un.tensor(A)), reference(torch.tensor(A))
    np.testing.assert_allclose(y.detach().numpy(), s.detach().numpy(), rtol=TOLERANCE, atol=TOLERANCE)
    y.square().sum().backward()
    s.square().sum().backward()
    for p, q in zip(ours.parameters(), reference.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=TOLERANCE, atol=TOLERANCE * 10)


IMPORTS = {
    "before": "import einops; import unified as un",
    "after": "import unified as un; import einops",
    "by hand": "import unified as un; x = un.ones(2, 3); import einops; import unified.interop.einops",
}


@pytest.mark.parametrize("order", IMPORTS)
def test_the_order_of_imports(order: str) -> None:
    code = f"{IMPORTS[order]}; x = un.ones(2, 3); print(tuple(einops.rearrange(x, 'a b -> b a').shape))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "(3, 2)", done.stderr


def test_unified_does_not_import_einops() -> None:
    code = "import sys, unified as un; un.ones(2); print('einops' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "False", done.stderr


def test_arrays_of_tensors(backend: str) -> None:
    x = un.tensor(A)
    for make in (np.asarray, np.array, lambda v: np.array(v, np.float64), lambda v: np.asarray(v, dtype="float16")):
        found, expected = make(x), make(A)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    copied = np.array(x)
    copied[:] = 0
    np.testing.assert_array_equal(x.numpy(), A)


def test_numpys_numbers_are_numbers(backend: str) -> None:
    x, t = un.tensor(A), torch.tensor(A)
    for f in (
        lambda v: v * np.float32(2), lambda v: np.float32(2) * v, lambda v: v + np.int64(1),
        lambda v: np.float64(3) - v, lambda v: v > np.float32(0), lambda v: v / np.int32(4),
    ):  # fmt: skip
        found, expected = f(x), f(t)
        assert isinstance(found, un.Tensor)
        assert found.dtype.name == str(expected.dtype).removeprefix("torch.")
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=TOLERANCE)


def test_numpys_arrays_are_no_operands(backend: str) -> None:
    """On either side: numpy would otherwise compute with the values, and a gradient would end without a word."""
    x = un.ones(3).requires_grad_()
    for f in (lambda: x + np.ones(3), lambda: np.ones(3) + x, lambda: np.ones((2, 3)) @ x, lambda: np.ones(3) > x):
        with pytest.raises(errors.OperandError, match=r"not ndarray; make one with un.tensor"):
            f()


def test_dlpack_out(backend: str) -> None:
    x = un.tensor(A)
    for take in (torch.from_dlpack, jnp.from_dlpack, np.from_dlpack):
        np.testing.assert_array_equal(np.asarray(take(x)), A)
    with pytest.raises(errors.AutogradError, match=r"export x.detach\(\)"):
        torch.from_dlpack(x.clone().requires_grad_())
    with pytest.raises(errors.TracedValueError, match="from_dlpack"):
        un.compile(lambda v: np.from_dlpack(v))(x)


def test_dlpack_in(backend: str) -> None:
    sources = (torch.tensor(A), jnp.asarray(A), A, un.tensor(A), torch.tensor(A, requires_grad=True))
    for source in sources:
        found = un.from_dlpack(source)
        assert (found.backend, found.dtype, found.requires_grad) == (backend, un.float32, False)
        np.testing.assert_array_equal(found.numpy(), A)
    wide = un.from_dlpack(torch.arange(3))
    assert wide.dtype is un.int64
    with pytest.raises(errors.OperandError, match="a list does not speak DLPack"):
        un.from_dlpack([1.0])


def test_dlpack_shares_and_a_change_of_ours_stays_ours(backend: str) -> None:
    x = un.tensor(A)
    outside = torch.from_dlpack(x)
    x += 1
    np.testing.assert_array_equal(outside.numpy(), A)
    inside = un.from_dlpack(outside)
    inside.zero_()
    np.testing.assert_array_equal(outside.numpy(), A)
