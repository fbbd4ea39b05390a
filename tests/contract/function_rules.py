"""``autograd.Function``: what its ``backward`` may return, and where it is used."""

from __future__ import annotations

from typing import Any

from tests.contract.functions import cube
from tests.contract.row import A, B, Run, Theme, leaf, refusal

row = Theme(__name__, needs="Function")


@row
def once_differentiable_refuses_a_second_time(lib: Any, run: Run) -> Any:
    """A backward under ``once_differentiable`` has a value, and differentiating it is refused."""

    class Once(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @lib.autograd.function.once_differentiable
        def backward(ctx: Any, gradient: Any) -> Any:
            return gradient * 2 * ctx.saved_tensors[0]

    x = leaf(lib, A)

    def derive() -> Any:
        (g,) = lib.autograd.grad(Once.apply(x).sum(), x, create_graph=True)
        return g.detach(), refusal(lambda: lib.autograd.grad(g.sum(), x))

    return run(derive)()


def _identity(lib: Any, gradients: Any) -> Any:
    class Identity(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            return x * y

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return gradients(gradient)

    return Identity


@row(says="2")
def too_few_gradients_are_refused(lib: Any, run: Run) -> Any:
    """``backward`` returns one gradient an argument."""
    x, y = leaf(lib, A), leaf(lib, B)
    function = _identity(lib, lambda g: g)
    return run(lambda: refusal(lambda: function.apply(x, y).sum().backward()))(), x.grad


@row(says="2")
def too_many_gradients_are_refused(lib: Any, run: Run) -> Any:
    """A gradient too many is a mistake."""
    x, y = leaf(lib, A), leaf(lib, B)
    function = _identity(lib, lambda g: (g, g, g))
    return run(lambda: refusal(lambda: function.apply(x, y).sum().backward()))(), x.grad


@row
def trailing_nones_are_no_gradients_too_many(lib: Any, run: Run) -> Any:
    """PyTorch forgives None at the end."""
    x, y = leaf(lib, A), leaf(lib, B)
    function = _identity(lib, lambda g: (g, g * 2, None))
    run(lambda: function.apply(x, y).sum().backward())()
    return x.grad, y.grad


@row(says=("(2,)", "(3, 2)"))
def a_gradient_of_another_shape_is_refused(lib: Any, run: Run) -> Any:
    """A gradient has the shape of its argument."""
    x, y = leaf(lib, A), leaf(lib, B)
    function = _identity(lib, lambda g: (g[0], g[0].sum()))
    return run(lambda: refusal(lambda: function.apply(x.T * 1, y.T * 1).sum().backward()))(), x.grad


@row
def a_gradient_that_broadcast_is_reduced(lib: Any, run: Run) -> Any:
    """A gradient of a broadcast shape is summed to that of its argument, as PyTorch does."""

    class Outer(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            x, y = ctx.saved_tensors
            return gradient * y, gradient * x

    x, y = leaf(lib, A), leaf(lib, B[:1])
    run(lambda: Outer.apply(x, y).sum().backward())()
    return x.grad, y.grad


@row
def it_is_used_through_apply(lib: Any, run: Run) -> Any:
    """Calling an instance is refused."""
    x, function = leaf(lib, A), cube(lib)
    return run(lambda: refusal(lambda: function()(x)))()


@row
def inside_a_module(lib: Any, run: Run) -> Any:
    """As an activation between layers, in a training step."""
    function = cube(lib)

    class Net(lib.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = lib.nn.Parameter(lib.tensor(B))

        def forward(self, x: Any) -> Any:
            return function.apply(x @ self.weight.T)

    net, x = Net(), lib.tensor(A)
    optimizer = lib.optim.SGD(net.parameters(), lr=0.001)

    def step() -> Any:
        optimizer.zero_grad()
        loss = (net(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    step = run(step)
    return [step().detach().clone() for _ in range(2)], net.weight


@row(needs=("Function", "func"))
def under_func_grad(lib: Any, run: Run) -> Any:
    """``func.grad`` goes by the user's rule (PyTorch asks for ``setup_context`` there)."""

    class Square(lib.autograd.Function):
        @staticmethod
        def forward(x: Any) -> Any:
            return x * x

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return gradient * 20 * ctx.saved_tensors[0]

    x = lib.tensor(A)
    return run(lambda: lib.func.grad(lambda t: Square.apply(t).sum())(x))()


@row(needs=("Function", "func", "vmap"))
def under_vmap(lib: Any, run: Run) -> Any:
    """With ``generate_vmap_rule`` a Function is mapped, and so is its derivative."""

    class Square(lib.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x: Any) -> Any:
            return x * x.sum()

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            (x,) = ctx.saved_tensors
            return gradient * x.sum() + (gradient * x).sum() + 1

    x = lib.tensor(A)

    def derive() -> Any:
        return lib.func.vmap(Square.apply)(x), lib.func.vmap(lib.func.grad(lambda t: Square.apply(t).sum()))(x)

    return run(derive)()
