"""Hooks on Tensors: what they see, when, and what they may change."""

from __future__ import annotations

from typing import Any

from tests.contract.row import A, B, Run, Theme, leaf, refusal

row = Theme(__name__, needs="register_hook")


@row
def a_hook_replaces_the_gradient(lib: Any, run: Run) -> Any:
    """What a hook on a leaf returns is accumulated in place of the gradient."""
    x = leaf(lib, A)
    x.register_hook(lambda g: g * 2 + 1)
    run(lambda: (x * x).sum().backward())()
    return x.grad


@row
def a_hook_that_returns_none_only_looks(lib: Any, run: Run) -> Any:
    """None leaves the gradient as it is."""
    x = leaf(lib, A)

    def step() -> Any:
        seen: list[Any] = []
        handle = x.register_hook(lambda g: seen.append(g * 1))
        (x * x).sum().backward()
        handle.remove()
        return seen

    return run(step)(), x.grad


@row
def hooks_run_in_the_order_of_registration(lib: Any, run: Run) -> Any:
    """Each hook sees what the one before it returned."""
    x = leaf(lib, A)
    x.register_hook(lambda g: g + 1)
    x.register_hook(lambda g: g * 2)
    x.register_hook(lambda g: None)
    x.register_hook(lambda g: g - 3)
    run(lambda: (x * x).sum().backward())()
    return x.grad


@row
def a_removed_hook_does_not_run(lib: Any, run: Run) -> Any:
    """``handle.remove()`` takes a hook off, twice without harm, also between two calls of one function."""
    x = leaf(lib, A)
    kept, gone = x.register_hook(lambda g: g * 2), x.register_hook(lambda g: g * 100)
    gone.remove()
    gone.remove()
    step = run(lambda: (x * x).sum().backward())
    step()
    first = x.grad.clone()
    kept.remove()
    x.grad = None
    step()
    return first, x.grad


@row
def a_hook_registered_between_two_calls_runs(lib: Any, run: Run) -> Any:
    """A hook that is new on a leaf counts from the next call."""
    x = leaf(lib, A)
    step = run(lambda: (x * x).sum().backward())
    step()
    x.grad = None
    x.register_hook(lambda g: g * 10)
    step()
    return x.grad


@row
def a_handle_is_a_context_manager(lib: Any, run: Run) -> Any:
    """``with x.register_hook(...)`` removes the hook at the end."""
    x = leaf(lib, A)

    def step() -> Any:
        with x.register_hook(lambda g: g * 2):
            (x * x).sum().backward()
        (x * x).sum().backward()

    run(step)()
    return x.grad


@row
def a_hook_on_a_computed_tensor_changes_what_flows_on(lib: Any, run: Run) -> Any:
    """What it returns goes to the op that made the Tensor."""
    x = leaf(lib, A)

    def step() -> None:
        y = x * 3
        y.register_hook(lambda g: g * 10)
        (y * y + x).sum().backward()

    run(step)()
    return x.grad


@row
def a_hook_sees_the_sum_of_all_uses_once(lib: Any, run: Run) -> Any:
    """A Tensor that is used twice has one gradient, and its hook is called once with it."""
    x = leaf(lib, A)

    def step() -> Any:
        seen: list[Any] = []
        y = x * 3
        y.register_hook(lambda g: seen.append(g * 1))
        (y * y + y.exp()).sum().backward()
        return seen

    return run(step)(), x.grad


@row
def a_hook_on_a_leaf_used_twice_sees_the_sum(lib: Any, run: Run) -> Any:
    """So is it for a leaf."""
    x = leaf(lib, A)

    def step() -> Any:
        seen: list[Any] = []
        handle = x.register_hook(lambda g: seen.append(g * 1))
        (x * x + x.exp()).sum().backward()
        handle.remove()
        return seen

    return run(step)(), x.grad


@row
def a_hook_sees_this_pass_and_not_what_was_accumulated(lib: Any, run: Run) -> Any:
    """The gradient a hook gets is that of this backward."""
    x = leaf(lib, A)
    x.grad = lib.tensor(B)
    x.register_hook(lambda g: g * 2)
    run(lambda: (x * x).sum().backward())()
    return x.grad


