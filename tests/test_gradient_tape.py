"""``GradientTape`` against TensorFlow's own. Tolerance 1e-5: float32, a handful of operations."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

import unified as un
import unified.nn as nn
from unified import _caller
from unified.autograd import GradientTape
from unified.errors import ArgumentError, AutogradError, DTypeError, OperandError, ShapeError

A = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]], np.float32)
B = np.array([[2.0, 0.5, -0.5], [1.0, -2.0, 3.0]], np.float32)


class Library(NamedTuple):
    """What the two have under different names."""

    tape: Callable[..., Any]
    constant: Callable[[Any], Any]
    variable: Callable[[Any], Any]
    exp: Callable[[Any], Any]
    total: Callable[[Any], Any]
    matmul: Callable[[Any, Any], Any]


OURS = Library(
    GradientTape, un.tensor, lambda v: un.tensor(v).requires_grad_(), un.exp, un.sum, lambda a, b: a @ b.mT
)  # fmt: skip
THEIRS = Library(
    tf.GradientTape, tf.constant, tf.Variable, tf.exp, tf.reduce_sum, lambda a, b: tf.matmul(a, b, transpose_b=True)
)  # fmt: skip


def values(found: Any) -> Any:
    """Numpy arrays in the place of either library's tensors."""
    if found is None or isinstance(found, (bool, int)):
        return found
    if isinstance(found, dict):
        return {key: values(member) for key, member in found.items()}
    if isinstance(found, (list, tuple)):
        return type(found)(values(member) for member in found)
    return found.detach().numpy() if isinstance(found, un.Tensor) else found.numpy()


def check(ours: Any, theirs: Any) -> None:
    assert type(ours) is type(theirs) or not isinstance(theirs, (list, tuple, dict))
    if theirs is None:
        assert ours is None
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key, member in theirs.items():
            check(ours[key], member)
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            check(one, other)
    elif isinstance(theirs, int):
        assert ours == theirs
    else:
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


PROGRAMS: list[Callable[[Library], Any]] = []


def program(function: Callable[[Library], Any]) -> Callable[[Library], Any]:
    PROGRAMS.append(function)
    return function


@program
def variables_take_part(lib: Library) -> Any:
    x = lib.variable(A)
    with lib.tape() as tape:
        y = lib.total(x * x)
    return tape.gradient(y, x)


@program
def constants_do_if_watched(lib: Library) -> Any:
    x, y = lib.constant(A), lib.constant(B)
    with lib.tape() as tape:
        tape.watch(x)
        z = lib.total(x * x * y)
    return tape.gradient(z, [x, y])


@program
def a_list_is_watched(lib: Library) -> Any:
    x, y = lib.constant(A), lib.constant(B)
    with lib.tape() as tape:
        tape.watch([x, y])
        z = lib.total(x * lib.exp(y))
    return tape.gradient(z, (y, x))


@program
def structures(lib: Library) -> Any:
    x, y = lib.variable(A), lib.variable(B)
    with lib.tape() as tape:
        z = lib.total(x * y)
    return tape.gradient(z, {"x": x, "pair": [y, (x, x)]})


@program
def elements_are_summed_and_weighted(lib: Library) -> Any:
    x = lib.variable(A)
    with lib.tape(persistent=True) as tape:
        y = x * x
        z = lib.exp(x)
    weighted = tape.gradient([y, z], x, output_gradients=[lib.constant(B), lib.constant(A)])
    return (
        tape.gradient(y, x),
        tape.gradient(y, x, output_gradients=lib.constant(B)),
        tape.gradient([y, z], x),
        weighted,
    )


@program
def unconnected(lib: Library) -> Any:
    x, y = lib.variable(A), lib.variable(B)
    with lib.tape(persistent=True) as tape:
        z = lib.total(x * x)
    return (
        tape.gradient(z, [x, y]),
        tape.gradient(z, [y, x], unconnected_gradients="zero"),
        tape.gradient(z, y),
        tape.jacobian(z * 1, y, unconnected_gradients="zero"),
    )


@program
def intermediate_values(lib: Library) -> Any:
    x = lib.variable(A)
    with lib.tape(persistent=True) as tape:
        y = x * x
        z = lib.total(y * y)
    return tape.gradient(z, y), tape.gradient(y, x), tape.gradient(z, [x, y]), tape.gradient(z, z)


@program
def a_watched_intermediate(lib: Library) -> Any:
    x = lib.variable(A)
    with lib.tape() as outer:
        y = lib.exp(x)
        with lib.tape() as inner:
            inner.watch(y)
            z = lib.total(y * y * y)
        g = inner.gradient(z, y)
        total = lib.total(g)
    return g, outer.gradient(total, x)


