"""Writing in place. Values are values here: where PyTorch says "modified by an inplace operation", we are right.

A row with an ``oracle`` shows that departure: torch must refuse the row's body, and the oracle is torch's result for
the same program written out of place.
"""

from __future__ import annotations

from typing import Any

from tests.contract.row import A, B, Run, Theme, leaf, refusal

row = Theme(__name__)


@row
def in_place_methods_record(lib: Any, run: Run) -> Any:
    """``+=``, ``mul_`` and the like on computed Tensors are part of the graph."""
    x = leaf(lib, A)

    def step() -> None:
        y = x * 2
        y += 1
        y.mul_(x)
        y -= x
        y.neg_()
        y.sum().backward()

    run(step)()
    return x.grad


@row
def an_in_place_method_returns_its_tensor(lib: Any, run: Run) -> Any:
    """``y.add_(1) is y``, and ``y += 1`` keeps the object."""
    x = leaf(lib, A)

    def rules() -> Any:
        y = x * 2
        kept = y
        y += 1
        return y.add_(1) is y, y is kept, y

    return run(rules)()


@row(says="no_grad")
def a_leaf_is_not_written_while_recording(lib: Any, run: Run) -> Any:
    """In-place writes to a leaf that requires grad are refused, in every spelling, and write nothing."""
    x = leaf(lib, A)

    def attempt() -> Any:
        def assign() -> None:
            x[0] = 1.0

        def add() -> None:
            t = x
            t += 1

        return [refusal(f) for f in (lambda: x.add_(1), assign, add, x.zero_, lambda: x.copy_(lib.tensor(B)))]

    return run(attempt)(), x


@row
def an_in_place_write_makes_a_tensor_require_grad(lib: Any, run: Run) -> Any:
    """A constant that receives a recorded value in place becomes part of the graph."""
    x = leaf(lib, A)

    def step() -> Any:
        total = lib.zeros(2, 3)
        total += x * x
        total.sum().backward()
        return total.requires_grad, total.is_leaf

    return run(step)(), x.grad


@row
def copy_in_place_records_its_source(lib: Any, run: Run) -> Any:
    """After ``y.copy_(x)`` gradients go to ``x``, and nothing (None, or zeros) to what ``y`` was."""
    x, w = leaf(lib, A), leaf(lib, B)

    def step() -> None:
        y = w * 2
        y.copy_(x * 3)
        (y * y).sum().backward()

    run(step)()
    return x.grad, w.grad is None or not bool(w.grad.any())


@row
def copy_in_place_broadcasts_and_casts(lib: Any, run: Run) -> Any:
    """The gradient of ``copy_`` has the shape and dtype of its source."""
    x = lib.tensor(A[0], dtype=lib.float64, requires_grad=True)
    scale = lib.tensor(B)

    def step() -> None:
        y = lib.zeros(2, 3)
        y.copy_(x)
        (y * scale).sum().backward()

    run(step)()
    return x.grad


@row
def an_assignment_by_index_records(lib: Any, run: Run) -> Any:
    """``y[i] = v`` sends the gradient of that place to ``v``, and of the others to what ``y`` was."""
    x, v = leaf(lib, A), leaf(lib, B[0])

    def step() -> None:
        y = x * 2
        y[1] = v
        (y * y).sum().backward()

    run(step)()
    return x.grad, v.grad


@row
def an_assignment_of_a_number_cuts_the_gradient(lib: Any, run: Run) -> Any:
    """Where a constant was written, nothing flows."""
    x = leaf(lib, A)

    def step() -> None:
        y = x * 2
        y[:, 1:] = 0.5
        (y * y).sum().backward()

    run(step)()
    return x.grad


@row
def an_assignment_by_mask_records(lib: Any, run: Run) -> Any:
    """``y[mask] = number`` and ``masked_fill_``."""
    x = leaf(lib, A)

    def step() -> None:
        y = x * 2
        y[x > 0] = 0.0
        y.masked_fill_(y < -3, 1.0)
        (y * y).sum().backward()

    run(step)()
    return x.grad


@row
def index_put_accumulates(lib: Any, run: Run) -> Any:
    """``index_put_(accumulate=True)`` with an index that repeats: each value has its gradient."""
    x, v = leaf(lib, A), leaf(lib, B)
    index, weight = lib.tensor([0, 1, 0, 1]), lib.tensor(B[:, :2])

    def step() -> None:
        y = x * 2
        y.index_put_((index[:2], index[2:] + 1), v[0, :2], accumulate=True)
        (y[:, :2] * weight + y[:, 1:] ** 2).sum().backward()

    run(step)()
    return x.grad, v.grad


@row
def an_assignment_in_a_loop(lib: Any, run: Run) -> Any:
    """A result filled row by row."""
    x = leaf(lib, A)

    def step() -> None:
        y = lib.zeros(2, 3)
        for index in range(2):
            y[index] = x[index] * x[1 - index]
        (y * y).sum().backward()

    run(step)()
    return x.grad


