"""``func``: derivatives of functions, mapped functions, and their nests."""

from __future__ import annotations

from typing import Any

from tests.contract.row import SQUARE, A, B, Run, Theme, leaf, refusal

row = Theme(__name__, needs="func")


def wave(x: Any) -> Any:
    """A scalar function whose Hessian has no zeros."""
    return (x.sin() * x.sum()).sum()


@row
def grad_is_a_function(lib: Any, run: Run) -> Any:
    """``grad(f)`` returns the gradient by the first argument, shaped like it."""
    x, y = lib.tensor(A), lib.tensor(B)
    return run(lambda: lib.func.grad(lambda a, b: (a * b).sin().sum())(x, y))()


@row
def argnums_choose_the_arguments(lib: Any, run: Run) -> Any:
    """A number gives one gradient, a tuple a tuple."""
    x, y = lib.tensor(A), lib.tensor(B)

    def f(a: Any, b: Any) -> Any:
        return (a * b * b).sum()

    return run(lambda: (lib.func.grad(f, argnums=1)(x, y), lib.func.grad(f, argnums=(0, 1))(x, y)))()


@row
def grad_of_a_pytree(lib: Any, run: Run) -> Any:
    """An argument may be a dict of lists; the gradient has its structure."""
    params = {"w": lib.tensor(A), "b": [lib.tensor(B[0]), lib.tensor(2.0)]}
    x = lib.tensor(B)

    def loss(p: Any) -> Any:
        return ((x * p["w"] + p["b"][0]) ** 2 * p["b"][1]).sum()

    return run(lambda: lib.func.grad(loss)(params))()


@row
def has_aux_passes_more_out(lib: Any, run: Run) -> Any:
    """``grad(has_aux=True)`` returns (gradient, aux)."""
    x = lib.tensor(A)
    return run(lambda: lib.func.grad(lambda t: ((t * t).sum(), {"double": t * 2}), has_aux=True)(x))()


@row
def grad_and_value(lib: Any, run: Run) -> Any:
    """``grad_and_value(f)`` returns both, the gradient first."""
    x = lib.tensor(A)
    return run(lambda: lib.func.grad_and_value(wave)(x))()


@row
def grad_wants_a_scalar(lib: Any, run: Run) -> Any:
    """A function with several elements has no gradient."""
    x = lib.tensor(A)
    return run(lambda: refusal(lambda: lib.func.grad(lambda t: t * 2)(x)))()


@row
def vjp_gives_the_value_and_the_pullback(lib: Any, run: Run) -> Any:
    """The pullback may be called more than once."""
    x, y, v = lib.tensor(A), lib.tensor(B), lib.tensor(SQUARE[:2])

    def derive() -> Any:
        value, pull = lib.func.vjp(lambda a, b: a.exp() * b, x, y)
        return value, pull(v), pull(v * 2)

    return run(derive)()


@row
def jvp_pushes_a_tangent(lib: Any, run: Run) -> Any:
    """``jvp(f, primals, tangents)`` returns the value and its derivative in that direction."""
    x, y, v, w = lib.tensor(A), lib.tensor(B), lib.tensor(B), lib.tensor(A)
    return run(lambda: lib.func.jvp(lambda a, b: a.exp() * b + a.sum(), (x, y), (v, w)))()


@row
def linearize_is_a_linear_function(lib: Any, run: Run) -> Any:
    """``linearize(f, x)`` returns the value and the tangent map at ``x``."""
    x, v = lib.tensor(A), lib.tensor(B)

    def derive() -> Any:
        value, push = lib.func.linearize(lambda t: t.sin() * t.sum(), x)
        return value, push(v), push(v * 2)

    return run(derive)()


@row
def jacobians_by_reverse_and_by_forward_mode(lib: Any, run: Run) -> Any:
    """``jacrev`` and ``jacfwd`` agree; the output's dimensions come first."""
    x = lib.tensor(A)

    def f(t: Any) -> Any:
        return t.sin() @ t.T

    return run(lambda: (lib.func.jacrev(f)(x), lib.func.jacfwd(f)(x)))()