@row
def a_hook_runs_for_grad_too(lib: Any, run: Run) -> Any:
    """``autograd.grad`` returns what the hooks of its inputs made of the gradient."""
    x = leaf(lib, A)

    def derive() -> Any:
        y = x * 3
        y.register_hook(lambda g: g * 10)
        return lib.autograd.grad((y * y).sum(), (x, y))

    x.register_hook(lambda g: g + 1)
    return run(derive)(), x.grad


@row
def a_hook_on_an_unused_tensor_does_not_run(lib: Any, run: Run) -> Any:
    """No gradient, no call."""
    x = leaf(lib, A)

    def step() -> Any:
        seen: list[str] = []
        y, z = x * 2, x * 3
        y.register_hook(lambda g: seen.append("used"))
        z.register_hook(lambda g: seen.append("unused"))
        y.sum().backward()
        return seen

    return run(step)()


@row
def a_hook_may_come_after_the_uses(lib: Any, run: Run) -> Any:
    """A hook registered after the forward, before backward, runs."""
    x = leaf(lib, A)

    def step() -> None:
        y = x * 3
        loss = (y * y).sum()
        y.register_hook(lambda g: g.clamp(-1.0, 1.0))
        loss.backward()

    run(step)()
    return x.grad


@row
def a_hook_on_the_root_sees_its_cotangent(lib: Any, run: Run) -> Any:
    """The root's own hook gets what backward starts from."""
    x, cotangent = leaf(lib, A), lib.tensor(B)

    def step() -> None:
        y = x * 3
        y.register_hook(lambda g: g + 1)
        y.backward(cotangent)

    run(step)()
    return x.grad


@row
def hooks_run_from_the_root_to_the_leaves(lib: Any, run: Run) -> Any:
    """A Tensor's hooks run before those of what it was computed from."""
    x = leaf(lib, A)

    def step() -> Any:
        seen: list[str] = []
        y = x * 2
        z = y.exp()
        for name, tensor in (("x", x), ("y", y), ("z", z)):
            tensor.register_hook(lambda g, name=name: seen.append(name))
        z.sum().backward()
        return seen

    return run(step)()


@row
def a_hook_wants_a_tensor_that_requires_grad(lib: Any, run: Run) -> Any:
    """Where no gradient comes, registering is refused."""
    x = lib.tensor(A)
    return run(lambda: refusal(lambda: x.register_hook(lambda g: g)))()


@row
def a_hook_may_not_change_the_shape(lib: Any, run: Run) -> Any:
    """A replacement of another shape is refused, and nothing is accumulated."""
    x = leaf(lib, A)

    def attempt() -> Any:
        y = x * 2
        y.register_hook(lambda g: g.sum())
        return refusal(lambda: y.sum().backward())

    return run(attempt)(), x.grad


@row
def a_hook_returns_a_tensor_or_none(lib: Any, run: Run) -> Any:
    """Anything else is refused."""
    x = leaf(lib, A)

    def attempt() -> Any:
        y = x * 2
        y.register_hook(lambda g: "no gradient")
        return refusal(lambda: y.sum().backward())

    return run(attempt)()


@row(needs=("register_hook", "retain_grad"))
def a_retained_gradient_is_what_the_hooks_returned(lib: Any, run: Run) -> Any:
    """``retain_grad`` looks last, whenever it was asked for."""
    x = leaf(lib, A)

    def step() -> Any:
        y = x * 3
        y.retain_grad()
        y.register_hook(lambda g: g * 10)
        (y * y).sum().backward()
        return y.grad

    return run(step)(), x.grad


@row
def a_hook_under_create_graph_is_part_of_the_graph(lib: Any, run: Run) -> Any:
    """What a hook computes from the gradient is differentiated with it."""
    x = leaf(lib, A)

    def step() -> Any:
        y = x * 1
        y.register_hook(lambda g: g * g)
        (g,) = lib.autograd.grad((y**3).sum(), x, create_graph=True)
        (second,) = lib.autograd.grad(g.sum(), x)
        return g.detach(), second

    return run(step)()


