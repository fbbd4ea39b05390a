"""``autograd.gradcheck`` says of a function what ``torch.autograd.gradcheck`` says of the same one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import unified as un
from unified import errors
from unified.autograd import gradcheck, gradgradcheck

_DRAWN = np.random.default_rng(0)
X, Y = _DRAWN.normal(size=(2, 3)), _DRAWN.normal(size=(2, 3))
Z = _DRAWN.normal(size=(2, 3)) + 1j * _DRAWN.normal(size=(2, 3))
TIES = np.array([0.0, 1.0, -1.0])

Build = Callable[[Any], Callable[..., Any]]
"""From a library, ours or PyTorch, to a function written in it."""


def leaves(lib: Any, arrays: tuple[np.ndarray, ...]) -> tuple[Any, ...]:
    kinds = [lib.complex128 if array.dtype.kind == "c" else lib.float64 for array in arrays]
    return tuple(lib.tensor(a, dtype=kind, requires_grad=True) for a, kind in zip(arrays, kinds, strict=True))


def with_backward(
    lib: Any, forward: Callable[..., Any], backward: Callable[..., Any], materialize: bool = True
) -> Any:
    """A Function of one Tensor; ``backward`` is of what was saved and the cotangents."""

    class Made(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            ctx.set_materialize_grads(materialize)
            return forward(x)

        @staticmethod
        def backward(ctx, *cotangents):
            return backward(*ctx.saved_tensors, *cotangents)

    return Made.apply


def unsteady(lib: Any) -> Any:
    """Its gradients grow by a hundredth with every backward pass."""
    calls = []

    def backward(x, cotangent):
        calls.append(0)
        return cotangent * (2 + 0.01 * len(calls))

    return with_backward(lib, lambda x: x * 2, backward)


def total(lib: Any) -> Any:
    """Two outputs, whose backward takes None for what it is."""

    def backward(x, first, second):
        given = [c * k for c, k in ((first, 2), (second, 3)) if c is not None]
        return sum(given[1:], given[0]) if given else None

    return with_backward(lib, lambda x: (x * 2, x * 3), backward, materialize=False)


def blind(lib: Any) -> Any:
    """Two outputs, of which a missing second cotangent is taken for ones."""

    def backward(x, first, second):
        if first is None and second is None:
            return None
        zeros = lib.zeros_like(x)
        one = zeros if first is None else first * 2
        return one + (second * 3 if second is not None else (0 if first is not None and first.any() else zeros + 1))

    return with_backward(lib, lambda x: (x * 2, x * 3), backward, materialize=False)


RIGHT: dict[str, tuple[Build, tuple[np.ndarray, ...]]] = {
    "one input": (lambda lib: lib.sin, (X,)),
    "two inputs": (lambda lib: lambda x, y: x @ y.mT, (X, Y)),
    "two outputs": (lambda lib: lambda x, y: (x * y, lib.exp(x).sum()), (X, Y)),
    "a list of outputs": (lambda lib: lambda x: [x * 2, x * x], (X,)),
    "an output of one input alone": (lambda lib: lambda x, y: (x * 2, y * y), (X, Y)),
    "an output of integers": (lambda lib: lambda x: (x * x, x.argmax()), (X,)),
    "an unused input": (lambda lib: lambda x, y: x * x, (X, Y)),
    "a constant": (lambda lib: lambda x: lib.sign(x.detach()), (X,)),
    "holomorphic": (lambda lib: lambda z: z * z + lib.exp(z), (Z,)),
    "conjugate": (lambda lib: lambda z: z * z.conj() * (1 + 2j), (Z,)),
    "complex to real": (lambda lib: lib.abs, (Z,)),
    "real to complex": (lambda lib: lambda x: x * (1 + 2j), (X,)),
    "real and complex": (lambda lib: lambda x, z: (x * z, z.real * x), (X, Z)),
    "empty": (lambda lib: lambda x: x[:0] * 2, (X,)),
    "a scalar": (lambda lib: lambda x: x * x, (np.array(1.5),)),
    "None for an undefined gradient": (total, (X,)),
    "its own rule": (lambda lib: with_backward(lib, lambda x: x * x, lambda x, c: 2 * x * c), (X,)),
}
WRONG: dict[str, tuple[Build, tuple[np.ndarray, ...]]] = {
    "half of it detached": (lambda lib: lambda x: x.detach() * x, (X,)),
    "half of it detached, complex": (lambda lib: lambda z: z.detach() * z, (Z,)),
    "the second output": (lambda lib: lambda x, y: (x * y, x * y.detach()), (X, Y)),
    "the imaginary part": (lambda lib: lambda x: x * 2 + 1j * x.detach(), (X,)),
    "no graph at all": (lambda lib: lambda x: x.detach() * 2, (X,)),
    "a factor": (lambda lib: with_backward(lib, lambda x: x * x, lambda x, c: x * c), (X,)),
    "one element": (
        lambda lib: with_backward(lib, lambda x: x * 2, lambda x, c: c * 2 + 1e-3 * (x == x.max())),
        (X,),
    ),
    "a conjugate that is missing": (
        lambda lib: with_backward(lib, lambda z: z * z, lambda z, c: 2 * z * c),
        (Z,),
    ),
    "a kink": (lambda lib: lib.relu, (TIES,)),
    "unsteady": (unsteady, (X,)),
    "a cotangent that is not used": (
        lambda lib: with_backward(lib, lambda x: x.sum(), lambda x, c: lib.ones_like(x)),
        (X,),
    ),
    "an undefined gradient": (blind, (X,)),
}


def both(build: Build, arrays: tuple[np.ndarray, ...], **options: Any) -> tuple[bool, bool]:
    """Our verdict and PyTorch's."""
    ours = gradcheck(build(un), leaves(un, arrays), raise_exception=False, **options)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Backwards compatibility: New undefined gradient")
        theirs = torch.autograd.gradcheck(build(torch), leaves(torch, arrays), raise_exception=False, **options)
    return ours, theirs


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("name", RIGHT)
def test_right_derivatives_pass(backend, name, fast):
    assert both(*RIGHT[name], fast_mode=fast) == (True, True)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("name", WRONG)
