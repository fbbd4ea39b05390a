"""``func.vmap`` and ``func.jvp`` over the op database: a fixed sample here, every name in the full run.

``python -m tests.conformance --backend jax --check vmap`` runs one check on one backend. Tolerances are the op
database's (``tests/conformance/compare.py``): 1e-5 in float32, or 20 times what PyTorch's own float32 is off.
"""

from __future__ import annotations

import pytest
import torch

import unified as un
from tests.conformance import checks, database, sweep, transforms

EVERY = 30
"""One name of so many in `make test`."""
PARTS = 6
"""Of the full run: programs are let go between tests."""
BACKENDS = ("torch", "jax", "tensorflow")


def compare(backend: str, check: str, names: list[str], samples: int) -> None:
    results = sweep.run(backend, sweep.Step(check, "", samples), names)
    assert len(results) > 10
    wrong = [f"{r.name}: {r.failure or 'passes, though it is on the list'}" for r in results if r.unexpected]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("check", transforms.NAMES)
@pytest.mark.parametrize("name", BACKENDS)
def test_sample_of_the_op_database(name: str, check: str) -> None:
    compare(name, check, database.names_in_scope()[::EVERY], 1)


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("check", transforms.NAMES)
@pytest.mark.parametrize("name", BACKENDS)
def test_every_name_of_the_op_database(name: str, check: str, part: int) -> None:
    compare(name, check, database.names_in_scope()[part::PARTS], 8 if check == "vmap" else 4)


def test_a_wrong_transform_is_noticed() -> None:
    """A wrong result of an example, and the tangent of another function of the same value."""
    (info,) = database.entries()["exp"]
    (batch, *_) = transforms.batches(info, torch.float32, 0, 1)
    (drawn,) = database.samples(info, torch.float32, True, 0, 1)
    with un.backend("jax"):
        checks.vmap(info, un.exp, batch, torch.float32)
        checks.jvp(info, un.exp, drawn, torch.float32)
        with pytest.raises(checks.FailedError, match="example 0, result 0"):
            checks.vmap(info, lambda x: un.exp(x) * 1.001, batch, torch.float32)
        with pytest.raises(checks.FailedError, match="tangent 0"):
            checks.jvp(info, lambda x: un.exp(x.detach()) * x / x.detach(), drawn, torch.float32)


@pytest.mark.parametrize("name", ["exp", "mul", "linalg.inv", "var"])
def test_the_two_oracles_of_jvp_agree(name: str) -> None:
    """PyTorch's forward mode and the Jacobian of its reverse mode, real and complex, to 1e-10 in 64 bits."""
    info = database.entries()[name][0]
    for dtype in (torch.float64, torch.complex128):
        if not database.supports(info, dtype, True):
            continue
        (drawn,) = database.samples(info, dtype, True, 0, 1)
        leaves = transforms.oracle.inputs(drawn)
        tangents = transforms.oracle.cotangents(leaves, 1)
        with_forward = transforms._their_jvp(info, info.op, drawn, [0], tangents)[1][0]

        def function(*tensors: torch.Tensor, drawn=drawn, leaves=leaves) -> tuple[torch.Tensor, ...]:
            pairs = zip(leaves, tensors, strict=True)
            moved = transforms._substituted(drawn, {id(leaf): tensor for leaf, tensor in pairs})
            return (transforms.oracle.call(info.op, moved),)

        with_reverse = transforms._by_reverse_mode(function, leaves, tangents)[1][0]
        torch.testing.assert_close(with_forward, with_reverse, rtol=1e-10, atol=1e-10)