@program
def third_order(lib: Library) -> Any:
    x = lib.constant(A)
    with lib.tape() as third:
        third.watch(x)
        with lib.tape() as second:
            second.watch(x)
            with lib.tape() as first:
                first.watch(x)
                y = lib.total(x * x * x * x)
            g = first.gradient(y, x)
        h = second.gradient(g, x)
    return g, h, third.gradient(h, x)


@program
def two_tapes_over_one_graph(lib: Library) -> Any:
    x = lib.variable(A)
    with lib.tape() as one, lib.tape() as other:
        y = lib.total(lib.exp(x) * x)
    return one.gradient(y, x), other.gradient(y, x)


@program
def a_persistent_tape_records_its_own_gradients(lib: Library) -> Any:
    x = lib.variable(A)
    with lib.tape() as outer:
        with lib.tape(persistent=True) as tape:
            y = lib.total(x * x * x)
        g, same = tape.gradient(y, x), tape.gradient(y, x)
        z = lib.total(g * same)
    return outer.gradient(z, x)


@program
def jacobians(lib: Library) -> Any:
    x, y = lib.variable(A), lib.variable(B[0])
    with lib.tape() as tape:
        z = lib.exp(x) * y * lib.total(x)
    return tape.jacobian(z, {"x": x, "y": y})


@program
def jacobian_of_a_gradient(lib: Library) -> Any:
    x = lib.variable(A)
    with lib.tape() as outer:
        with lib.tape() as inner:
            y = lib.total(x * x * lib.exp(x))
        g = inner.gradient(y, x)
    return outer.jacobian(g, x)


@program
def batch_jacobians(lib: Library) -> Any:
    x, w = lib.variable(A), lib.constant(np.arange(12, dtype=np.float32).reshape(4, 3) / 5)
    with lib.tape(persistent=True) as tape:
        y = lib.exp(lib.matmul(x, w))
        z = lib.exp(x) * x
    return tape.batch_jacobian(y, x), tape.batch_jacobian(z, x)


@program
def stopped(lib: Library) -> Any:
    x = lib.variable(A)
    with lib.tape() as tape:
        y = lib.total(x * x)
        with tape.stop_recording():
            z = lib.total(x * 3)
        total = y * z
    return tape.gradient(total, x)


@program
def started_again(lib: Library) -> Any:
    x, c = lib.variable(A), lib.constant(B)
    with lib.tape() as tape:
        tape.watch(c)
        lib.total(x * c)
        tape.reset()
        z = lib.total(x * 3 * c)
    return tape.gradient(z, [x, c])


@program
def only_what_is_watched(lib: Library) -> Any:
    x, y = lib.variable(A), lib.variable(B)
    with lib.tape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        z = lib.total(x * y)
    return tape.gradient(z, [x, y]), [v is x for v in tape.watched_variables()]


@program
def variables_are_found(lib: Library) -> Any:
    x, y, unused, c = lib.variable(A), lib.variable(B), lib.variable(A), lib.constant(B)
    with lib.tape() as outer:
        outer.watch(c)
        with lib.tape(watch_accessed_variables=False) as explicit, lib.tape() as tape:
            explicit.watch(y)
            z = lib.total(lib.exp(y) * x * y * c)
            with tape.stop_recording():
                lib.total(unused * x)
    found = tape.watched_variables()
    seen = [any(v is variable for v in t.watched_variables()) for t in (tape, outer) for variable in (x, y, c)]
    assert [v is y for v in explicit.watched_variables()] == [True]
    gradients = tape.gradient(z, found)
    return [g for v, g in zip(found, gradients, strict=True) if v is y], len(found), seen


@program
def nothing_was_recorded(lib: Library) -> Any:
    x, c = lib.variable(A), lib.constant(B)
    with lib.tape(persistent=True) as tape:
        y = lib.total(c * c)
    return tape.gradient(y, x), tape.gradient(y, [x], unconnected_gradients="zero"), tape.gradient(y, [])


@pytest.mark.parametrize("run", PROGRAMS, ids=lambda run: run.__name__)
def test_as_tensorflow(backend: str, run: Callable[[Library], Any]) -> None:
    check(values(run(OURS)), values(run(THEIRS)))


def test_inside_compile(backend: str) -> None:
    """Second order, with a watched argument, a captured plain Tensor and a Parameter; twice, for what stays."""
    weight, plain = nn.Parameter(un.tensor(B)), un.tensor(A)

    def derive(lib: Library, x: Any, weight: Any, plain: Any) -> Any:
        with lib.tape() as outer:
            outer.watch([x, plain])
            with lib.tape() as inner:
                inner.watch(x)
                y = lib.total(lib.exp(x) * weight * plain * plain)
            g = inner.gradient(y, x)
            z = lib.total(g * g)
        return g, outer.gradient(z, [x, weight, plain])

    compiled = un.compile(lambda x: derive(OURS, x, weight, plain))
    expected = values(derive(THEIRS, tf.constant(A), tf.Variable(B), tf.constant(A)))
    for _ in range(2):
        x = un.tensor(A)
        check(values(compiled(x)), expected)
        assert not x.requires_grad
        assert not plain.requires_grad
        assert weight.grad is None
    np.testing.assert_array_equal(plain.numpy(), A)


