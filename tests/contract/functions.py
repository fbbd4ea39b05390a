"""``autograd.Function``: derivatives that the user writes."""

from __future__ import annotations

from typing import Any

from tests.contract.row import A, B, Run, Theme, leaf

row = Theme(__name__, needs="Function")


def cube(lib: Any) -> Any:
    """``x ** 3`` with its derivative, in PyTorch's first style: ``forward`` takes the context."""

    class Cube(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            (x,) = ctx.saved_tensors
            return gradient * 3 * x**2

    return Cube


@row
def forward_with_a_context(lib: Any, run: Run) -> Any:
    """``forward(ctx, ...)`` and ``backward(ctx, gradient)``."""
    x, function = leaf(lib, A), cube(lib)

    def step() -> Any:
        y = function.apply(x)
        (y * 2).sum().backward()
        return y.requires_grad, y.is_leaf, y.detach()

    return run(step)(), x.grad


@row
def setup_context_apart(lib: Any, run: Run) -> Any:
    """``forward`` without a context, and ``setup_context(ctx, inputs, output)``."""

    class Scaled(lib.autograd.Function):
        @staticmethod
        def forward(x: Any, factor: float) -> Any:
            return x.exp() * factor

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(output)
            ctx.count = len(inputs)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            (y,) = ctx.saved_tensors
            return gradient * y * ctx.count, None

    x = leaf(lib, A)
    run(lambda: Scaled.apply(x, 3.0).sum().backward())()
    return x.grad


@row
def the_derivative_is_the_user_s(lib: Any, run: Run) -> Any:
    """A straight-through estimator: the rounding is forward, the gradient passes."""

    class Round(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.round()

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return gradient

    x = leaf(lib, A)
    run(lambda: (Round.apply(x) * x).sum().backward())()
    return x.grad


@row
def the_derivative_holds_for_a_result_that_leaves_the_function(lib: Any, run: Run) -> Any:
    """A compiled forward is differentiated by the user's rule too."""

    class Reverse(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return -10 * gradient

    x = leaf(lib, A)
    run(lambda t: (Reverse.apply(t) * 2).sum())(x).backward()
    return x.grad


@row
def several_outputs_and_inputs(lib: Any, run: Run) -> Any:
    """A gradient comes for each output, and goes to each input."""

    class Both(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            ctx.save_for_backward(x, y)
            return x * y, x + y

        @staticmethod
        def backward(ctx: Any, product: Any, total: Any) -> Any:
            x, y = ctx.saved_tensors
            return product * y + total, product * x + 2 * total

    x, y = leaf(lib, A), leaf(lib, B)

    def step() -> Any:
        outputs = Both.apply(x, y)
        (outputs[0] * 2 + outputs[1]).sum().backward()
        return isinstance(outputs, tuple)

    return run(step)(), x.grad, y.grad


@row
def an_unused_output_comes_as_zeros(lib: Any, run: Run) -> Any:
    """The gradient of an output that nobody used is zeros of its shape."""

    class Split(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2, x.sum()

        @staticmethod
        def backward(ctx: Any, first: Any, second: Any) -> Any:
            return first * 2 + second + 1

    x = leaf(lib, A)
    run(lambda: Split.apply(x)[0].sum().backward())()
    return x.grad


@row
def set_materialize_grads_false_gives_none(lib: Any, run: Run) -> Any:
    """After ``ctx.set_materialize_grads(False)`` it is None."""

    class Split(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.set_materialize_grads(False)
            return x * 2, x.sum()

        @staticmethod
        def backward(ctx: Any, first: Any, second: Any) -> Any:
            return first * 2 + (100 if second is None else second)

    x = leaf(lib, A)
    run(lambda: Split.apply(x)[0].sum().backward())()
    return x.grad


@row
def needs_input_grad_tells_what_is_wanted(lib: Any, run: Run) -> Any:
    """``ctx.needs_input_grad`` has a flag for each argument, Tensors or not."""

    class Product(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, factor: Any, y: Any) -> Any:
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            y = ctx.saved_tensors[1]
            wanted = [bool(flag) for flag in ctx.needs_input_grad]
            return gradient * y if wanted == [True, False, False] else None, None, None

    x, constant = leaf(lib, A), lib.tensor(B)
    run(lambda: Product.apply(x, 2.0, constant).sum().backward())()
    return x.grad, constant.grad


@row
def mark_non_differentiable(lib: Any, run: Run) -> Any:
    """A marked output does not require grad; the others do."""

    class Ranked(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            values, sign = x * 2, x.sign()
            ctx.mark_non_differentiable(sign)
            return values, sign

        @staticmethod
        def backward(ctx: Any, values: Any, sign: Any) -> Any:
            return values * 2

    x = leaf(lib, A)

    def step() -> Any:
        values, sign = Ranked.apply(x)
        (values * sign).sum().backward()
        return values.requires_grad, sign.requires_grad, sign

    return run(step)(), x.grad


@row
def an_integer_output_does_not_require_grad(lib: Any, run: Run) -> Any:
    """Nor does an output whose dtype has no gradient."""

    class Positions(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2, x.argmax(1)

        @staticmethod
        def backward(ctx: Any, values: Any, positions: Any) -> Any:
            return values * 2

    x = leaf(lib, A)

    def step() -> Any:
        values, positions = Positions.apply(x)
        values.sum().backward()
        return positions.requires_grad, positions

    return run(step)(), x.grad


@row
def mark_dirty_writes_an_operand(lib: Any, run: Run) -> Any:
    """An operand written in place in ``forward`` and marked dirty has the new value, in the graph."""

    class Double(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return gradient * 2

    x = leaf(lib, A)

    def step() -> Any:
        y = x * 3
        z = Double.apply(y)
        (z * z).sum().backward()
        return z is y, y.detach()

    return run(step)(), x.grad


@row
def none_is_no_gradient(lib: Any, run: Run) -> Any:
    """An input for which backward returns None keeps None."""

    class First(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            return x * y

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return gradient, None

    x, y = leaf(lib, A), leaf(lib, B)
    run(lambda: First.apply(x, y).sum().backward())()
    return x.grad, y.grad


@row
def arguments_may_be_anything(lib: Any, run: Run) -> Any:
    """Numbers, strings, None and lists reach ``forward`` as they are; each gets None back."""

    class Named(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, kind: str, parts: Any, nothing: Any) -> Any:
            ctx.factor = {"twice": 2.0}[kind] * len(parts) if nothing is None else 0.0
            return x * ctx.factor

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return gradient * ctx.factor, None, None, None

    x = leaf(lib, A)
    run(lambda: Named.apply(x, "twice", [1, 2, 3], None).sum().backward())()
    return x.grad


@row
def forward_records_nothing(lib: Any, run: Run) -> Any:
    """Within ``forward`` gradients are off, and in ``backward`` too unless ``create_graph``."""
    x = leaf(lib, A)

    def step() -> Any:
        seen: list[Any] = []

        class Watched(lib.autograd.Function):
            @staticmethod
            def forward(ctx: Any, t: Any) -> Any:
                seen.append((lib.is_grad_enabled(), (t * 2).requires_grad))
                return t * 2

            @staticmethod
            def backward(ctx: Any, gradient: Any) -> Any:
                seen.append(lib.is_grad_enabled())
                return gradient * 2

        lib.autograd.grad(Watched.apply(x).sum(), x)
        lib.autograd.grad(Watched.apply(x).sum(), x, create_graph=True)
        return seen

    return run(step)()


@row
def without_grad_it_is_a_plain_call(lib: Any, run: Run) -> Any:
    """On constants, or under ``no_grad``, the result does not require grad."""
    x, constant, function = leaf(lib, A), lib.tensor(B), cube(lib)

    def rules() -> Any:
        with lib.no_grad():
            frozen = function.apply(x)
        return function.apply(constant).requires_grad, frozen.requires_grad, frozen

    return run(rules)()


@row
def an_operand_returned_as_it_came(lib: Any, run: Run) -> Any:
    """A ``forward`` that returns its input: the result is in the graph, the input stays what it was."""

    class Gate(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return gradient * 7

    x = leaf(lib, A)

    def step() -> Any:
        y = Gate.apply(x)
        (y * y).sum().backward()
        return y is x, y.is_leaf, x.is_leaf

    return run(step)(), x.grad


@row
def differentiated_twice(lib: Any, run: Run) -> Any:
    """``backward`` is recorded under ``create_graph``."""
    x, function = leaf(lib, A), cube(lib)

    def derive() -> Any:
        (g,) = lib.autograd.grad(function.apply(x).sum(), x, create_graph=True)
        (second,) = lib.autograd.grad(g.sum(), x, create_graph=True)
        (third,) = lib.autograd.grad(second.sum(), x)
        return g.detach(), second.detach(), third

    return run(derive)()


@row
def a_saved_result_is_differentiated_twice(lib: Any, run: Run) -> Any:
    """A result that was saved is part of the graph when ``backward`` is differentiated."""

    class Exponential(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return gradient * ctx.saved_tensors[0]

    x = leaf(lib, A)

    def derive() -> Any:
        (g,) = lib.autograd.grad(Exponential.apply(x * x).sum(), x, create_graph=True)
        return lib.autograd.grad((g * g).sum(), x)

    return run(derive)()
