"""``autograd.grad`` and ``autograd.backward``."""

from __future__ import annotations

from typing import Any

from tests.contract.row import A, B, Run, Theme, leaf, refusal

row = Theme(__name__)


@row
def grad_returns_and_does_not_accumulate(lib: Any, run: Run) -> Any:
    """``autograd.grad`` returns a tuple and leaves every ``.grad`` alone."""
    x, y = leaf(lib, A), leaf(lib, B)
    found = run(lambda: lib.autograd.grad((x * y).sum(), (x, y)))()
    return isinstance(found, tuple), found, x.grad, y.grad


@row
def grad_of_one_input_is_a_tuple_of_one(lib: Any, run: Run) -> Any:
    """A single input need not be in a sequence."""
    x = leaf(lib, A)
    return run(lambda: lib.autograd.grad((x * x).sum(), x))()


@row
def grad_of_an_unused_input_is_refused(lib: Any, run: Run) -> Any:
    """An input that was not used is an error that names ``allow_unused``."""
    x, unused = leaf(lib, A), leaf(lib, B)

    def attempt() -> Any:
        loss = (x * 2).sum()
        return refusal(lambda: lib.autograd.grad(loss, (x, unused)))

    return run(attempt)()


@row
def allow_unused_gives_none(lib: Any, run: Run) -> Any:
    """With ``allow_unused`` an unused input gives None."""
    x, unused = leaf(lib, A), leaf(lib, B)
    return run(lambda: lib.autograd.grad((x * 2).sum(), (unused, x), allow_unused=True))()


@row
def materialize_grads_gives_zeros(lib: Any, run: Run) -> Any:
    """With ``materialize_grads`` an unused input gives zeros."""
    x, unused = leaf(lib, A), leaf(lib, B)
    return run(lambda: lib.autograd.grad((x * 2).sum(), (unused, x), materialize_grads=True))()


@row
def materialize_grads_contradicts_allow_unused_false(lib: Any, run: Run) -> Any:
    """Asking for zeros and for an error at once is refused."""
    x = leaf(lib, A)

    def attempt() -> Any:
        loss = (x * 2).sum()
        return refusal(lambda: lib.autograd.grad(loss, x, allow_unused=False, materialize_grads=True))

    return run(attempt)()


@row
def grad_of_an_input_that_does_not_require_grad_is_refused(lib: Any, run: Run) -> Any:
    """Neither a constant nor an integer Tensor can be differentiated by."""
    x, constant, number = leaf(lib, A), lib.tensor(B), lib.tensor([1, 2, 3])

    def attempt() -> Any:
        loss = (x * constant * number).sum()
        return refusal(lambda: lib.autograd.grad(loss, constant)), refusal(lambda: lib.autograd.grad(loss, number))

    return run(attempt)()


@row
def grad_of_a_computed_tensor(lib: Any, run: Run) -> Any:
    """An input may be computed; what lies before it is not asked."""
    x = leaf(lib, A)

    def derive() -> Any:
        y = x * 3
        z = y.exp()
        return lib.autograd.grad((z * y).sum(), (y, z))

    return run(derive)()


@row
def grad_by_a_computed_tensor_and_its_source(lib: Any, run: Run) -> Any:
    """An input and what it was computed from, in one call."""
    x = leaf(lib, A)

    def derive() -> Any:
        y = x * x
        return lib.autograd.grad((y * y + x).sum(), (x, y))

    return run(derive)()


@row
def grad_by_the_output_itself(lib: Any, run: Run) -> Any:
    """The derivative of a Tensor by itself is its cotangent."""
    x = leaf(lib, A)

    def derive() -> Any:
        y = (x * x).sum()
        return lib.autograd.grad(y, (y, x))

    return run(derive)()


@row
def grad_by_the_same_input_twice(lib: Any, run: Run) -> Any:
    """Naming an input twice gives its gradient twice."""
    x = leaf(lib, A)
    return run(lambda: lib.autograd.grad((x * x).sum(), (x, x)))()


@row
def grad_sums_over_outputs(lib: Any, run: Run) -> Any:
    """The gradients of several outputs are summed, each weighted by its cotangent."""
    x, cotangent = leaf(lib, A), lib.tensor(B)

    def derive() -> Any:
        return lib.autograd.grad(((x * x).sum(), x * 3), x, grad_outputs=(None, cotangent))

    return run(derive)()


