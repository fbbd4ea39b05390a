"""PyTorch's conventions at kinks hold in every mode and order; ``tests/kinks`` has the long list of them."""

from __future__ import annotations

from typing import Any

from tests.contract.row import Run, Theme, leaf

row = Theme(__name__)


@row
def kinks_of_elementwise_functions(lib: Any, run: Run) -> Any:
    """``abs`` and ``relu`` at 0, ``clamp`` at its bounds, ``maximum`` at a tie."""
    x, y = leaf(lib, [0.0, -0.0, 1.0, -1.0]), leaf(lib, [0.0, 1.0, 1.0, -1.0])
    run(lambda: (x.abs() + lib.relu(x) + x.clamp(-1.0, 1.0) + lib.maximum(x, y)).sum().backward())()
    return x.grad, y.grad


@row
def ties_of_reductions(lib: Any, run: Run) -> Any:
    """``max`` over all and ``amax`` share a tie's gradient, ``max(dim)`` and ``median`` pick one."""
    x = leaf(lib, [2.0, 3.0, 3.0, 1.0])
    run(lambda: (x.max() + x.amax(0) * 2 + x.max(0)[0] * 3 + x.median() * 5).backward())()
    return x.grad


@row
def a_dead_branch_gives_no_nan_to_the_live_one(lib: Any, run: Run) -> Any:
    """``where`` with a NaN in the branch not chosen; ``norm`` of zeros; ``cumprod`` and ``prod`` with a zero."""
    x, z = leaf(lib, [1.0, 0.0, 2.0]), leaf(lib, [0.0, 0.0])
    run(lambda: (lib.where(x > 0, x, x / 0).sum() + z.norm() + x.cumprod(0).sum() + x.prod()).backward())()
    return x.grad, z.grad


@row
def kinks_in_the_second_order(lib: Any, run: Run) -> Any:
    """The derivative of PyTorch's choice at a kink is zero there."""
    x = leaf(lib, [0.0, -0.0, 1.0, -2.0])

    def derive() -> Any:
        (g,) = lib.autograd.grad(
            (x.abs() * x + lib.relu(x) ** 2 + x.clamp(0.0, 1.0) ** 3).sum(), x, create_graph=True
        )
        return g.detach(), lib.autograd.grad(g.sum(), x)

    return run(derive)()


@row
def kinks_of_a_forward_differentiated_outside(lib: Any, run: Run) -> Any:
    """A whole program's derivative keeps the rules of its ops."""
    x = leaf(lib, [0.0, -0.0, 1.0, 1.0])
    run(lambda: (x.abs() + lib.relu(x) + x.clamp(0.0, 1.0)).sum() + x.max() + x.norm())().backward()
    return x.grad
