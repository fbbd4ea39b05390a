"""Prints, checks, breakpoints and NaN checks: compiled functions say what eager ones do, in the same words."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import unified as un
from unified import errors
from unified.func import grad

X = np.array([1.0, 2.0], np.float32)
ways = pytest.mark.parametrize("way", [lambda f: f, un.compile], ids=["eager", "compiled"])


@ways
def test_print_shows_values_in_the_order_of_the_program_at_every_call(backend, way, capsys):
    steps = un.tensor(0)
    weight = un.tensor([2.0, 3.0], requires_grad=True)

    def f(x, name):
        un.debug.print("{} {:.2f} steps={n}", x, x.sum(), n=steps)
        steps.add_(1)
        y = (x * weight).sum()
        un.debug.print("{} {} {}", name, {"y": y, "rest": [1, None]}, steps)
        return y

    f = way(f)
    f(un.tensor(X), "a").backward()
    f(un.tensor(X), "a").backward()
    expected = "[1. 2.] 3.00 steps={}\na {{'y': 8.0, 'rest': [1, None]}} {}\n"
    assert capsys.readouterr().out == expected.format(0, 1) + expected.format(1, 2)
    np.testing.assert_array_equal(weight.grad.numpy(), 2 * X)


@ways
def test_print_shows_the_value_of_the_moment_and_every_dtype(backend, way, capsys):
    def f(x):
        un.debug.print("{} {:.1f}", x, x.to(un.bfloat16))
        x.mul_(2)
        un.debug.print("{} {}", x.to(un.int32), x > 2)

    way(f)(un.tensor(X))
    assert capsys.readouterr().out == "[1. 2.] [1.0 2.0]\n[2 4] [False  True]\n"


@ways
def test_print_inside_a_training_step_shows_gradients(backend, way, capsys):
    weight = un.tensor([2.0, 3.0], requires_grad=True)
    weight.register_hook(lambda gradient: un.debug.print("hook {}", gradient))

    def step(x):
        weight.grad = None
        (weight * x).sum().backward()
        un.debug.print("grad {}", weight.grad)

    way(step)(un.tensor(X))
    assert capsys.readouterr().out == "hook [1. 2.]\ngrad [1. 2.]\n"


@ways
def test_print_inside_transforms_shows_all_examples(backend, way, capsys):
    def f(x):
        un.debug.print("{}", x)
        return (x * x).sum()

    way(un.vmap(grad(f)))(un.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert capsys.readouterr().out == "[[1. 2.]\n [3. 4.]]\n"


def test_a_template_that_does_not_fit_is_refused_where_it_is_written(backend):
    with pytest.raises(errors.ArgumentError, match=r"'\{\} \{\}' does not fit 1 value"):
        un.debug.print("{} {}", un.tensor(X))
    with pytest.raises(errors.ArgumentError, match="does not fit"):
        un.compile(lambda x: un.debug.print("{:s}", x))(un.tensor(X))


@ways
def test_check_raises_with_the_message_and_the_line(backend, way, capsys):
    def f(x):
        un.debug.print("before")
        un.debug.check(x > 0, "x must be positive, not {least:.1f}", least=x.amin())
        un.debug.print("after")
        return x * 2

    f = way(f)
    np.testing.assert_array_equal(f(un.tensor(X)).numpy(), 2 * X)
    assert capsys.readouterr().out == "before\nafter\n"
    with pytest.raises(AssertionError) as caught:
        f(un.tensor(-X))
    assert isinstance(caught.value, errors.CheckError)
    assert str(caught.value).startswith("x must be positive, not -2.0\n  checked at ")
    assert "test_debug.py:" in str(caught.value)
    assert "(in f)" in str(caught.value)
    assert capsys.readouterr().out == "before\n"


@ways
def test_a_check_of_a_python_bool_is_part_of_the_program(backend, way):
    def f(x, flag):
        un.debug.check(flag, "flag")
        return x

    way(f)(un.tensor(X), True)
    with pytest.raises(errors.CheckError, match="flag"):
        way(f)(un.tensor(X), False)
    with pytest.raises(errors.OperandError, match="condition"):
        un.debug.check("yes", "text")


def test_a_compiled_call_whose_check_fails_changes_nothing(backend):
    model = un.nn.Linear(2, 1)
    optimizer = un.optim.Adam(model.parameters(), lr=0.1)

    def step(x):
        optimizer.zero_grad()
        loss = model(x).square().sum()
        loss.backward()
        optimizer.step()
        un.debug.check(x.sum() > 0, "bad batch")
        return loss

    def state():
        tensors = [*model.parameters(), *(p.grad for p in model.parameters())]
        tensors += [t for held in optimizer.state.values() for t in held.values() if isinstance(t, un.Tensor)]
        return [t.detach().numpy().copy() for t in tensors]

    compiled = un.compile(step)
    compiled(un.tensor(X[None]))
    before = state()
    argument = un.tensor(-X[None])
    with pytest.raises(errors.CheckError):
        compiled(argument)
    for a, b in zip(state(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(argument.numpy(), -X[None])
    compiled(un.tensor(X[None]))
    assert any((a != b).any() for a, b in zip(state(), before, strict=True))


@ways
def test_breakpoint_opens_with_the_values(backend, way, monkeypatch, capsys):
    seen = []

    def hook():
        scope = sys._getframe(1).f_locals
        seen.append((scope["values"][0], scope["named"]["total"]))

    monkeypatch.setattr(sys, "breakpointhook", hook)

    def f(x):
        un.debug.breakpoint_if(x.sum() < 0, x, total=x.sum())
        return x

    f = way(f)
    f(un.tensor(X))
    assert seen == []
    f(un.tensor(-X))
    np.testing.assert_array_equal(seen[0][0], -X)
    assert seen[0][1] == -3
    assert "test_debug.py:" in capsys.readouterr().out


@ways
def test_nan_check_names_the_op_and_the_line(backend, way):
    weight = un.tensor([1.0, 1.0], requires_grad=True)

    def f(x):
        weight.grad = None
        logarithm = (x * weight).log()
        safe = un.where(x > 0, logarithm, 0.0)
        safe.sum().backward()
        return safe

    f = way(f)
    bad = un.tensor([1.0, -2.0])
    assert f(bad).detach().numpy()[1] == 0
    with un.debug.nan_check():
        f(un.tensor(X))
        with pytest.raises(errors.NonFiniteError) as caught:
            f(bad)
    assert str(caught.value).startswith("log: 1 of 2 elements of output 0 are NaN\n  at ")
    assert "test_debug.py:" in str(caught.value)
    assert isinstance(caught.value, FloatingPointError)
    f(bad)


@ways
def test_nan_check_looks_at_backward_passes_and_at_infinities_when_asked(backend, way):
    weight = un.tensor([1.0, 4.0], requires_grad=True)

    def f(x):
        weight.grad = None
        (x * weight).sqrt().sum().backward()

    f = way(f)
    with un.debug.nan_check(), pytest.raises(errors.NonFiniteError) as caught:
        f(un.tensor([1.0, 0.0]))  # an infinite slope times 0
    assert str(caught.value).startswith("mul_backward: 1 of 2 elements of a gradient are NaN")
    with un.debug.nan_check(infinity=True), pytest.raises(errors.NonFiniteError) as caught:
        f(un.tensor([1.0, 0.0]))
    assert str(caught.value).startswith("sqrt_backward: 1 of 2 elements of a gradient are NaN or infinite")
    assert "(in f)" in str(caught.value)


def test_nan_check_is_a_decorator_and_a_switch(backend):
    @un.debug.nan_check()
    def f(x):
        return x.log()

    bad = un.tensor(-X)
    with pytest.raises(errors.NonFiniteError):
        f(bad)
    bad.log()
    un.debug.nan_check(True)
    try:
        with pytest.raises(errors.NonFiniteError):
            bad.log()
        with un.debug.nan_check(False):
            bad.log()
    finally:
        un.debug.nan_check(False)
    bad.log()


def test_nan_check_is_told_apart_in_the_reasons(backend):
    f = un.compile(lambda x: x + 1)
    f(un.tensor(X))
    with un.debug.nan_check():
        f(un.tensor(X))
    f(un.tensor(X))
    assert "nan_check" in str(f.explain())
    assert "2 program(s)" in str(f.explain())


def test_disable_compile_runs_python(backend):
    calls = []

    @un.compile
    def f(x):
        calls.append(1)
        return x * 2

    with un.disable_compile():
        f(un.tensor(X))
        f(un.tensor(X))
    assert len(calls) == 2
    assert "0 program(s)" in str(f.explain())

    @un.disable_compile
    def g(x):
        return f(x).sum().item()

    assert g(un.tensor(X)) == 6
    assert un.disable_compile()(g)(un.tensor(X)) == 6
    assert "0 program(s)" in str(f.explain())
    f(un.tensor(X))
    assert "1 program(s)" in str(f.explain())


def test_what_a_backward_program_cannot_show_is_refused(backend):
    weight = un.tensor([2.0, 3.0], requires_grad=True)

    def f(x):
        y = x * weight
        y.register_hook(lambda gradient: un.debug.print("{}", gradient))
        return y.sum()

    with pytest.raises(errors.UnifiedError, match="backward"):
        un.compile(f)(un.tensor(X)).backward()


def test_one_result_shown_and_returned_keeps_its_gradient(backend, capsys):
    """PyTorch's autograd loses all but the last of a program's results that are one tensor."""
    weight = un.tensor([2.0, 3.0], requires_grad=True)

    def f(x):
        y = x * weight
        return y, y.detach(), y

    first, _, third = un.compile(f)(un.tensor(X))
    (first + third).sum().backward()
    np.testing.assert_array_equal(weight.grad.numpy(), 2 * X)
