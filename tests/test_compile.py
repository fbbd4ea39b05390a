"""The static path: eager and compiled agree on each backend, state follows, and misuse says so."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pytest

import unified as un
from unified import errors

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 8)).astype(np.float32)
Y = RNG.normal(size=(5, 3)).astype(np.float32)
W1 = RNG.normal(size=(8, 16)).astype(np.float32) / 3
W2 = RNG.normal(size=(16, 3)).astype(np.float32) / 4

CLOSE = {"rtol": 2e-5, "atol": 1e-6}
"""XLA and inductor fuse and reorder float32 sums of up to 16 terms, over a few steps."""


class Problem:
    """A two-layer regression with momentum, held in plain Python objects."""

    def __init__(self) -> None:
        self.weights = [un.tensor(W1, requires_grad=True), un.tensor(W2, requires_grad=True)]
        self.momenta = {name: un.zeros(*w.shape) for name, w in zip("ab", self.weights, strict=True)}
        self.rate = un.tensor(0.05)
        self.steps = un.tensor(0)

    def loss(self, x: un.Tensor, y: un.Tensor) -> un.Tensor:
        error = (x @ self.weights[0]).relu() @ self.weights[1] - y
        return (error * error).mean()

    def step(self, x: un.Tensor, y: un.Tensor) -> un.Tensor:
        for w in self.weights:
            w.grad = None
        loss = self.loss(x, y)
        loss.backward()
        with un.no_grad():
            self.steps.add_(1)
            for w, m in zip(self.weights, self.momenta.values(), strict=True):
                m.mul_(0.9).add_(w.grad)
                w.sub_(m * self.rate)
        return loss

    def values(self) -> list[np.ndarray]:
        held = [*self.weights, *self.momenta.values(), self.rate, self.steps, *(w.grad for w in self.weights)]
        return [t.detach().numpy().copy() for t in held]


def agree(ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)


def test_a_training_step_with_backward_inside(backend):
    eager, compiled = Problem(), Problem()
    step = un.compile(compiled.step)
    x, y = un.tensor(X), un.tensor(Y)
    for _ in range(4):
        a, b = eager.step(x, y), step(x, y)
        np.testing.assert_allclose(a.item(), b.item(), **CLOSE)
        assert not b.requires_grad
    agree(compiled.values(), eager.values())
    assert compiled.steps.item() == 4
    assert step.explain().startswith("Problem.step: 1 program(s)")


def test_state_may_be_replaced_between_calls(backend):
    problem = Problem()
    step = un.compile(problem.step)
    x, y = un.tensor(X), un.tensor(Y)
    step(x, y)
    problem.rate.fill_(0.0)
    problem.momenta["a"].zero_()
    problem.momenta["b"].zero_()
    before = problem.weights[0].detach().numpy().copy()
    step(x, y)
    np.testing.assert_array_equal(problem.weights[0].detach().numpy(), before)
    assert "1 program(s)" in step.explain()


def test_gradients_accumulate_across_compiled_calls(backend):
    problem = Problem()

    def accumulate(x, y):
        problem.loss(x, y).backward()

    x, y = un.tensor(X), un.tensor(Y)
    compiled = un.compile(accumulate)
    for _ in range(3):
        compiled(x, y)
    got = problem.weights[0].grad.numpy().copy()
    problem.weights[0].grad = None
    for _ in range(3):
        accumulate(x, y)
    np.testing.assert_allclose(got, problem.weights[0].grad.numpy(), **CLOSE)


def test_a_gradient_that_is_changed_and_then_dropped_or_replaced(backend):
    """The last of several accumulating steps: clip, update, ``zero_grad()``."""

    def last(w, v):
        w.grad.mul_(3)
        v.grad.mul_(0.5)
        with un.no_grad():
            w.sub_(w.grad)
        w.grad = v.grad = None
        (v * 5).sum().backward()

    found = []
    for way in (lambda function: function, un.compile):
        w, v = un.ones(3, requires_grad=True), un.ones(3, requires_grad=True)
        (w * 2 + v * 4).sum().backward()
        held = w.grad, v.grad
        way(lambda w=w, v=v: last(w, v))()
        assert w.grad is None
        assert v.grad is not held[1]
        found.append([t.detach().numpy() for t in (w, *held, v.grad)])
    agree(*found)


def test_gradients_flow_out_of_a_compiled_forward(backend):
    problem = Problem()
    x, y = un.tensor(X, requires_grad=True), un.tensor(Y)
    un.compile(problem.loss)(x, y).backward()
    got = [x.grad, problem.weights[0].grad, problem.weights[1].grad]
    got = [g.numpy().copy() for g in got]
    x.grad = problem.weights[0].grad = problem.weights[1].grad = None
    problem.loss(x, y).backward()
    agree(got, [x.grad.numpy(), problem.weights[0].grad.numpy(), problem.weights[1].grad.numpy()])


def test_detach_and_no_grad_hold_inside_a_compiled_forward(backend):
    w = un.tensor(W1, requires_grad=True)

    def forward(x):
        with un.no_grad():
            target = x @ w
        return ((x @ w) * target + (x @ w).detach() * (x @ w)).sum()

    x = un.tensor(X)
    un.compile(forward)(x).backward()
    got = w.grad.numpy().copy()
    w.grad = None
    forward(x).backward()
    np.testing.assert_allclose(got, w.grad.numpy(), **CLOSE)


def test_results_require_grad_compiled_where_they_do_eagerly(backend):
    w, kept = un.ones(3, requires_grad=True), un.ones(3)

    def f(x):
        with un.no_grad():
            apart = w * x
        return apart, w * x, (w * x).detach(), (w * x).argmax(), x, kept

    compiled, x = un.compile(f), un.full((3,), 2.0)
    results = compiled(x)
    assert [r.requires_grad for r in results] == [r.requires_grad for r in f(x)]
    (results[0] * results[1]).sum().backward()
    assert w.grad.tolist() == [4.0, 4.0, 4.0]


def test_a_captured_tensor_that_no_op_looks_at_is_state_too(backend, capsys):
    returned, shown, gradient, weight = un.ones(2), un.ones(2), un.ones(2), un.ones(2, requires_grad=True)

    @un.compile
    def f():
        weight.grad = gradient
        un.debug.print("{}", shown)
        return returned

    for value in (1.0, 5.0):
        for tensor in (returned, shown, gradient):
            tensor.fill_(value)
        assert f().tolist() == weight.grad.tolist() == [value, value]
        assert capsys.readouterr().out.strip() == f"[{value:.0f}. {value:.0f}.]"


def test_gradient_of_an_argument(backend):
    x = un.tensor(X, requires_grad=True)

    def f(t):
        (t * t).sum().backward()

    un.compile(f)(x)
    np.testing.assert_allclose(x.grad.numpy(), 2 * X, **CLOSE)


def test_an_argument_written_in_place(backend):
    x = un.tensor(X)
    other = x.detach()

    def f(t):
        t.mul_(2)
        return t + 1

    result = un.compile(f)(x)
    np.testing.assert_allclose(x.numpy(), 2 * X, **CLOSE)
    np.testing.assert_allclose(result.numpy(), 2 * X + 1, **CLOSE)
    np.testing.assert_array_equal(other.numpy(), X)


def test_nested_arguments_and_results(backend):
    @dataclass
    class Batch:
        x: un.Tensor
        name: str

    def f(batch, pair, scale=1, **rest):
        total = batch.x * scale + pair[0]["bias"]
        return {"total": total, "parts": [pair[1], None], "name": batch.name, "batch": Batch(total * 2, "out")}

    x, b = un.tensor(X), un.tensor(X[0])
    arguments = (Batch(x, "in"), ({"bias": b}, b * 2))
    eager, compiled = f(*arguments, scale=3), un.compile(f)(*arguments, scale=3)
    np.testing.assert_allclose(compiled["total"].numpy(), eager["total"].numpy(), **CLOSE)
    np.testing.assert_allclose(compiled["batch"].x.numpy(), eager["batch"].x.numpy(), **CLOSE)
    np.testing.assert_allclose(compiled["parts"][0].numpy(), eager["parts"][0].numpy(), **CLOSE)
    assert compiled["parts"][1] is None
    assert compiled["name"] == "in"
    assert compiled["batch"].name == "out"


def test_one_program_per_signature(backend):
    traces = []

    def f(x, flag):
        traces.append(tuple(x.shape))
        return x * 2 if flag else x * 3

    compiled = un.compile(f)
    for _ in range(3):
        compiled(un.tensor(X), True)
    first = len(traces)
    for _ in range(3):
        compiled(un.tensor(X[:2]), True)
        compiled(un.tensor(X), True)
    second = len(traces)
    compiled(un.tensor(X), False)
    assert (second, len(traces)) == (2 * first, 3 * first)
    np.testing.assert_allclose(compiled(un.tensor(X), False).numpy(), 3 * X, **CLOSE)
    assert "x changed from float32 (5, 8) to float32 (2, 8) (dimension 0)" in compiled.explain()
    assert "the Python value of flag changed from True to False" in compiled.explain()


def test_many_retraces_warn_once_with_the_reason(backend):
    compiled = un.compile(lambda x: x * 2)
    x = np.ones(40, np.float32)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for length in range(1, 12):
            compiled(un.tensor(x[:length]))
    ours = [w for w in caught if "retraced 9 times" in str(w.message)]
    assert len(ours) == 1
    assert "x changed from float32 (9,) to" in str(ours[0].message)


def test_requires_grad_is_guarded(backend):
    w = un.tensor(W1, requires_grad=True)

    def f(x):
        (x @ w).sum().backward() if w.requires_grad else None
        return x @ w

    compiled, x = un.compile(f), un.tensor(X)
    compiled(x)
    assert w.grad is not None
    w.grad = None
    w.requires_grad_(False)
    compiled(x)
    assert w.grad is None


def test_requires_grad_that_is_set_inside_stays_set(backend):
    frozen, trained = un.ones(2, requires_grad=True), un.ones(2, requires_grad=True)

    @un.compile
    def step(x, freeze):
        frozen.requires_grad_(not freeze)
        frozen.grad = trained.grad = None
        (x * frozen * trained).sum().backward()

    for freeze in (True, True, False, True):
        step(un.ones(2), freeze)
        assert frozen.requires_grad is not freeze
        assert (frozen.grad is None) is freeze
        assert trained.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("use", ["if", "while", "float", "int", "range", "item", "numpy", "tolist"])
def test_python_control_flow_on_a_value_names_the_line(backend, use):
    def f(x):
        total = x.sum()
        if use == "if" and total > 0:
            return x
        while use == "while" and total > 0:
            total = total - 1
        if use == "range":
            return [x for _ in range(total.to(un.int32))]
        return {"float": float, "int": int, "item": un.Tensor.item, "numpy": un.Tensor.numpy,
                "tolist": un.Tensor.tolist}[use](total)  # fmt: skip

    x = un.tensor(X)
    with pytest.raises(errors.TracedValueError) as caught:
        un.compile(f)(x)
    message = str(caught.value)
    assert "test_compile.py:" in message
    assert "(in f)" in message
    assert "un.where" in message
    np.testing.assert_array_equal(x.numpy(), X)


def test_control_flow_on_captured_state_is_refused_too(backend):
    flag = un.tensor(1.0)
    with pytest.raises(errors.TracedValueError):
        un.compile(lambda x: x if flag else -x)(un.tensor(X))


def test_the_message_is_the_same_on_every_backend():
    def f(x):
        return x if x.sum() > 0 else -x

    messages = set()
    for name in un.available_backends():
        with un.backend(name), pytest.raises(errors.TracedValueError) as caught:
            un.compile(f)(un.tensor(X))
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_a_leaked_tensor_is_an_error(backend):
    kept = []

    def f(x):
        kept.append(x * 2)
        return x

    with pytest.raises(errors.LeakedTensorError, match="Return them instead"):
        un.compile(f)(un.tensor(X))


def test_an_exception_inside_leaves_state_as_it_was(backend):
    problem = Problem()

    def broken(x, y):
        problem.step(x, y)
        raise KeyError("after the update")

    before = [w.detach().numpy().copy() for w in problem.weights]
    with pytest.raises(KeyError):
        un.compile(broken)(un.tensor(X), un.tensor(Y))
    agree([w.detach().numpy() for w in problem.weights], before)
    assert problem.weights[0].grad is None
    assert problem.weights[0].requires_grad
    assert problem.steps.item() == 0
    problem.step(un.tensor(X), un.tensor(Y))


def test_what_the_user_still_holds_survives_donation(backend):
    """Old state is donated; whoever still holds it (an alias, a native, a numpy view) must not notice."""
    problem = Problem()
    step = un.compile(problem.step)
    x, y = un.tensor(X), un.tensor(Y)
    step(x, y)
    weight = problem.weights[0]
    expected = weight.detach().numpy().copy()
    alias, native, view = weight.detach(), weight.native, weight.detach().numpy()
    for _ in range(2):
        step(x, y)
    np.testing.assert_array_equal(alias.numpy(), expected)
    np.testing.assert_array_equal(un.from_native(native).detach().numpy(), expected)
    np.testing.assert_array_equal(view, expected)
    assert not np.array_equal(weight.detach().numpy(), expected)


def test_a_fused_update_in_place_changes_no_other_value(backend):
    """Of an alias, of a graph recorded before, and of a result that is the parameter itself; and it is Adam's."""
    weight, beside = (un.tensor(W1, requires_grad=True) for _ in range(2))
    optimizers = [un.optim.AdamW([each], lr=0.1) for each in (weight, beside)]
    x = un.tensor(X)

    def update(parameter, optimizer):
        optimizer.zero_grad()
        (x @ parameter).pow(2).sum().backward()
        optimizer.step()
        return parameter.detach()

    step = un.compile(lambda: update(weight, optimizers[0]))
    seen = []
    for _ in range(3):
        alias, graph = weight.detach(), (weight * weight).sum()
        before = alias.numpy().copy()
        results = [step(), update(beside, optimizers[1])]
        np.testing.assert_array_equal(alias.numpy(), before)
        np.testing.assert_allclose(results[0].numpy(), results[1].numpy(), **CLOSE)
        seen.append((results[0], results[0].numpy().copy()))
        weight.grad = None
        graph.backward()
        np.testing.assert_allclose(weight.grad.numpy(), 2 * before, **CLOSE)
    for result, expected in seen:
        np.testing.assert_array_equal(result.numpy(), expected)