def test_wrong_derivatives_fail(backend, name, fast):
    assert both(*WRONG[name], fast_mode=fast) == (False, False)


def test_options_mean_what_they_mean_in_pytorch(backend):
    assert both(unsteady, (X,), nondet_tol=1.0, atol=10.0) == (True, True)
    assert both(blind, (X,), check_undefined_grad=False) == (True, True)
    assert both(lambda lib: lib.relu, (TIES,), atol=0.6) == (True, True)
    assert both(lambda lib: lambda x: x**3, (X,), check_grad_dtypes=True, check_batched_grad=True) == (True, True)
    assert both(lambda lib: lambda x: x**3, (X,), eps=1.0) == (False, False)
    assert not gradcheck(
        unsteady(un), leaves(un, (X,)), nondet_tol=1.0, atol=10.0, check_batched_grad=True, raise_exception=False
    )


def test_other_arguments_are_handed_on(backend):
    def function(lib):
        return lambda x, power, name, fixed: x**power * fixed + len(name)

    for lib, check in ((un, gradcheck), (torch, torch.autograd.gradcheck)):
        (x,) = leaves(lib, (X,))
        assert check(function(lib), (x, 3, "name", lib.tensor(Y, dtype=lib.float64)))
        assert check(lambda *values: values[0] * 2, [x, None])


SECOND: dict[str, tuple[Build, tuple[np.ndarray, ...], bool]] = {
    "cube": (lambda lib: lambda x: x**3, (X,), True),
    "two inputs and outputs": (lambda lib: lambda x, y: (x * y * y, lib.sin(x)), (X, Y), True),
    "linear": (lambda lib: lambda x: x * 3, (X,), True),
    "complex": (lambda lib: lambda z: z * z * z.conj(), (Z,), True),
    "complex to real": (lambda lib: lambda z: (z * z.conj()).real ** 2, (Z,), True),
    "a rule that detaches": (
        lambda lib: with_backward(lib, lambda x: x**3, lambda x, c: 3 * x.detach() ** 2 * c),
        (X,),
        False,
    ),
    "a first derivative that is wrong": (lambda lib: lambda x: x.detach() ** 2 * x**2, (X,), False),
}


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("name", SECOND)
def test_second_derivatives(backend, name, fast):
    build, arrays, right = SECOND[name]
    options = {"raise_exception": False, "fast_mode": fast}
    assert torch.autograd.gradgradcheck(build(torch), leaves(torch, arrays), **options) is right
    assert gradgradcheck(build(un), leaves(un, arrays), **options) is right


def test_second_derivatives_at_given_cotangents(backend):
    (x,), (cotangent,) = leaves(un, (X,)), leaves(un, (Y,))
    assert gradgradcheck(un.exp, x, cotangent)
    assert gradgradcheck(lambda x: (x**2, x**3), (x,), (cotangent, cotangent), gen_non_contig_grad_outputs=True)