def test_watching_is_undone_and_is_nobody_elses_affair(backend: str) -> None:
    x = un.tensor(A)
    other = un.from_native(x.native)
    with GradientTape() as tape:
        tape.watch(x)
        assert x.requires_grad
        assert not other.requires_grad
        y = (x * other).sum()
    assert not x.requires_grad
    assert x.is_leaf
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), A)
    assert x.grad is None
    assert not x.requires_grad


def test_watching_is_undone_after_an_error(backend: str) -> None:
    x = un.tensor(A)
    with un.no_grad():
        with contextlib.suppress(ZeroDivisionError), GradientTape() as tape:
            tape.watch(x)
            assert un.is_grad_enabled()
            raise ZeroDivisionError
        assert not un.is_grad_enabled()
    assert not x.requires_grad


def test_module_parameters_take_part_and_grad_stays(backend: str) -> None:
    model = nn.Linear(3, 2)
    x = un.tensor(A)
    model(x).sum().backward()
    before = [p.grad.numpy().copy() for p in model.parameters()]
    with un.no_grad(), GradientTape() as tape:
        loss = (model(x) ** 2).sum()
    gradients = tape.gradient(loss, model.parameters())
    expected = un.autograd.grad((model(x) ** 2).sum(), list(model.parameters()))
    for gradient, reference, parameter, held in zip(gradients, expected, model.parameters(), before, strict=True):
        np.testing.assert_allclose(gradient.numpy(), reference.numpy(), rtol=1e-5)
        np.testing.assert_array_equal(parameter.grad.numpy(), held)
        assert not gradient.requires_grad


def test_a_models_parameters_are_its_variables(backend: str) -> None:
    """Also where a compiled function captures them, at its first call and at a later one. No op stays slow."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    x = un.tensor(A)
    for call in (model, compiled := un.compile(model), compiled):
        with GradientTape() as tape:
            loss = (call(x) ** 2).sum()
        variables = tape.watched_variables()
        assert {id(v) for v in variables} == {id(p) for p in model.parameters()}
        assert all(g is not None for g in tape.gradient(loss, variables))
    assert _caller.namespace["tracer"] is None


def test_a_tape_is_used_once_and_a_block_entered_again_starts_anew(backend: str) -> None:
    x = un.tensor(A).requires_grad_()
    tape = GradientTape()
    for _ in range(2):
        with tape:
            y = (x * x).sum()
        tape.gradient(y, x)
        with pytest.raises(AutogradError, match="persistent=True"):
            tape.gradient(y, x)


def test_refusals(backend: str) -> None:
    x = un.tensor(A).requires_grad_()
    tape = GradientTape(persistent=True)
    with pytest.raises(AutogradError, match="recorded nothing"):
        tape.gradient(x, x)
    for late in (lambda: tape.watch(x), tape.reset, lambda: tape.stop_recording().__enter__()):
        with pytest.raises(AutogradError, match="within its `with` block"):
            late()
    with tape:
        with pytest.raises(AutogradError, match="recording already"), tape:
            pass
        with pytest.raises(DTypeError, match="int32"):
            tape.watch(un.tensor([1, 2]))
        with pytest.raises(OperandError, match="not float"):
            tape.watch(1.0)
        y = x * x
    with pytest.raises(ArgumentError, match="'none' or 'zero'"):
        tape.gradient(y, x, unconnected_gradients="zeros")  # type: ignore[arg-type]
    with pytest.raises(OperandError, match="sources must be"):
        tape.gradient(y, 3)
    with pytest.raises(AutogradError, match="2 targets have 1"):
        tape.gradient([y, y], x, output_gradients=[x])
    with pytest.raises(AutogradError, match="does not fit"):
        tape.gradient(y, x, output_gradients=un.ones(2))
    with pytest.raises(ShapeError, match="first dimension"):
        tape.batch_jacobian(y[0], x)


def test_the_graph_around_the_block_counts(backend: str) -> None:
    """Where ours differs from TensorFlow's by design; ``detach`` gives its answer."""
    x = un.tensor(A).requires_grad_()
    y = x * x
    with GradientTape(persistent=True) as tape:
        through = (y * x).sum()
        cut = (y.detach() * x).sum()
    after = through * 2
    np.testing.assert_allclose(tape.gradient(through, x).numpy(), 3 * A**2, rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(after, x).numpy(), 6 * A**2, rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(cut, x).numpy(), A**2, rtol=1e-5)