@row
def a_hook_s_gradient_requires_grad_under_create_graph_alone(lib: Any, run: Run) -> Any:
    """Without ``create_graph`` hooks see constants, and record nothing."""
    x = leaf(lib, A)

    def step() -> Any:
        seen: list[bool] = []
        y = x * 3
        y.register_hook(lambda g: seen.append((g.requires_grad, lib.is_grad_enabled())))
        loss = (y**3).sum()
        lib.autograd.grad(loss, x, create_graph=True)
        loss.backward()
        return seen

    return run(step)()


@row
def an_exception_in_a_hook_leaves_backward(lib: Any, run: Run) -> Any:
    """A hook's own exception reaches the caller as it is."""
    x = leaf(lib, A)

    def fail(gradient: Any) -> None:
        raise KeyError("from the hook")

    def attempt() -> Any:
        y = x * 2
        y.register_hook(fail)
        try:
            y.sum().backward()
        except KeyError as error:
            return error.args[0]
        return None

    return run(attempt)(), x.grad


@row(needs="post_accumulate_hook")
def a_post_accumulate_hook_sees_the_accumulated_gradient(lib: Any, run: Run) -> Any:
    """It is called with the leaf, after ``.grad`` was added to."""
    x = leaf(lib, A)
    x.grad = lib.tensor(B)

    def step() -> Any:
        seen: list[Any] = []
        handle = x.register_post_accumulate_grad_hook(lambda t: seen.append((t is x, t.grad * 1)))
        (x * x).sum().backward()
        handle.remove()
        return seen

    return run(step)(), x.grad


@row(needs="post_accumulate_hook")
def a_post_accumulate_hook_is_for_leaves(lib: Any, run: Run) -> Any:
    """On a computed Tensor, or where no gradient comes, it is refused."""
    x, constant = leaf(lib, A), lib.tensor(B)

    def attempt() -> Any:
        y = x * 2
        computed = refusal(lambda: y.register_post_accumulate_grad_hook(lambda t: None))
        return computed, refusal(lambda: constant.register_post_accumulate_grad_hook(lambda t: None))

    return run(attempt)()


@row(needs=("post_accumulate_hook", "register_hook"))
def a_post_accumulate_hook_runs_after_the_others(lib: Any, run: Run) -> Any:
    """First the hooks on the gradient, then accumulation, then this one."""
    x = leaf(lib, A)

    def step() -> Any:
        seen: list[Any] = []
        x.register_post_accumulate_grad_hook(lambda t: seen.append("after"))
        x.register_hook(lambda g: seen.append("before"))
        (x * x + x.exp()).sum().backward()
        return seen

    return run(step)()


@row(needs="post_accumulate_hook")
def the_optimizer_step_inside_backward(lib: Any, run: Run) -> Any:
    """An optimizer per leaf steps in its hook and clears the gradient: no second loop over the parameters."""
    x, y = leaf(lib, A), leaf(lib, B)
    for tensor in (x, y):
        optimizer = lib.optim.SGD([tensor], lr=0.1)

        def update(t: Any, optimizer: Any = optimizer) -> None:
            optimizer.step()
            optimizer.zero_grad()

        tensor.register_post_accumulate_grad_hook(update)
    step = run(lambda: (x * x * y).sum().backward())
    step()
    step()
    return x, y, x.grad, y.grad


@row(needs="post_accumulate_hook")
def a_post_accumulate_hook_does_not_run_for_grad(lib: Any, run: Run) -> Any:
    """``autograd.grad`` accumulates nothing, so nothing is called; a removed hook is not called either."""
    x = leaf(lib, A)

    def step() -> Any:
        seen: list[str] = []
        handle = x.register_post_accumulate_grad_hook(lambda t: seen.append("called"))
        lib.autograd.grad((x * x).sum(), x)
        handle.remove()
        (x * x).sum().backward()
        return seen

    return run(step)(), x.grad
