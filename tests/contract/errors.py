"""What backward refuses: the class is PyTorch's or derives from it, and the text is one on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.contract.row import A, B, Run, Theme, leaf, refusal

row = Theme(__name__)


@row(says=("(2, 3)", "gradient="))
def a_non_scalar_needs_a_gradient(lib: Any, run: Run) -> Any:
    """``backward()`` on several elements is refused."""
    x = leaf(lib, A)
    return run(lambda: refusal(lambda: (x * 2).backward()))(), x.grad


@row(says="(2, 3)")
def grad_of_a_non_scalar_needs_cotangents(lib: Any, run: Run) -> Any:
    """So is it for ``autograd.grad``."""
    x = leaf(lib, A)
    return run(lambda: refusal(lambda: lib.autograd.grad(x * 2, x)))()


@row(says=("(3,)", "(2, 3)"))
def a_gradient_of_the_wrong_shape(lib: Any, run: Run) -> Any:
    """A cotangent that would broadcast is refused all the same."""
    x, cotangent = leaf(lib, A), lib.tensor(B[0])
    return run(lambda: refusal(lambda: (x * 2).backward(cotangent)))(), x.grad


@row
def a_gradient_that_is_no_tensor(lib: Any, run: Run) -> Any:
    """A number is no cotangent."""
    x = leaf(lib, A)
    return run(lambda: refusal(lambda: (x * 2).sum().backward(2.0)))(), x.grad


@row
def a_gradient_of_another_kind(lib: Any, run: Run) -> Any:
    """A complex cotangent for a real root is refused."""
    x, cotangent = leaf(lib, A), lib.tensor((A + 1j * B).astype(np.complex64))
    return run(lambda: refusal(lambda: (x * 2).backward(cotangent)))(), x.grad


@row(says="require")
def backward_without_a_graph(lib: Any, run: Run) -> Any:
    """Nothing that the root was computed from requires grad."""
    x = lib.tensor(A)
    return run(lambda: refusal(lambda: x.sum().backward()))()


@row(says="require")
def backward_of_what_no_grad_computed(lib: Any, run: Run) -> Any:
    """Nor does a result of ``no_grad``."""
    x = leaf(lib, A)

    def attempt() -> Any:
        with lib.no_grad():
            loss = (x * x).sum()
        return refusal(loss.backward)

    return run(attempt)(), x.grad


@row
def backward_of_a_detached_or_integer_root(lib: Any, run: Run) -> Any:
    """A detached root and an integer one have no graph either."""
    x = leaf(lib, A)

    def attempt() -> Any:
        return refusal((x * x).sum().detach().backward), refusal(x.argmax().backward), refusal((x > 0).sum().backward)

    return run(attempt)()


@row
def grad_without_a_graph(lib: Any, run: Run) -> Any:
    """``autograd.grad`` of a constant."""
    x, constant = leaf(lib, A), lib.tensor(B)
    return run(lambda: refusal(lambda: lib.autograd.grad((constant * 2).sum(), x)))()


@row
def a_root_that_is_a_leaf(lib: Any, run: Run) -> Any:
    """A leaf is its own root: its gradient is the cotangent."""
    x = leaf(lib, [2.0])
    run(lambda: x.backward())()
    return x.grad


@row(says="detach")
def numpy_of_a_tensor_that_requires_grad(lib: Any, run: Run) -> Any:
    """``numpy()`` says where gradients end."""
    x = leaf(lib, A)
    run(lambda: (x * 2).sum().backward())()
    return refusal(x.numpy), refusal(lambda: (x * 2).numpy()), x.grad


@row
def roots_must_be_there(lib: Any, run: Run) -> Any:
    """No roots at all: nothing to do for ``backward``, as in PyTorch."""
    x = leaf(lib, A)
    return run(lambda: refusal(lambda: lib.autograd.backward([])))(), x.grad


@row
def grad_wants_tensors(lib: Any, run: Run) -> Any:
    """Anything but Tensors as outputs or inputs is a TypeError."""
    x = leaf(lib, A)

    def attempt() -> Any:
        loss = (x * x).sum()
        return refusal(lambda: lib.autograd.grad(loss, "x")), refusal(lambda: lib.autograd.grad(1.0, x))

    return run(attempt)()


@row
def a_refused_backward_can_be_repaired(lib: Any, run: Run) -> Any:
    """After a refusal the graph is whole, and the right call works."""
    x, wrong, right = leaf(lib, A), lib.tensor(B[0]), lib.tensor(B)

    def step() -> Any:
        y = x * x
        found = refusal(y.backward), refusal(lambda: y.backward(wrong))
        y.backward(right)
        return found

    return run(step)(), x.grad