@row
def scatter_and_fill_in_place_record(lib: Any, run: Run) -> Any:
    """``index_add_``, ``scatter_``, ``index_fill_``."""
    x, v = leaf(lib, A), leaf(lib, B)
    index, places = lib.tensor([1, 0]), lib.tensor([[0, 2, 1], [2, 1, 0]])

    def step() -> None:
        y = x * 2
        y.index_add_(0, index, v)
        y.scatter_(1, places[:, :1], v[:, :1] * v[:, :1])
        y.index_fill_(1, index[:1], 3.0)
        (y * y).sum().backward()

    run(step)()
    return x.grad, v.grad


@row
def a_saved_result_written_in_place(lib: Any, run: Run) -> Any:
    """``exp`` saved its result; scaling that afterwards still gives the derivative of both."""
    x = leaf(lib, A)

    def step() -> None:
        y = x + 1
        y = y * y
        y.add_(x)
        y.sum().backward()

    run(step)()
    return x.grad


def _step(program: Any) -> Any:
    """An oracle: the same leaf and loss over a program written out of place."""

    def oracle(lib: Any, run: Run) -> Any:
        x, w = leaf(lib, A), leaf(lib, B)
        program(lib, x, w).sum().backward()
        return x.grad, w.grad

    return oracle


@row(oracle=_step(lambda lib, x, w: (x * w) * (w * 2)))
def an_operand_written_after_it_was_used(lib: Any, run: Run) -> Any:
    """A product keeps the value its operand had."""
    x, w = leaf(lib, A), leaf(lib, B)

    def step() -> None:
        y = w * 2
        product = (x * w) * y
        y.mul_(0)
        product.sum().backward()

    run(step)()
    return x.grad, w.grad


@row(oracle=_step(lambda lib, x, w: x.exp() * 2 + 0 * w))
def a_result_written_after_it_was_saved(lib: Any, run: Run) -> Any:
    """``exp`` keeps the value that it returned."""
    x, w = leaf(lib, A), leaf(lib, B)

    def step() -> None:
        y = x.exp()
        y *= 2
        (y + 0 * w).sum().backward()

    run(step)()
    return x.grad, w.grad


@row(oracle=_step(lambda lib, x, w: (x * x) * w))
def a_leaf_updated_between_forward_and_backward(lib: Any, run: Run) -> Any:
    """An update under ``no_grad`` does not reach what was recorded before it."""
    x, w = leaf(lib, A), leaf(lib, B)

    def step() -> None:
        loss = ((x * x) * w).sum()
        with lib.no_grad():
            x.sub_(10)
            w.zero_()
        loss.backward()

    run(step)()
    return x.grad, w.grad


@row(oracle=_step(lambda lib, x, w: (x.sigmoid() * w).sum() + x.sigmoid()[0] * 3))
def a_row_assigned_after_it_was_used(lib: Any, run: Run) -> Any:
    """``y[1] = 0`` after ``y`` was multiplied leaves that product's gradient alone."""
    x, w = leaf(lib, A), leaf(lib, B)

    def step() -> None:
        y = x.sigmoid()
        first = (y * w).sum()
        y[1] = 0.0
        (first + y[0] * 3).sum().backward()

    run(step)()
    return x.grad, w.grad


@row(oracle=_step(lambda lib, x, w: (x * 3) + w.reshape(-1)[:3] * (x * 3)))
def a_view_does_not_alias(lib: Any, run: Run) -> Any:
    """Writing to what a reshape and a slice gave writes to nothing else, and not to what was saved of it."""
    x, w = leaf(lib, A), leaf(lib, B)

    def step() -> None:
        y = x * 3
        first = (w * 1).reshape(-1)[:3]
        total = y + first * y
        first.zero_()
        y.zero_()
        total.sum().backward()

    run(step)()
    return x.grad, w.grad


@row
def data_writes_are_not_recorded(lib: Any, run: Run) -> Any:
    """``x.data`` reads and writes the value outside of any graph."""
    x, other = leaf(lib, A), lib.tensor(B)

    def step() -> Any:
        x.data.mul_(2)
        (x * x).sum().backward()
        x.data = other * 2
        return x.data.requires_grad, x.is_leaf

    return run(step)(), x, x.grad


@row
def a_gradient_may_be_scaled_in_place(lib: Any, run: Run) -> Any:
    """``x.grad.mul_``: clipping by hand."""
    x = leaf(lib, A)

    def step() -> None:
        (x * x).sum().backward()
        x.grad.mul_(0.5)
        x.grad.clamp_(-1.0, 1.0)

    run(step)()
    return x.grad


@row
def in_place_on_a_detached_twin(lib: Any, run: Run) -> Any:
    """A detached Tensor written in place before the original is used again: the original keeps its gradient."""
    x = leaf(lib, A)

    def step() -> Any:
        y = x * 2
        twin = y.detach().clone()
        twin.zero_()
        (y * y + twin).sum().backward()
        return twin

    return run(step)(), x.grad


@row
def an_in_place_result_must_fit(lib: Any, run: Run) -> Any:
    """An in-place method changes neither shape nor dtype kind, or is refused and writes nothing."""
    x, number = leaf(lib, A), lib.tensor([1, 2])

    def attempt() -> Any:
        y = x[0] * 2
        shape = refusal(lambda: y.add_(x.detach()))
        dtype = refusal(lambda: number.add_(0.5))
        return shape, dtype, y, number * 1

    return run(attempt)()
