"""Leaves, what requires grad, and what backward leaves in ``.grad``."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from tests.contract.row import A, B, Run, Theme, leaf, refusal

row = Theme(__name__)


@row
def backward_accumulates(lib: Any, run: Run) -> Any:
    """A second backward adds to what the first one left."""
    x = leaf(lib, A)
    step = run(lambda: (x * x).sum().backward())
    step()
    step()
    return x.grad


@row
def grad_stays_one_object(lib: Any, run: Run) -> Any:
    """While gradients accumulate, ``.grad`` is the same Tensor."""
    x = leaf(lib, A)
    step = run(lambda: (x * 2).sum().backward())
    step()
    first = x.grad
    step()
    return x.grad is first, first


@row
def a_value_used_twice_gets_both_gradients(lib: Any, run: Run) -> Any:
    """The gradients of all uses are summed."""
    x = leaf(lib, A)

    def step() -> Any:
        y = x * 3
        (y * y + y).sum().backward()

    run(step)()
    return x.grad


@row
def an_unused_leaf_keeps_none(lib: Any, run: Run) -> Any:
    """A leaf that the root does not depend on has no gradient, rather than zeros."""
    x, unused = leaf(lib, A), leaf(lib, B)
    run(lambda: ((x * 2).sum(), unused * 2)[0].backward())()
    return x.grad, unused.grad


@row
def gradients_reduce_over_broadcast_dimensions(lib: Any, run: Run) -> Any:
    """A gradient has the shape of its leaf, whatever the leaf was broadcast to."""
    x, r, c, s = leaf(lib, A), leaf(lib, B[0]), leaf(lib, B[:, :1]), leaf(lib, 2.0)
    run(lambda: (x * r + c * s * x).sum().backward())()
    return x.grad, r.grad, c.grad, s.grad


@row
def backward_takes_a_cotangent(lib: Any, run: Run) -> Any:
    """``backward(gradient)`` starts from that cotangent."""
    x, cotangent = leaf(lib, A), lib.tensor(B)
    run(lambda: (x * x).backward(cotangent))()
    run(lambda: (x * x).sum().backward(gradient=lib.tensor(2.0)))()
    return x.grad


@row
def a_cotangent_may_change_between_calls(lib: Any, run: Run) -> Any:
    """A cotangent that a function closes over is state like any other: the second call sees its new value."""
    x, cotangent = leaf(lib, A), lib.tensor(B)
    step = run(lambda: (x * x).backward(cotangent))
    step()
    step()
    cotangent.mul_(10)
    step()
    return x.grad


@row
def one_element_of_any_shape_has_an_implicit_gradient(lib: Any, run: Run) -> Any:
    """``backward()`` without a gradient wants one element, not zero dimensions."""
    x = leaf(lib, A)
    run(lambda: (x * x).sum().reshape(1, 1).backward())()
    return x.grad


@row
def several_outputs_of_one_op(lib: Any, run: Run) -> Any:
    """The cotangents of an op's outputs come together in its input."""
    x = leaf(lib, A)

    def step() -> Any:
        first, second = x.unbind(0)
        ((first * 2).sum() + (second * second).sum()).backward()

    run(step)()
    return x.grad


@row
def one_of_several_outputs_used(lib: Any, run: Run) -> Any:
    """An output that nobody used counts as zero."""
    x = leaf(lib, A)
    run(lambda: x.unbind(0)[1].sum().backward())()
    return x.grad


@row
def leaf_rules(lib: Any, run: Run) -> Any:
    """Leaves are what no recorded op made."""
    x, constant = leaf(lib, A), lib.tensor(B)

    def rules() -> Any:
        y = x * 2
        with lib.no_grad():
            frozen = x * 2
        return [t.is_leaf for t in (x, y, y.detach(), constant, constant * 2, frozen, y.clone())]

    return run(rules)()


@row
def requires_grad_propagates(lib: Any, run: Run) -> Any:
    """A result requires grad if an operand does, and its dtype can."""
    x, constant = leaf(lib, A), lib.tensor(B)

    def rules() -> Any:
        results = (x * constant, constant * 2, x > 0, x.argmax(), (x > 0) * constant, x.detach() * 2, x.floor())
        return [t.requires_grad for t in results]

    return run(rules)()


