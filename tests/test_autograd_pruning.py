"""What backward does not compute, counted on the tape. PyTorch's engine prunes by itself and calls no pullback."""

from __future__ import annotations

import pytest

import unified as un
from unified._dispatch import Op

Mask = tuple[tuple[int, int], ...]


@pytest.fixture
def pulled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Mask]]:
    """The pullbacks that are asked for within the test, as (op, operands that get a cotangent)."""
    calls: list[tuple[str, Mask]] = []
    original = Op.pullback

    def pullback(op: Op, mask: Mask) -> Op:
        calls.append((op.name, mask))
        return original(op, mask)

    monkeypatch.setattr(Op, "pullback", pullback)
    return calls


def test_an_operand_that_needs_no_gradient_gets_no_cotangent(backend: str, pulled: list[tuple[str, Mask]]) -> None:
    x, w = un.ones(3, 4), un.ones(4, 2).requires_grad_()
    (x @ w).sum().backward()
    masks = [mask for name, mask in pulled if name == "matmul"]
    assert masks == ([] if backend == "torch" else [((1, -1),)])
    assert w.grad.tolist() == [[3.0, 3.0]] * 4


def test_grad_pulls_only_the_path_to_its_inputs(backend: str, pulled: list[tuple[str, Mask]]) -> None:
    a, b = un.zeros(3).requires_grad_(), un.zeros(3).requires_grad_()
    loss = (un.tanh(a) * un.exp(b)).sum()
    (gradient,) = un.autograd.grad(loss, [a])
    names = [name for name, _ in pulled]
    assert "exp" not in names
    assert ("tanh" in names) == (backend != "torch")
    assert gradient.tolist() == [1.0, 1.0, 1.0]