@row
def a_hessian(lib: Any, run: Run) -> Any:
    """``hessian(f)`` is the Jacobian of the gradient."""
    x = lib.tensor(A)
    return run(lambda: lib.func.hessian(wave)(x))()


@row
def grad_nests(lib: Any, run: Run) -> Any:
    """Third order by three ``grad``."""
    x = lib.tensor(0.7)

    def f(t: Any) -> Any:
        return t.sin() * t**3

    return run(lambda: lib.func.grad(lib.func.grad(lib.func.grad(f)))(x))()


@row
def forward_over_reverse(lib: Any, run: Run) -> Any:
    """A Hessian-vector product as ``jvp`` of ``grad``."""
    x, v = lib.tensor(A), lib.tensor(B)
    return run(lambda: lib.func.jvp(lib.func.grad(wave), (x,), (v,)))()


@row
def reverse_over_forward(lib: Any, run: Run) -> Any:
    """And as ``grad`` of ``jvp``."""
    x, v = lib.tensor(A), lib.tensor(B)
    return run(lambda: lib.func.grad(lambda t: lib.func.jvp(wave, (t,), (v,))[1])(x))()


@row
def perturbations_are_not_confused(lib: Any, run: Run) -> Any:
    """An inner ``grad`` does not see the outer variable: d/dx [x * d/dy (x + y)] is 1."""
    x = lib.tensor(3.0)

    def outer(a: Any) -> Any:
        return a * lib.func.grad(lambda b: a + b)(lib.ones(()))

    return run(lambda: lib.func.grad(outer)(x))()


@row(needs=("func", "vmap"))
def vmap_maps_the_first_dimension(lib: Any, run: Run) -> Any:
    """A function of one row, over rows."""
    x, y = lib.tensor(A), lib.tensor(B)
    return run(lambda: lib.func.vmap(lambda a, b: (a * b).sum() + a)(x, y))()


@row(needs=("func", "vmap"))
def vmap_takes_in_dims_and_out_dims(lib: Any, run: Run) -> Any:
    """Other dimensions, and None for what is shared."""
    x, y = lib.tensor(A), lib.tensor(B[:, 0])
    return run(lambda: lib.func.vmap(lambda a, b: a * b + 1, in_dims=(1, None), out_dims=1)(x, y))()


@row(needs=("func", "vmap"))
def vmap_of_grad_gives_gradients_a_sample(lib: Any, run: Run) -> Any:
    """Per-sample gradients of shared weights."""
    w, x, y = lib.tensor(B[0]), lib.tensor(A), lib.tensor(B[:, 1])

    def loss(weights: Any, sample: Any, target: Any) -> Any:
        return ((weights * sample).sum() - target) ** 2

    return run(lambda: lib.func.vmap(lib.func.grad(loss), in_dims=(None, 0, 0))(w, x, y))()


@row(needs=("func", "vmap"))
def vmap_nests(lib: Any, run: Run) -> Any:
    """A function of numbers, over a matrix."""
    x, y = lib.tensor(A), lib.tensor(B)

    def pair(a: Any, b: Any) -> Any:
        return a * b + a.sin()

    each = lib.func.vmap
    return run(lambda: each(lambda row: each(lambda other: each(pair)(row, other))(y))(x))()


@row(needs=("func", "vmap"))
def vmap_checks_its_sizes(lib: Any, run: Run) -> Any:
    """Mapped dimensions of different lengths are refused."""
    x, y = lib.tensor(A), lib.tensor(B[:1])
    return run(lambda: refusal(lambda: lib.func.vmap(lambda a, b: a + b)(x, y)))()