@row
def integers_never_require_grad(lib: Any, run: Run) -> Any:
    """``requires_grad_`` on an integer or bool Tensor is refused."""
    numbers, flags = lib.tensor([1, 2]), lib.tensor([True])

    def attempt() -> Any:
        made = refusal(lambda: lib.tensor([1], requires_grad=True))
        return refusal(numbers.requires_grad_), refusal(flags.requires_grad_), made, numbers.requires_grad

    return run(attempt)()


@row
def requires_grad_is_switched_off_on_leaves_only(lib: Any, run: Run) -> Any:
    """``requires_grad_(False)`` on a computed Tensor is refused; ``True`` is what it already has."""
    x = leaf(lib, A)

    def attempt() -> Any:
        y = x * 2
        return refusal(lambda: y.requires_grad_(False)), y.requires_grad_() is y, y.requires_grad

    return run(attempt)()


@row
def requires_grad_may_be_assigned(lib: Any, run: Run) -> Any:
    """``x.requires_grad = flag`` starts and stops recording."""
    x, y = lib.tensor(A), leaf(lib, B)
    x.requires_grad = True
    y.requires_grad = False
    run(lambda: (x * y).sum().backward())()
    return x.grad, y.grad, y.requires_grad


@row
def a_frozen_leaf_gets_no_gradient(lib: Any, run: Run) -> Any:
    """``requires_grad_(False)`` between two steps stops accumulation in that leaf."""
    x, y = leaf(lib, A), leaf(lib, B)
    step = run(lambda: (x * y).sum().backward())
    step()
    y.requires_grad_(False)
    step()
    return x.grad, y.grad


@row
def the_gradient_of_a_frozen_leaf_is_left_alone(lib: Any, run: Run) -> Any:
    """What a leaf held when it was frozen is not written any more, also where it changes between two steps."""
    x, y = leaf(lib, A), leaf(lib, B)
    y.grad = lib.tensor(A)
    y.requires_grad_(False)
    step = run(lambda: (x * y).sum().backward())
    step()
    step()
    with lib.no_grad():
        y.grad.mul_(5)
    step()
    return x.grad, y.grad


@row
def detach_ends_the_graph(lib: Any, run: Run) -> Any:
    """``detach()`` is a constant with the same value."""
    x = leaf(lib, A)
    run(lambda: (x * x.detach()).sum().backward())()
    return x.grad, x.detach().requires_grad


@row
def detach_in_place_takes_a_tensor_out_of_its_graph(lib: Any, run: Run) -> Any:
    """After ``detach_()`` a computed Tensor is a leaf that does not require grad."""
    x = leaf(lib, A)

    def step() -> Any:
        y = x * 2
        z = (y * 3).sum()
        same = y.detach_() is y
        (z + (y * x).sum()).backward()
        return same, y.is_leaf, y.requires_grad, y

    return run(step)(), x.grad


@row
def grad_may_be_assigned(lib: Any, run: Run) -> Any:
    """Backward adds to a ``.grad`` that was put there, and None takes it away."""
    x = leaf(lib, A)
    x.grad = lib.tensor(B)
    run(lambda: (x * 2).sum().backward())()
    first = x.grad.clone()
    x.grad = None
    return first, x.grad


@row
def grad_assigned_must_fit(lib: Any, run: Run) -> Any:
    """``.grad`` has the shape and dtype of its Tensor, or the assignment is refused."""
    x = leaf(lib, A)

    def attempt() -> Any:
        shape = refusal(lambda: setattr(x, "grad", lib.tensor(B[0])))
        dtype = refusal(lambda: setattr(x, "grad", lib.tensor(B, dtype=lib.float64)))
        kind = refusal(lambda: setattr(x, "grad", 1.0))
        return shape, dtype, kind

    return run(attempt)(), x.grad


@row(needs="retain_grad")
def a_computed_tensor_keeps_its_gradient_if_asked(lib: Any, run: Run) -> Any:
    """``retain_grad()`` fills ``.grad`` of a computed Tensor."""
    x = leaf(lib, A)

    def step() -> Any:
        y = x * 3
        y.retain_grad()
        (y * y).sum().backward()
        return y.grad

    return run(step)(), x.grad


@row(needs="retain_grad")
def retains_grad_says_so(lib: Any, run: Run) -> Any:
    """``retains_grad`` is True for a computed Tensor that was asked; asking a leaf does nothing."""
    x = leaf(lib, A)

    def rules() -> Any:
        y, z = x * 3, x * 2
        y.retain_grad()
        x.retain_grad()
        return y.retains_grad, z.retains_grad, x.retains_grad

    return run(rules)()