def test_compiled_inside_compiled_is_one_program(backend):
    inner = un.compile(lambda x: x * 2)
    outer = un.compile(lambda x: inner(x) + 1)
    np.testing.assert_allclose(outer(un.tensor(X)).numpy(), 2 * X + 1, **CLOSE)
    assert "0 program(s)" in inner.explain()


def test_arguments_on_two_backends(backend):
    other = next(name for name in un.available_backends() if name != backend)
    x = un.tensor(X)
    with un.backend(other):
        y = un.tensor(X)
    with pytest.raises(errors.BackendMismatchError, match=other):
        un.compile(lambda a, b: a + b)(x, y)


def test_captured_state_on_another_backend(backend):
    other = next(name for name in un.available_backends() if name != backend)
    with un.backend(other):
        captured = un.tensor(X)
    with pytest.raises(errors.BackendMismatchError, match=other):
        un.compile(lambda a: a + captured)(un.tensor(X))


def test_one_compiled_function_serves_several_backends():
    compiled = un.compile(lambda x: x * 2 + 1)
    for name in un.available_backends():
        with un.backend(name):
            result = compiled(un.tensor(X))
        assert result.backend == name
        np.testing.assert_allclose(result.numpy(), 2 * X + 1, **CLOSE)


def test_as_a_decorator_on_a_method(backend):
    class Scaler:
        def __init__(self, factor):
            self.factor = un.tensor(factor)

        @un.compile
        def __call__(self, x):
            self.factor.add_(1)
            return x * self.factor

    two, five = Scaler(2.0), Scaler(5.0)
    x = un.tensor(X)
    np.testing.assert_allclose(two.__call__(x).numpy(), 3 * X, **CLOSE)
    np.testing.assert_allclose(five.__call__(x).numpy(), 6 * X, **CLOSE)
    np.testing.assert_allclose(two.__call__(x).numpy(), 4 * X, **CLOSE)


def test_a_function_without_tensor_arguments(backend):
    counter = un.tensor(0)

    @un.compile
    def tick():
        counter.add_(1)
        return counter * 10

    assert [tick().item() for _ in range(3)] == [10, 20, 30]


def test_one_value_returned_twice_has_both_gradients(backend):
    x = un.tensor([1.0, 2.0], requires_grad=True)

    @un.compile
    def twice(x):
        y = x * x
        return y, y

    first, second = twice(x)
    (first * 3 + second).sum().backward()
    assert x.grad.tolist() == [8.0, 16.0]