def test_a_module_is_checked_by_its_parameters(backend):
    """They are moved in place, as in PyTorch, where the function finds them by closure."""
    module = un.nn.Linear(3, 2).to(un.float64)
    x = un.tensor(X, dtype=un.float64)
    before = [p.detach().numpy().copy() for p in module.parameters()]
    assert gradcheck(lambda *parameters: un.tanh(module(x)), tuple(module.parameters()))
    for parameter, values in zip(module.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.detach().numpy(), values)
        assert parameter.grad is None
        assert parameter.requires_grad


@pytest.mark.parametrize("fast", [False, True])
def test_the_message_names_what_is_wrong(backend, fast):
    x, y = leaves(un, (np.array([2.0, 3.0]), np.array([5.0, 7.0])))
    with pytest.raises(errors.GradcheckError) as caught:
        gradcheck(lambda x, y: (x + y, x * y.detach() * y), (x, y), fast_mode=fast)
    said = str(caught.value)
    assert "output 1 with respect to input 1, float64 (2,)" in said
    assert backend in said
    assert "numerical:\n[[20.  0.]\n [ 0. 42.]]\nanalytical:\n[[10.  0.]\n [ 0. 21.]]" in said
    assert "largest difference 2" in said  # 21, to the accuracy of a difference quotient
    assert "element 1 of the output by element 1 of the input" in said
    assert ("projected by fast_mode" in said) is fast
    assert isinstance(caught.value, errors.AutogradError)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda lib: lambda x: x.detach() * 2, "should be zero"),
        (unsteady, "nondet_tol is 0.0"),
        (blind, r"undefined gradient of output 1 for zeros"),
        (lambda lib: with_backward(lib, lambda x: x + 0, lambda x, c: 0 * x + 1), "Jacobian mismatch"),
        (lambda lib: with_backward(lib, lambda x: (x * 2).sum(), lambda x, c: 0 * x + 2), "not multiplied"),
    ],
)
def test_other_failures_have_words_of_their_own(backend, build, words):
    with pytest.raises(errors.GradcheckError, match=words):
        gradcheck(build(un), leaves(un, (X,)))


def test_a_part_of_a_complex_output_is_named(backend):
    with pytest.raises(errors.GradcheckError, match=r"output 0 \(its imaginary part\) with respect to input 0"):
        gradcheck(lambda x: x * 2 + 1j * x.detach(), leaves(un, (X,)))


def test_a_shape_that_changes_with_the_values_is_refused(backend):
    (x,) = leaves(un, (np.array([0.0, 1.0]),))
    with pytest.raises(errors.GradcheckError, match="same shapes"):
        gradcheck(lambda x: x[x > 0] * 2, (x,))


def test_single_precision_is_warned_of(backend):
    x = un.tensor([1.0, 2.0], requires_grad=True)
    with pytest.warns(UserWarning, match=r"Input #0 requires grad and is float32"):
        gradcheck(lambda x: x * 2, x, raise_exception=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gradcheck(lambda x, fixed: x * fixed, (*leaves(un, (X,)), un.ones(3)))


def test_bad_arguments_are_refused(backend):
    (x,) = leaves(un, (X,))
    for options, words in (
        ({"masked": True}, "sparse"),
        ({"check_forward_ad": True}, r"un\.func\.jvp"),
        ({"check_batched_forward_grad": True}, r"un\.func\.jvp"),
        ({"check_backward_ad": False}, r"un\.func\.jvp"),
    ):
        with pytest.raises(errors.ArgumentError, match=words):
            gradcheck(un.sin, x, **options)
    for options in ({"masked": True}, {"check_fwd_over_rev": True}, {"check_rev_over_rev": False}):
        with pytest.raises(errors.ArgumentError):
            gradgradcheck(un.sin, x, **options)
    with pytest.raises(errors.ArgumentError, match="requires grad"):
        gradcheck(un.sin, x.detach())
    with pytest.raises(errors.OperandError, match="output 1 is float"):
        gradcheck(lambda x: (x, 2.0), x)


def test_an_error_of_the_function_leaves_the_inputs_as_they_were(backend):
    (x,) = leaves(un, (X,))
    calls = []

    def function(x):
        calls.append(0)
        if len(calls) == 4:
            raise KeyError("stop")
        return x * 2

    with pytest.raises(KeyError, match="stop"):
        gradcheck(function, x)
    np.testing.assert_array_equal(x.detach().numpy(), X)
    assert x.requires_grad
    assert x.grad is None
