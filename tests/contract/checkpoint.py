"""``utils.checkpoint``: values are computed again in backward, and nothing else changes."""

from __future__ import annotations

from typing import Any

from tests.contract.modules import linear
from tests.contract.row import A, B, Run, Theme, leaf

row = Theme(__name__, needs="checkpoint")


def checkpoint(lib: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
    """PyTorch's checkpoint in the form that it recommends."""
    if lib.__name__ == "torch":
        from torch.utils.checkpoint import checkpoint as native

        return native(function, *args, use_reentrant=False, **kwargs)
    return lib.utils.checkpoint.checkpoint(function, *args, use_reentrant=False, **kwargs)


@row
def the_values_and_gradients_are_the_same(lib: Any, run: Run) -> Any:
    """Arguments and what the function closes over both get gradients."""
    x, w = leaf(lib, A), leaf(lib, B)

    def step() -> Any:
        y = checkpoint(lib, lambda t: (t * w).sin() * t, x)
        (y * y).sum().backward()
        return y.detach()

    return run(step)(), x.grad, w.grad


@row
def the_function_runs_again_in_backward(lib: Any, run: Run) -> Any:
    """Once forward, once in backward."""
    x = leaf(lib, A)

    def step() -> Any:
        calls: list[str] = []

        def counted(t: Any) -> Any:
            calls.append("call")
            return t.exp()

        y = checkpoint(lib, counted, x)
        before = len(calls)
        y.sum().backward()
        return before, len(calls)

    return run(step)(), x.grad


@row
def keyword_arguments_and_several_outputs(lib: Any, run: Run) -> Any:
    """Arguments of any kind pass through; a tuple comes back."""
    x, w = leaf(lib, A), leaf(lib, B)

    def pair(a: Any, factor: float, *, other: Any) -> Any:
        return a * other * factor, (a + other).exp()

    def step() -> None:
        product, total = checkpoint(lib, pair, x, 3.0, other=w)
        (product + total).sum().backward()

    run(step)()
    return x.grad, w.grad


@row
def random_numbers_are_drawn_again(lib: Any, run: Run) -> Any:
    """The second run sees the dropout mask of the first: the gradient is 2 where the result is not 0."""
    x = leaf(lib, [[1.0] * 8] * 8)

    def step() -> Any:
        y = checkpoint(lib, lambda t: lib.nn.functional.dropout(t, 0.5), x)
        y.sum().backward()
        return y.detach()

    lib.manual_seed(0)
    y = run(step)()
    return bool((x.grad == y).all()), bool((y == 0).any()), bool((y == 2).any())


@row
def the_generator_goes_on_as_if_nothing_was_run_twice(lib: Any, run: Run) -> Any:
    """Numbers drawn after backward do not depend on whether there was a checkpoint."""
    x = leaf(lib, A)
    found = []
    for wrapped in (True, False):
        lib.manual_seed(3)

        def step(wrapped: bool = wrapped) -> Any:
            def drop(t: Any) -> Any:
                return lib.nn.functional.dropout(t, 0.5)

            (checkpoint(lib, drop, x) if wrapped else drop(x)).sum().backward()
            return lib.rand(4)

        found.append(run(step)())
    return bool((found[0] == found[1]).all())


@row
def checkpoints_nest(lib: Any, run: Run) -> Any:
    """One inside another."""
    x = leaf(lib, A)

    def outer(t: Any) -> Any:
        return checkpoint(lib, lambda s: s.sin() * s, t) * t

    run(lambda: checkpoint(lib, outer, x).sum().backward())()
    return x.grad


@row
def a_checkpointed_module(lib: Any, run: Run) -> Any:
    """A Module's parameters get their gradients."""
    module, x = linear(lib), lib.tensor(A)
    run(lambda: (checkpoint(lib, module, x) ** 2).sum().backward())()
    return module.weight.grad, module.bias.grad


@row
def a_checkpoint_differentiated_outside(lib: Any, run: Run) -> Any:
    """Backward after the function that holds the checkpoint."""
    x, w = leaf(lib, A), leaf(lib, B)
    run(lambda t: checkpoint(lib, lambda s: (s * w).exp(), t).sum())(x).backward()
    return x.grad, w.grad


@row
def a_checkpoint_in_the_second_order(lib: Any, run: Run) -> Any:
    """``create_graph`` through a checkpoint."""
    x = leaf(lib, A)

    def derive() -> Any:
        (g,) = lib.autograd.grad(checkpoint(lib, lambda t: t.sin() * t, x).sum(), x, create_graph=True)
        return g.detach(), lib.autograd.grad((g * g).sum(), x)

    return run(derive)()


@row
def without_gradients_it_is_a_plain_call(lib: Any, run: Run) -> Any:
    """On constants nothing is recorded."""
    x = lib.tensor(A)

    def call() -> Any:
        y = checkpoint(lib, lambda t: t * 2, x)
        return y, y.requires_grad

    return run(call)()