@row
def grad_takes_a_cotangent_for_one_output(lib: Any, run: Run) -> Any:
    """``grad_outputs`` for a single output need not be in a sequence."""
    x, cotangent = leaf(lib, A), lib.tensor(B)
    return run(lambda: lib.autograd.grad(x * x, x, cotangent))()


@row(needs="is_grads_batched")
def is_grads_batched_takes_many_cotangents(lib: Any, run: Run) -> Any:
    """With ``is_grads_batched`` the first dimension of each cotangent counts products: here a whole Jacobian."""
    x = leaf(lib, A[0])
    rows = lib.eye(3)
    return run(lambda: lib.autograd.grad(x.exp() * x.sum(), x, rows, is_grads_batched=True))()


@row
def retain_graph_keeps_it_for_grad_too(lib: Any, run: Run) -> Any:
    """``grad(retain_graph=True)`` allows ``backward`` afterwards."""
    x = leaf(lib, A)

    def derive() -> Any:
        loss = (x * x).sum()
        (g,) = lib.autograd.grad(loss, x, retain_graph=True)
        loss.backward()
        return g

    return run(derive)(), x.grad


@row
def backward_of_several_roots(lib: Any, run: Run) -> Any:
    """``autograd.backward`` adds the derivatives of all roots."""
    x = leaf(lib, A)
    run(lambda: lib.autograd.backward([(x * 2).sum(), (x * x).sum()]))()
    return x.grad


@row
def backward_of_roots_with_cotangents(lib: Any, run: Run) -> Any:
    """``grad_tensors`` has one cotangent a root, None for an implicit one."""
    x, cotangent = leaf(lib, A), lib.tensor(B)
    run(lambda: lib.autograd.backward([x * 2, (x * x).sum()], [cotangent, None]))()
    run(lambda: lib.autograd.backward(x * x, cotangent))()
    return x.grad


@row
def backward_of_roots_on_one_path(lib: Any, run: Run) -> Any:
    """A root may be computed from another one."""
    x = leaf(lib, A)

    def step() -> None:
        y = x * x
        z = y.exp().sum()
        lib.autograd.backward([z, y.sum(), y.sum() * 2])

    run(step)()
    return x.grad


@row
def backward_wants_a_cotangent_for_each_root(lib: Any, run: Run) -> Any:
    """Another number of cotangents than of roots is refused."""
    x, cotangent = leaf(lib, A), lib.tensor(B)

    def attempt() -> Any:
        y, z = x * 2, x * 3
        return refusal(lambda: lib.autograd.backward([y, z], [cotangent]))

    return run(attempt)(), x.grad


@row(needs="backward_inputs")
def backward_inputs_limits_where_gradients_go(lib: Any, run: Run) -> Any:
    """``backward(inputs=...)`` fills those Tensors and no other."""
    x, y = leaf(lib, A), leaf(lib, B)
    run(lambda: (x * y).sum().backward(inputs=[x]))()
    run(lambda: lib.autograd.backward((x * y).sum(), inputs=x))()
    return x.grad, y.grad


@row(needs="backward_inputs")
def backward_inputs_may_be_computed(lib: Any, run: Run) -> Any:
    """A computed Tensor among ``inputs`` gets its gradient in ``.grad``."""
    x = leaf(lib, A)

    def step() -> Any:
        y = x * 3
        (y * y).sum().backward(inputs=[y])
        return y.grad

    return run(step)(), x.grad


@row(needs="backward_inputs")
def backward_inputs_may_not_be_empty(lib: Any, run: Run) -> Any:
    """No inputs at all is a mistake."""
    x = leaf(lib, A)
    return run(lambda: refusal(lambda: (x * x).sum().backward(inputs=[])))(), x.grad


@row(needs="backward_inputs")
def backward_inputs_accumulates(lib: Any, run: Run) -> Any:
    """Gradients for ``inputs`` are added to what is there."""
    x, y = leaf(lib, A), leaf(lib, B)
    run(lambda: (x * y).sum().backward())()
    run(lambda: (x * y * y).sum().backward(inputs=(y,)))()
    return x.grad, y.grad


@row
def grad_inside_a_recorded_computation(lib: Any, run: Run) -> Any:
    """Without ``create_graph`` what ``grad`` returns is a constant to a later backward."""
    x = leaf(lib, A)

    def step() -> Any:
        (g,) = lib.autograd.grad((x**3).sum(), x)
        (g * x).sum().backward()
        return g.requires_grad

    return run(step)(), x.grad
