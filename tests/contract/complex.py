"""Complex numbers: the gradient of a real loss by ``z = x + iy`` is ``dL/dx + i dL/dy``."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.contract.row import A, B, Run, Theme, leaf, refusal

row = Theme(__name__)

Z = (A + 1j * B).astype(np.complex64)
W = (B - 0.5j * A).astype(np.complex64)


@row
def the_conjugate_convention(lib: Any, run: Run) -> Any:
    """For |z|^2 the gradient is 2z: it points where the loss grows."""
    z = leaf(lib, Z)
    run(lambda: (z * z.conj()).real.sum().backward())()
    return z.grad


@row
def abs_and_angle(lib: Any, run: Run) -> Any:
    """Modulus and argument."""
    z = leaf(lib, Z)
    run(lambda: (z.abs() * 2 + z.angle()).sum().backward())()
    return z.grad


@row
def real_and_imaginary_parts(lib: Any, run: Run) -> Any:
    """``.real`` and ``.imag``."""
    z = leaf(lib, Z)
    run(lambda: (z.real**2 * z.imag).sum().backward())()
    return z.grad


@row
def view_as_real_and_back(lib: Any, run: Run) -> Any:
    """Both directions pass gradients."""
    z, pairs = leaf(lib, Z), leaf(lib, np.stack([A, B], -1))

    def step() -> None:
        there = lib.view_as_real(z)
        back = lib.view_as_complex(pairs)
        ((there**3).sum() + (back * z).abs().sum()).backward()

    run(step)()
    return z.grad, pairs.grad


@row
def holomorphic_functions(lib: Any, run: Run) -> Any:
    """``exp``, ``sin``, powers and division: the conjugate of the derivative times the cotangent."""
    z = leaf(lib, Z)
    run(lambda: (z.exp() + z.sin() / (z * z + 3)).real.sum().backward())()
    return z.grad


@row
def a_complex_cotangent(lib: Any, run: Run) -> Any:
    """A complex root has no implicit gradient but takes a complex one."""
    z, cotangent = leaf(lib, Z), lib.tensor(W)
    run(lambda: (z * z).backward(cotangent))()
    return z.grad


@row
def a_complex_root_has_no_implicit_gradient(lib: Any, run: Run) -> Any:
    """``backward()`` on a complex scalar is refused: real or imaginary part?"""
    z = leaf(lib, Z)
    return run(lambda: refusal(lambda: (z * z).sum().backward()))(), z.grad


@row
def complex_matmul(lib: Any, run: Run) -> Any:
    """A product of complex matrices."""
    z, w = leaf(lib, Z), leaf(lib, W)
    run(lambda: (z @ w.mH).abs().sum().backward())()
    return z.grad, w.grad


@row
def real_and_complex_operands(lib: Any, run: Run) -> Any:
    """The gradient of a real operand is real, also where it met a complex one."""
    x, z = leaf(lib, A), leaf(lib, Z)
    run(lambda: (x * z + x / z).abs().sum().backward())()
    return x.grad, z.grad


@row
def complex_of_two_reals(lib: Any, run: Run) -> Any:
    """``complex(x, y)`` and ``polar``."""
    x, y = leaf(lib, A), leaf(lib, B)
    run(lambda: (lib.complex(x, y) ** 2 + lib.polar(x.exp(), y)).imag.sum().backward())()
    return x.grad, y.grad


@row
def grad_of_a_complex_input(lib: Any, run: Run) -> Any:
    """``autograd.grad`` has the same convention."""
    z = leaf(lib, Z)
    return run(lambda: lib.autograd.grad((z**3).imag.sum(), z))()


@row
def second_order_of_complex(lib: Any, run: Run) -> Any:
    """The gradient of a real function of a complex gradient."""
    z = leaf(lib, Z)

    def derive() -> Any:
        (g,) = lib.autograd.grad((z**3).abs().sum(), z, create_graph=True)
        return g.detach(), lib.autograd.grad(g.abs().sum(), z)

    return run(derive)()


@row
def a_complex_forward_differentiated_outside(lib: Any, run: Run) -> Any:
    """The convention holds for a compiled forward as for the ops in it."""
    z, x = leaf(lib, Z), leaf(lib, A)
    run(lambda: (z.exp() * x).imag.sum())().backward()
    return z.grad, x.grad


@row
def a_complex_result_of_a_function(lib: Any, run: Run) -> Any:
    """A complex result crosses the border of a function with its convention."""
    z, x = leaf(lib, Z), leaf(lib, A)
    y = run(lambda t: t * t * x)(z)
    (y.abs() + y.imag).sum().backward()
    return z.grad, x.grad


@row(needs="register_hook")
def a_hook_sees_the_convention(lib: Any, run: Run) -> Any:
    """A hook on a complex Tensor gets the gradient as ``.grad`` would have it."""
    z = leaf(lib, Z)

    def step() -> Any:
        seen: list[Any] = []
        y = z * z
        y.register_hook(lambda g: seen.append(g * 1))
        y.imag.sum().backward()
        return seen

    return run(step)(), z.grad


@row
def fft_passes_gradients(lib: Any, run: Run) -> Any:
    """Real to complex and back."""
    x = leaf(lib, A)
    run(lambda: (lib.fft.rfft(x).abs() ** 2).sum().backward())()
    return x.grad
