"""How long a graph lives, how deep it may be, and what holds it."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from tests.contract.row import A, B, Run, Theme, leaf, refusal

row = Theme(__name__)


@row
def retain_graph_allows_a_second_pass(lib: Any, run: Run) -> Any:
    """With ``retain_graph`` the same root may go back again."""
    x = leaf(lib, A)

    def step() -> None:
        loss = (x * x).sum()
        loss.backward(retain_graph=True)
        loss.backward(retain_graph=True)
        loss.backward()

    run(step)()
    return x.grad


@row(says="retain_graph=True")
def a_freed_graph_is_refused(lib: Any, run: Run) -> Any:
    """Without it the second pass is an error that names the way out, and changes no gradient."""
    x, y = leaf(lib, A), leaf(lib, B)

    def step() -> Any:
        loss = (x.exp() * y).sum()
        loss.backward()
        return refusal(loss.backward), refusal(lambda: lib.autograd.grad(loss, x))

    return run(step)(), x.grad, y.grad


@row(says="retain_graph=True", compiled="the forward; its graph is walked twice outside")
def the_graph_of_a_function_is_freed_too(lib: Any, run: Run) -> Any:
    """The graph that a function's result carries out is released as any other, and kept with ``retain_graph``."""
    x = leaf(lib, A)
    forward = run(lambda: (x.exp() * x).sum())
    loss = forward()
    loss.backward(retain_graph=True)
    loss.backward()
    return refusal(loss.backward), x.grad


@row
def create_graph_retains(lib: Any, run: Run) -> Any:
    """``create_graph`` implies ``retain_graph``, unless that is False."""
    x = leaf(lib, A)

    def step() -> Any:
        loss = (x**3).sum()
        lib.autograd.grad(loss, x, create_graph=True)
        lib.autograd.grad(loss, x, retain_graph=False)
        return refusal(lambda: lib.autograd.grad(loss, x))

    return run(step)()


@row
def a_shared_subgraph_is_freed_by_the_first_root(lib: Any, run: Run) -> Any:
    """Two roots over one subgraph: the second pass meets what the first released."""
    x = leaf(lib, A)

    def step() -> Any:
        shared = x.exp()
        first, second = (shared * 2).sum(), (shared * shared).sum()
        first.backward()
        return refusal(second.backward)

    return run(step)(), x.grad


@row
def a_shared_subgraph_retained_serves_both_roots(lib: Any, run: Run) -> Any:
    """With ``retain_graph`` for the first, the gradients of both add up."""
    x = leaf(lib, A)

    def step() -> None:
        shared = x.exp()
        first, second = (shared * 2).sum(), (shared * shared).sum()
        first.backward(retain_graph=True)
        second.backward()

    run(step)()
    return x.grad


@row
def disjoint_graphs_are_freed_apart(lib: Any, run: Run) -> Any:
    """Roots that share leaves alone do not free each other's graphs."""
    x = leaf(lib, A)

    def step() -> None:
        first, second = (x * x).sum(), x.exp().sum()
        first.backward()
        second.backward()

    run(step)()
    return x.grad


@row
def a_graph_that_saved_nothing_may_be_walked_again(lib: Any, run: Run) -> Any:
    """Sums and additions save no values, so nothing of them is released."""
    x = leaf(lib, A)

    def step() -> None:
        loss = (x + 1).sum()
        loss.backward()
        loss.backward()

    run(step)()
    return x.grad


@row(compiled="100 of them: a program of 2,000 takes a compiler minutes")
def a_deep_chain_does_not_recurse(lib: Any, run: Run) -> Any:
    """Two thousand operations one after the other."""
    x = leaf(lib, A[0])
    depth = 2000 if getattr(run, "used", None) is None else 100

    def step() -> None:
        y = x
        for _ in range(depth):
            y = y + 1
        y.sum().backward()

    run(step)()
    return x.grad


@row
def a_wide_fan_adds_up(lib: Any, run: Run) -> Any:
    """Fifty uses of one Tensor."""
    x = leaf(lib, A)

    def step() -> None:
        total = x * 0
        for index in range(50):
            total = total + x * index
        total.sum().backward()

    run(step)()
    return x.grad


@row
def a_ladder_is_walked_once_a_rung(lib: Any, run: Run) -> Any:
    """Each value used twice, thirty times over: two to the thirtieth paths, thirty steps back."""
    x = leaf(lib, A)

    def step() -> None:
        y = x
        for _ in range(30):
            y = (y + y) * 0.5
        y.sum().backward()

    run(step)()
    return x.grad


@row(compiled="the forward, whose result holds the graph")
def a_dropped_graph_is_released(lib: Any, run: Run) -> Any:
    """A graph does not outlive its root: what only it held is gone, without a backward."""
    x = leaf(lib, A)

    def forward() -> Any:
        y = x * 2
        return (y.exp() * y).sum(), weakref.ref(y)

    loss, inner = run(forward)()
    held = leaf(lib, B)
    second = (held * loss).sum()
    gone = weakref.ref(held)
    del held, second, loss
    gc.collect()
    return inner() is None, gone() is None


@row(needs="register_hook")
def a_dropped_graph_releases_its_hooks(lib: Any, run: Run) -> Any:
    """A hook, and what it closes over, lives as long as the graph it is in."""
    x = leaf(lib, A)

    class Payload:
        pass

    def forward() -> Any:
        payload = Payload()
        y = x * 2
        y.register_hook(lambda g: setattr(payload, "gradient", None))
        (y * y).sum().backward()
        return weakref.ref(payload)

    reference = run(forward)()
    gc.collect()
    return reference() is None, x.grad


@row
def a_leaf_may_go_before_its_graph(lib: Any, run: Run) -> Any:
    """Backward through a graph whose other leaf nobody holds any more."""
    x = leaf(lib, A)

    def step() -> None:
        other = leaf(lib, B)
        loss = (x * other).sum()
        del other
        gc.collect()
        loss.backward()

    run(step)()
    return x.grad


@row
def a_failed_backward_leaves_gradients_alone(lib: Any, run: Run) -> Any:
    """A pass that meets a freed graph halfway has written nothing that it computed before."""
    x, y = leaf(lib, A), leaf(lib, B)

    def step() -> Any:
        shared = x.exp()
        (shared * 1).sum().backward()
        return refusal((shared * y.exp()).sum().backward)

    return run(step)(), x.grad
