"""Bad input to ``un.compile``: one clear error, nothing changed, and nobody's buffer taken away."""

from __future__ import annotations

import copy
import pickle
import threading
import warnings

import numpy as np
import pytest

import unified as un
import unified.nn.functional as F
from unified import errors, nn, optim

X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(6, 2)).astype(np.float32)
CLOSE = {"rtol": 2e-5, "atol": 1e-6}
"""XLA and inductor fuse and reorder float32 sums of a few terms."""


class Training:
    """A model, its optimiser and dropout's generator: all the state that a step touches."""

    def __init__(self) -> None:
        un.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))
        self.optimizer = optim.Adam(self.model.parameters(), lr=0.01)
        self.fail = False

    def step(self, x, y):
        self.optimizer.zero_grad()
        loss = F.mse_loss(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        if self.fail:
            raise KeyError("after the update")
        return loss

    def values(self) -> list[np.ndarray]:
        moments = [t for state in self.optimizer.state.values() for t in state.values()]
        held = [*self.model.parameters(), *self.model.buffers(), *moments, un.random.default_generator().state]
        return [tensor.detach().numpy().copy() for tensor in held]


def same(ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


# ---- exceptions ---------------------------------------------------------------------------------------------------


def test_an_exception_while_tracing_changes_nothing(backend):
    training = Training()
    step, x, y = un.compile(training.step), un.tensor(X), un.tensor(Y)
    training.fail = True
    before = training.values()
    with pytest.raises(KeyError, match="after the update"):
        step(x, y)
    same(training.values(), before)
    assert all(p.grad is None and p.requires_grad for p in training.model.parameters())
    training.fail = False
    step(x, y)
    assert "1 program(s)" in step.explain()
    assert not np.array_equal(training.values()[0], before[0])


def test_an_exception_at_run_time_changes_nothing(backend, monkeypatch):
    training = Training()
    step, x, y = un.compile(training.step), un.tensor(X), un.tensor(Y)
    step(x, y)
    entry = next(iter(step._entries.values()))[0]
    run = entry._run
    before, grads = training.values(), [p.grad.numpy().copy() for p in training.model.parameters()]

    def out_of_memory(leaves):
        def call():
            raise MemoryError("the program failed")

        return call

    monkeypatch.setattr(entry, "_run", out_of_memory)
    with pytest.raises(MemoryError):
        step(x, y)
    same(training.values(), before)
    same([p.grad.numpy() for p in training.model.parameters()], grads)
    monkeypatch.setattr(entry, "_run", run)
    step(x, y)


def test_an_error_of_an_op_inside_is_the_same_as_outside(backend, caplog):
    """And is all that is said."""

    def f(x):
        return x @ x

    with pytest.raises(errors.ShapeError) as eager:
        f(un.tensor(X))
    with pytest.raises(errors.ShapeError) as compiled:
        un.compile(f)(un.tensor(X))
    assert str(eager.value).splitlines()[0] == str(compiled.value).splitlines()[0]
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def test_an_argument_that_may_not_be_written_changes_nothing(backend):
    state = un.zeros(4)

    def f(x):
        state.add_(1)
        with un.no_grad():
            x.add_(1)

    compiled, x = un.compile(f), un.tensor(X)
    compiled(x)
    leaf = un.tensor(X, requires_grad=True)
    with un.no_grad():
        compiled(leaf)
    np.testing.assert_allclose(leaf.detach().numpy(), X + 1, **CLOSE)
    np.testing.assert_array_equal(state.numpy(), np.full(4, 2.0))


def test_an_error_that_the_function_catches_is_no_part_of_the_program(backend):
    total = un.zeros(4)

    @un.compile
    def f(x):
        total.add_(1)
        try:
            x @ un.ones(3, 3)
        except errors.ShapeError:
            total.add_(10)
        return total * 1

    for count in (1, 2):
        np.testing.assert_array_equal(f(un.tensor(X)).numpy(), np.full(4, 11.0 * count))


def test_an_exception_in_a_later_trace_changes_nothing(backend):
    total = un.zeros(4)

    def f(x):
        total.add_(1)
        x.mul_(2)
        if x.shape[0] == 3:
            raise ValueError("three rows")
        return x

    compiled, x = un.compile(f), un.tensor(X[:3])
    compiled(un.tensor(X))
    with pytest.raises(ValueError, match="three rows"):
        compiled(x)
    np.testing.assert_array_equal(total.numpy(), np.ones(4))
    np.testing.assert_array_equal(x.numpy(), X[:3])
    assert "1 program(s)" in compiled.explain()


ASKING = {
    "not": lambda total: not total,
    "and": lambda total: total and 1,
    "comparison": lambda total: 0 < total < 1,
    "index": lambda total: [1, 2][total.to(un.int32)],
    "max": lambda total: max(total, total + 1),
    "in": lambda total: total in [total * 2],
    "float": lambda total: float(total),
    "for": lambda total: [1 for _ in range(total.to(un.int32))],
    "while": lambda total: next(iter(lambda: bool(total), True)),
}


@pytest.mark.parametrize("use", ASKING)
def test_python_that_asks_for_a_value_is_refused_on_its_own_line(backend, use):
    ask = ASKING[use]
    with pytest.raises(errors.TracedValueError, match=r"un\.cond / un\.while_loop / un\.scan / un\.switch") as caught:
        un.compile(lambda x: ask(x.sum()))(un.tensor(X))
    assert f"{__file__}:{ask.__code__.co_firstlineno} (in <lambda>)" in str(caught.value)


# ---- leaks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["attribute", "list", "closure", "module", "cache"])
def test_a_traced_tensor_that_is_kept_is_an_error(backend, where):
    class Holder:
        kept = None

    class Caching(nn.Module):
        def forward(self, x):
            self.cache = x * 2
            return self.cache + 1

    holder, listed, state = Holder(), [], un.zeros(4)
    outside = None

    def f(x):
        nonlocal outside
        state.add_(1)
        if where == "attribute":
            holder.kept = x * 2
        elif where == "list":
            listed.append(x * 2)
        elif where == "closure":
            outside = x * 2
        elif where == "cache":  # which the second trace finds filled
            holder.kept = x * 2 if holder.kept is None else holder.kept
            return x + holder.kept
        return x

    compiled = un.compile(Caching() if where == "module" else f)
    with pytest.raises(errors.LeakedTensorError, match=r"of shape \(6, 4\); they have no value there. Return them"):
        compiled(un.tensor(X))
    np.testing.assert_array_equal(state.numpy(), np.zeros(4))
    assert "0 program(s)" in compiled.explain()


def test_a_tensor_of_another_backend_is_an_error_wherever_it_comes_from(backend):
    other = next(name for name in un.available_backends() if name != backend)
    x = un.tensor(X)
    with un.backend(other):
        foreign = un.tensor(X)
    with pytest.raises(errors.BackendMismatchError, match=r"move them to one with x\.to\(backend="):
        un.compile(lambda a, b: a)(x, {"deep": [foreign]})
    holder = nn.Linear(4, 2)
    compiled = un.compile(lambda a: holder(a))
    compiled(x)
    holder.to(backend=other)
    with pytest.raises(errors.BackendMismatchError, match=other):
        compiled(x)


# ---- donation ------------------------------------------------------------------------------------------------------


def test_no_holder_of_old_state_ever_sees_a_deleted_buffer(backend):
    training = Training()
    step, x, y = un.compile(training.step), un.tensor(X), un.tensor(Y)
    step(x, y)
    weight = training.model[0].weight
    expected, statistics = weight.detach().numpy().copy(), training.model[1].running_mean.numpy().copy()
    held = {
        "detached": weight.detach(),
        "data": weight.data,
        "cloned": weight.clone(),
        "native": un.from_native(weight.native),
        "view": un.tensor(weight.detach().numpy()),
        "saved": training.model.state_dict()["0.weight"],
        "copied": copy.deepcopy(training.model)[0].weight,
        "reshaped": weight.reshape(-1),
    }
    optimizer_saved = training.optimizer.state_dict()
    moment = next(iter(optimizer_saved["state"].values()))["exp_avg"]
    moment_before = moment.numpy().copy()
    buffer = training.model[1].running_mean.detach()
    gradient = weight.grad.detach()
    gradient_before = gradient.numpy().copy()
    view = weight.detach().numpy()
    for _ in range(3):
        step(x, y)
    for name, tensor in held.items():
        np.testing.assert_array_equal(tensor.detach().numpy().reshape(expected.shape), expected, err_msg=name)
    np.testing.assert_array_equal(view, expected)
    np.testing.assert_array_equal(buffer.numpy(), statistics)
    np.testing.assert_array_equal(moment.numpy(), moment_before)
    np.testing.assert_array_equal(gradient.numpy(), gradient_before)
    assert not np.array_equal(weight.detach().numpy(), expected)
    training.model.load_state_dict({**training.model.state_dict(), "0.weight": held["saved"]})
    step(x, y)
    np.testing.assert_array_equal(held["saved"].numpy(), expected)


def test_two_tensors_over_one_buffer_are_both_updated(backend):
    first = un.zeros(4)
    second = first.detach()

    @un.compile
    def f():
        first.add_(1)
        second.add_(2)

    for count in (1, 2):
        f()
        np.testing.assert_array_equal(first.numpy(), np.full(4, count))
        np.testing.assert_array_equal(second.numpy(), np.full(4, 2 * count))


# ---- recursion, threads, copies ---------------------------------------------------------------------------------


def test_recursion_is_unrolled_and_must_end(backend):
    @un.compile
    def power(x, n):
        return x if n == 1 else x * power(x, n - 1)

    np.testing.assert_allclose(power(un.tensor(X), 4).numpy(), X**4, rtol=1e-5)
    assert "1 program(s)" in power.explain()

    @un.compile
    def endless(x):
        return endless(x)

    with pytest.raises(errors.CompileError, match="recursion in the compiled function is too deep"):
        endless(un.tensor(X))


def test_two_threads_share_a_compiled_function(backend):
    total = un.zeros(4)

    @un.compile
    def step(x):
        total.add_(x)
        return total * 1

    x, failures = un.ones(4), []

    def work() -> None:
        try:
            with un.backend(backend):
                for _ in range(50):
                    step(x)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    np.testing.assert_array_equal(total.numpy(), np.full(4, 200.0))
    assert "1 program(s)" in step.explain()


@un.compile
def doubled(x):
    return x * 2


def plain(x):
    return x * 3


class Stateful:
    def __init__(self) -> None:
        self.total = un.zeros(4)

    @un.compile
    def add(self, x):
        self.total.add_(x)
        return self.total * 1


def test_pickles_and_copies_compile_anew(backend):
    x = un.tensor(X)
    doubled(x)
    assert pickle.loads(pickle.dumps(doubled)) is doubled
    compiled = un.compile(plain)
    compiled(x)
    for again in (pickle.loads(pickle.dumps(compiled)), copy.deepcopy(compiled), copy.copy(compiled)):
        assert "0 program(s)" in again.explain()
        np.testing.assert_allclose(again(x).numpy(), 3 * X, **CLOSE)


def test_copies_of_what_holds_a_compiled_function_have_state_of_their_own(backend):
    x = un.ones(4)
    first = Stateful()
    first.add(x)
    model = nn.Linear(4, 2)
    model.fast = un.compile(model.forward)
    model.fast(x)
    for again in (copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
        again.add(x)
        again.add(x)
        np.testing.assert_array_equal(again.total.numpy(), np.full(4, 3.0))
        assert "1 program(s)" in again.add.explain()
    np.testing.assert_array_equal(first.total.numpy(), np.ones(4))
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with un.no_grad():
            again.weight.zero_()
        np.testing.assert_allclose(again.fast(x).detach().numpy(), again.bias.detach().numpy(), **CLOSE)
        assert not np.allclose(model.fast(x).detach().numpy(), again.fast(x).detach().numpy())


@pytest.mark.parametrize("what", ["list", "self.count"])
def test_side_effects_that_can_be_told_are_warned_of(backend, what):
    class Counting:
        def __init__(self):
            self.count = 0

        def step(self, x):
            self.count += 1
            return x * 2

    seen = []

    def f(x):
        seen.append(1)
        return x * 2

    name, function = {"list": ("f: seen", f), "self.count": ("step: self.count", Counting().step)}[what]
    compiled = un.compile(function)
    with pytest.warns(UserWarning, match=f"{name} changed while the function was traced") as caught:
        compiled(un.tensor(X))
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled(un.tensor(X))


def test_python_side_effects_happen_while_tracing_only(backend, capsys):
    @un.compile
    def f(x):
        print("tracing")
        return x * 2

    f(un.tensor(X))
    traced = capsys.readouterr().out.count("tracing")
    f(un.tensor(X))
    assert traced >= 1
    assert not capsys.readouterr().out