@row(needs=("func", "vmap"))
def backward_goes_through_vmap(lib: Any, run: Run) -> Any:
    """What ``vmap`` computed from leaves takes backward to them."""
    x, w = leaf(lib, A), leaf(lib, B[0])

    def step() -> Any:
        y = lib.func.vmap(lambda a: (a * w).exp())(x)
        y.sum().backward()
        return y.requires_grad

    return run(step)(), x.grad, w.grad


@row
def backward_goes_through_grad(lib: Any, run: Run) -> Any:
    """What ``func.grad`` returns is differentiable by leaves outside."""
    x, w = leaf(lib, A), leaf(lib, B)

    def step() -> Any:
        g = lib.func.grad(lambda t: (t * w).sin().sum())(x)
        (g * g).sum().backward()
        return g.requires_grad

    return run(step)(), x.grad, w.grad


@row
def backward_goes_through_vjp_and_jvp(lib: Any, run: Run) -> Any:
    """So are pullbacks and tangents."""
    x, v = leaf(lib, A), leaf(lib, B)

    def step() -> None:
        _, pull = lib.func.vjp(lambda t: t.exp() * t.sum(), x)
        _, tangent = lib.func.jvp(lambda t: t.sin() * t.sum(), (x,), (v,))
        (pull(v)[0] + tangent**2).sum().backward()

    run(step)()
    return x.grad, v.grad


@row
def grad_of_a_function_that_calls_autograd_grad(lib: Any, run: Run) -> Any:
    """The two styles mix: ``autograd.grad`` inside ``func.grad``."""
    x = lib.tensor(A)

    def f(t: Any) -> Any:
        y = t * 1
        (g,) = lib.autograd.grad((y**3).sum(), y, create_graph=True)
        return (g * g).sum()

    return run(lambda: lib.func.grad(f)(x))()


@row
def no_grad_holds_inside_grad(lib: Any, run: Run) -> Any:
    """A ``no_grad`` block in the function is a constant to ``func.grad``; one around it does not stop it."""
    x = lib.tensor(A)

    def f(t: Any) -> Any:
        with lib.no_grad():
            constant = t * 3
        return (t * constant + t.detach() * t).sum()

    def derive() -> Any:
        with lib.no_grad():
            outside = lib.func.grad(wave)(x)
        return lib.func.grad(f)(x), outside

    return run(derive)()


@row
def grad_leaves_leaves_alone(lib: Any, run: Run) -> Any:
    """``func.grad`` writes no ``.grad``."""
    x, w = leaf(lib, A), leaf(lib, B)
    found = run(lambda: lib.func.grad(lambda t: (t * w).sum())(x.detach()))()
    return found, x.grad, w.grad


@row(needs=("func", "functional_call"))
def functional_call_takes_other_parameters(lib: Any, run: Run) -> Any:
    """A Module called with a dict of parameters, differentiated by them."""
    module = lib.nn.Linear(3, 2)
    params = {"weight": lib.tensor(B), "bias": lib.tensor(A[:, 0])}
    x = lib.tensor(A)

    def loss(p: Any) -> Any:
        return (lib.func.functional_call(module, p, (x,)) ** 2).sum()

    return run(lambda: (loss(params), lib.func.grad(loss)(params)))(), module.weight.grad


@row(needs=("func", "functional_call", "vmap"))
def stack_module_state_runs_an_ensemble(lib: Any, run: Run) -> Any:
    """Modules of one shape as one, mapped over their stacked parameters."""
    modules = [lib.nn.Linear(3, 2) for _ in range(2)]
    with lib.no_grad():
        for index, module in enumerate(modules):
            module.weight.copy_(lib.tensor(B * (index + 1)))
            module.bias.copy_(lib.tensor(A[:, index]))
    params, buffers = lib.func.stack_module_state(modules)
    x = lib.tensor(A)

    def call(p: Any, b: Any) -> Any:
        return lib.func.functional_call(modules[0], (p, b), (x,))

    return run(lambda: lib.func.vmap(call)(params, buffers))().detach(), sorted(params), buffers