@row(needs="retain_grad")
def retain_grad_wants_a_tensor_that_requires_grad(lib: Any, run: Run) -> Any:
    """``retain_grad()`` is refused where no gradient can come."""
    x = lib.tensor(A)
    return run(lambda: refusal(x.retain_grad))()


@row(needs="retain_grad")
def retained_gradients_accumulate(lib: Any, run: Run) -> Any:
    """Two passes through a retained Tensor add up there too."""
    x = leaf(lib, A)

    def step() -> Any:
        y = x * 3
        y.retain_grad()
        z = (y * y).sum()
        z.backward(retain_graph=True)
        z.backward()
        return y.grad

    return run(step)(), x.grad


@row
def clone_passes_gradients(lib: Any, run: Run) -> Any:
    """``clone()`` is a recorded copy."""
    x = leaf(lib, A)
    run(lambda: (x.clone() * x).sum().backward())()
    return x.grad


@row
def a_cast_returns_the_gradient_in_the_leaf_s_dtype(lib: Any, run: Run) -> Any:
    """Through ``to(dtype)`` the gradient comes back in the dtype of the leaf."""
    x = leaf(lib, A)
    run(lambda: (x.to(lib.float64) ** 2).sum().backward())()
    return x.grad


@row
def a_leaf_without_elements_gets_a_gradient_without_elements(lib: Any, run: Run) -> Any:
    """Empty Tensors take part."""
    x = leaf(lib, np.zeros((0, 3), np.float32))
    run(lambda: (x * 2).sum().backward())()
    return x.grad


@row
def zero_grad_sets_to_none_or_to_zero(lib: Any, run: Run) -> Any:
    """``zero_grad(set_to_none)`` of an optimizer and of a Module."""
    module = lib.nn.Linear(3, 1)
    optimizer = lib.optim.SGD(module.parameters(), lr=0.1)
    x = lib.tensor(A)
    step = run(lambda: module(x).sum().backward())
    found = []
    for clear in (optimizer.zero_grad, module.zero_grad):
        step()
        clear(set_to_none=False)
        found += [module.weight.grad, module.bias.grad]
        clear()
        found += [module.weight.grad, module.bias.grad]
    return [None if grad is None else grad.clone() for grad in found]


@row
def zero_grad_inside_a_step_starts_afresh(lib: Any, run: Run) -> Any:
    """Clearing, backward and update in one function."""
    x = leaf(lib, A)
    optimizer = lib.optim.SGD([x], lr=0.1)

    def step() -> Any:
        optimizer.zero_grad()
        loss = (x * x).sum()
        loss.backward()
        optimizer.step()
        return loss

    step = run(step)
    return [step().detach().clone() for _ in range(3)], x.grad, x


@row(compiled="a copy of a Tensor is Python's; the step that uses it is compiled")
def a_deep_copy_of_a_leaf_is_a_leaf_of_its_own(lib: Any, run: Run) -> Any:
    """``copy.deepcopy`` copies leaves, and refuses computed Tensors."""
    x = leaf(lib, A)
    twin = copy.deepcopy(x)
    run(lambda: (twin * 2).sum().backward())()
    return twin.requires_grad, twin.grad, x.grad, refusal(lambda: copy.deepcopy(x * 2))


@row
def a_leaf_passed_as_an_argument_accumulates(lib: Any, run: Run) -> Any:
    """An argument is the caller's Tensor: backward fills its ``.grad``."""
    x = leaf(lib, A)

    def square(t: Any) -> None:
        (t * t).sum().backward()

    step = run(square)
    step(x)
    step(x)
    return x.grad


@row
def gradients_flow_out_of_a_function(lib: Any, run: Run) -> Any:
    """A result that requires grad takes backward to the arguments and to what the function closed over."""
    x, w = leaf(lib, A), leaf(lib, B)
    y = run(lambda t: (t * w).tanh())(x)
    (y * y).sum().backward()
    return y.requires_grad, x.grad, w.grad


@row
def gradients_flow_through_two_functions(lib: Any, run: Run) -> Any:
    """A computed Tensor may go into another function."""
    x, w = leaf(lib, A), leaf(lib, B)
    first, second = run(lambda t: t * w), run(lambda t: (t * t + w).sum())
    second(first(x) * 2).backward()
    return x.grad, w.grad
