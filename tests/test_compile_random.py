"""Programs drawn at random: eager and compiled give the same results and leave the same state behind.

A few for each backend in `make test`; in `make test-full` 500 different ones for each, or as many as
``UNIFIED_RANDOM_PROGRAMS`` says.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import unified as un
from tests.room import make_room
from unified import nn

ROWS, WIDTH = 3, 4
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
"""Compilers reorder float32 sums of up to 12 terms, through at most 8 statements and 2 optimiser steps."""

ROUNDING = 2.0**-22
"""Relative; two units in the last place of float32 at most."""
ILL_CONDITIONED = 0.04
"""Of the programs may be so at most: RMSprop divides a gradient that is nearly 0 by its size, three times over."""

PROGRAMS = {"jax": 12, "tensorflow": 8, "torch": 3}
FULL = int(os.environ.get("UNIFIED_RANDOM_PROGRAMS", "500"))


@dataclass
class Batch:
    """The second argument of a program: Tensors in containers, beside what is no Tensor."""

    table: dict[str, tuple[un.Tensor, list[un.Tensor | None]]]
    scale: float
    mode: str

    @classmethod
    def make(cls, call: int, mode: str) -> Batch:
        """Of another content for each call; ``scale`` is a float, so that it makes no other program."""
        row = un.tensor(np.arange(WIDTH, dtype=np.float32) / (call + 2))
        return cls({"row": (row, [row * 0.5, None])}, 0.5 + 0.25 * call, mode)


Statement = Callable[["State", un.Tensor, Batch], un.Tensor]


@dataclass
class State:
    """What a program may touch beside its arguments, in nested containers."""

    layer: nn.Module
    norm: nn.Module
    dropout: nn.Module
    optimizer: Any
    generator: un.Generator
    buffers: dict[str, Any] = field(default_factory=dict)
    steps: un.Tensor | None = None

    @classmethod
    def make(cls, kind: str) -> State:
        """The same state each time."""
        un.manual_seed(7)
        layer = nn.Linear(WIDTH, WIDTH)
        norm = nn.BatchNorm1d(WIDTH, eps=0.1)  # a column of one value would make its rounding 300 times as large
        kinds = {
            "sgd": lambda p: un.optim.SGD(p, lr=0.05, momentum=0.9),
            "adamw": lambda p: un.optim.AdamW(p, lr=0.01, eps=1e-3),
            "rmsprop": lambda p: un.optim.RMSprop(p, lr=0.01, eps=1e-3),
        }
        optimizer = kinds[kind]([*layer.parameters(), *norm.parameters()])
        buffers = {"sum": un.zeros(ROWS, WIDTH), "pair": (un.ones(WIDTH), [un.full((), 0.5)])}
        return cls(layer, norm, nn.Dropout(0.4), optimizer, un.Generator(3), buffers, un.tensor(0))

    def decay(self) -> un.Tensor:
        """A term in which every parameter is, so that none is without a gradient."""
        return sum((p * p).mean() for p in [*self.layer.parameters(), *self.norm.parameters()])

    def tensors(self) -> list[un.Tensor | None]:
        """All that it holds, in a fixed order, the random state too."""
        parameters = [*self.layer.parameters(), *self.norm.parameters()]
        found = [*parameters, *self.norm.buffers(), *(p.grad for p in parameters)]
        for parameter in parameters:
            found += [v for v in self.optimizer.state[parameter].values() if isinstance(v, un.Tensor)]
        first, (second,) = self.buffers["pair"]
        held = [self.buffers["sum"], first, second, self.steps]
        return [*found, *held, self.generator.state, un.default_generator().state]


# ---- statements: Tensors (ROWS, WIDTH) in and out ------------------------------------------------------------------


def _write_rows(state: State, x: un.Tensor, batch: Batch) -> un.Tensor:
    y = x.clone()
    y[0] = y[1] * 0.5
    y[:, 1:3] += 1
    y[un.tensor([0, 2])] *= 0.5
    return y


def _write_chain(state: State, x: un.Tensor, batch: Batch) -> un.Tensor:
    y = x * 1.0
    y.mul_(0.5).add_(x.tanh()).clamp_(-2, 2)
    y -= 0.1
    return y.masked_fill_(y.detach() > 1.5, 1.5)


def _add_to(state: State, x: un.Tensor, batch: Batch) -> un.Tensor:
    with un.no_grad():
        state.buffers["sum"].add_(x.detach())
    return x + state.buffers["sum"] * 0.1


def _rebind(state: State, x: un.Tensor, batch: Batch) -> un.Tensor:
    state.buffers["pair"][0].mul_(0.5).add_(x.detach().mean(0))
    return x * state.buffers["pair"][0]


def _scale(state: State, x: un.Tensor, batch: Batch) -> un.Tensor:
    factor = state.buffers["pair"][1][0]
    factor.copy_(factor * 0.9 + 0.1)
    return x * factor


def _write_batch(state: State, x: un.Tensor, batch: Batch) -> un.Tensor:
    row = batch.table["row"][0]
    row[1:].mul_(3.0)  # changes no other Tensor: there are no views
    row.add_(x.detach().sum(0) * 0.1)
    return x + row


def _write_parameter(state: State, x: un.Tensor, batch: Batch) -> un.Tensor:
    with un.no_grad():
        state.layer.bias.clamp_(-0.2, 0.2)
    state.layer.weight.data.mul_(0.95)
    return x + 0.1


def _count(state: State, x: un.Tensor, batch: Batch) -> un.Tensor:
    state.steps.add_(1)
    return x + state.steps * 0.01


def _nest(state: State, x: un.Tensor, batch: Batch) -> un.Tensor:
    row, (half, nothing) = batch.table["row"]
    assert nothing is None
    nest = {"a": [x * row, (half, {"deep": x.sin()})], "scale": batch.scale}
    return nest["a"][0] * nest["scale"] + nest["a"][1][0] + nest["a"][1][1]["deep"]


def _flag(state: State, x: un.Tensor, batch: Batch) -> un.Tensor:
    return state.layer(x).tanh() if state.dropout.training else x.relu()


def _grad_inside(state: State, x: un.Tensor, batch: Batch) -> un.Tensor:
    return x + un.func.grad(lambda t: (t.sin() * t).sum())(x.detach())


def _cond(state: State, x: un.Tensor, batch: Batch) -> un.Tensor:
    """Chosen by a count, so that rounding decides nothing; either branch draws, and changes another Tensor."""

    def even(x: un.Tensor) -> un.Tensor:
        state.steps.add_(1)
        return state.layer(x).tanh() + 0.1 * un.rand(WIDTH)

    def odd(x: un.Tensor) -> un.Tensor:
        state.buffers["sum"].mul_(0.5)
        return state.dropout(state.layer(x)) * batch.scale

    return un.cond(state.steps % 2 == 0, even, odd, (x,))


def _cond_by_value(state: State, x: un.Tensor, batch: Batch) -> un.Tensor:
    total = x.mean() - 0.037  # continuous where it changes its mind, and no mean that programs are likely to have
    return un.cond(total > 0, lambda t: t * (1 + total), lambda t: t + 0.0, (x,))


def _switch(state: State, x: un.Tensor, batch: Batch) -> un.Tensor:
    index = un.randint(0, 3, ())
    branches = (lambda t: t.sin(), lambda t: t * batch.table["row"][0], lambda t: {"y": t.tanh()}["y"])
    return un.switch(index, branches, (x,))


def _while(state: State, x: un.Tensor, batch: Batch) -> un.Tensor:
    """How often is known only when it runs."""

    def trip(carry: dict[str, un.Tensor]) -> dict[str, un.Tensor]:
        state.buffers["pair"][0].mul_(0.9)
        return {"left": carry["left"] - 1, "y": carry["y"] * 0.5 + un.rand(WIDTH)}

    left = state.steps % 3 + 1
    return x * 0.5 + un.while_loop(lambda c: c["left"] > 0, trip, {"left": left, "y": x.detach()})["y"]


def _while_bounded(state: State, x: un.Tensor, batch: Batch) -> un.Tensor:
    _, y = un.while_loop(
        lambda c: c[0] > 0, lambda c: (c[0] - 1, (c[1] * 0.7).sin()), (state.steps % 3 + 1, x), max_trips=4
    )
    return y


def _fori(state: State, x: un.Tensor, batch: Batch) -> un.Tensor:
    return un.fori_loop(0, 3, lambda i, y: (y * batch.scale + i * 0.1).tanh(), x)


def _scan(state: State, x: un.Tensor, batch: Batch) -> un.Tensor:
    """A recurrence over rows with a Module, dropout and a count inside."""

    def trip(h: un.Tensor, row: un.Tensor) -> tuple[un.Tensor, dict[str, un.Tensor]]:
        state.steps.add_(1)
        h = state.dropout(state.layer(h) + row).tanh()
        return h, {"h": h, "twice": h * 2}

    last, rows = un.scan(trip, batch.table["row"][0] * 0.1, x)
    return rows["h"] + rows["twice"] * 0.1 + last


def _map(state: State, x: un.Tensor, batch: Batch) -> un.Tensor:
    return un.map(lambda row: row * row.sum().tanh() + un.rand(WIDTH, generator=state.generator), x)


STATEMENTS: dict[str, dict[str, Statement]] = {
    "modules": {
        "layer": lambda s, x, b: s.layer(x),
        "norm": lambda s, x, b: s.norm(x),
        "flag": _flag,
        "checkpoint": lambda s, x, b: un.checkpoint(lambda t: s.dropout(s.layer(t)).tanh(), x),
    },
    "containers": {
        "nest": _nest,
        "mode": lambda s, x, b: x.sin() if b.mode == "sin" else x.cos() * b.scale,
        "split": lambda s, x, b: un.cat([part * (i + 1) for i, part in enumerate(x.split(2, dim=1))], 1),
    },
    "in place": {
        "write rows": _write_rows,
        "write chain": _write_chain,
        "add to": _add_to,
        "rebind": _rebind,
        "scale": _scale,
        "count": _count,
        "write batch": _write_batch,
        "write parameter": _write_parameter,
    },
    "control flow": {
        "cond": _cond,
        "cond by value": _cond_by_value,
        "switch": _switch,
        "while": _while,
        "while bounded": _while_bounded,
        "fori": _fori,
        "scan": _scan,
        "map": _map,
        "loop": lambda s, x, b: sum((x * (0.3**i) for i in range(3)), x),
    },
    "random": {
        "dropout": lambda s, x, b: s.dropout(x),
        "noise": lambda s, x, b: x + 0.1 * un.rand(ROWS, WIDTH),
        "normal": lambda s, x, b: x + 0.1 * un.randn(WIDTH, generator=s.generator),
        "permutation": lambda s, x, b: x[un.randperm(ROWS)],
        "bernoulli": lambda s, x, b: x * un.bernoulli(un.full((ROWS, 1), 0.7)) + x * 0.1,
    },
    "functions": {
        "softmax": lambda s, x, b: x.softmax(-1) * 2,
        "where": lambda s, x, b: un.where(x > 0, x * 1.5, x.tanh()),
        "detach": lambda s, x, b: x * x.detach().sigmoid(),
        "vmap": lambda s, x, b: un.vmap(lambda row: row * row.sum())(x) * 0.2,
        "grad inside": _grad_inside,
    },
}
"""What programs are made of, by ingredient."""

BY_NAME = {name: statement for group in STATEMENTS.values() for name, statement in group.items()}

ENDINGS = ("value", "gradient out", "backward", "step", "clipped step", "penalty", "nest", "write argument")


def program(state: State, case: dict[str, Any]) -> Callable[[un.Tensor, Batch], Any]:
    """The function of two arguments that applies the statements and ends as it is told."""
    ending, steps = case["ending"], case["ending"].endswith("step")

    def run(x: un.Tensor, batch: Batch) -> Any:
        if steps:
            state.optimizer.zero_grad()
        y = x
        for name in case["names"]:
            y = BY_NAME[name](state, y, batch)
        loss = (y * y).mean()
        if case["decay"] or not loss.requires_grad:
            loss = loss + 0.1 * state.decay()
        if ending == "penalty":
            (slope,) = un.autograd.grad(loss + state.decay(), [state.layer.weight], create_graph=True)
            loss = loss + slope.square().sum()
        if steps or ending in ("backward", "penalty"):
            loss.backward()
        if ending == "clipped step":
            nn.utils.clip_grad_norm_(state.layer.parameters(), 0.5)
        if steps:
            state.optimizer.step()
            if case["twice"]:
                state.optimizer.zero_grad()
                (state.layer(x).square().mean() + state.decay()).backward()
                state.optimizer.step()
        if ending == "write argument":
            x.mul_(0.5)
        if ending in ("value", "write argument"):
            return y.detach()
        if ending == "nest":
            return {"all": [y.detach(), (loss.detach(), None)], "table": batch.table, "steps": state.steps + 1}
        return loss if ending == "gradient out" else loss.detach()

    return run


def outcome(case: dict[str, Any], compiled: bool, rounded: np.random.Generator | None = None) -> list[Any]:
    """Results, arguments and state of some calls; of a start that is ``rounded`` anew by a draw for each number."""
    state = State.make(case["optimizer"])

    def given(array: np.ndarray) -> np.ndarray:
        return array if rounded is None else array * (1 + ROUNDING * rounded.choice([-1, 0, 1], array.shape))

    for parameter in [*state.layer.parameters(), *state.norm.parameters()] if rounded is not None else []:
        parameter.data = un.tensor(given(parameter.detach().numpy()).astype(np.float32))
    run = program(state, case)
    if compiled:
        run = un.compile(run)
    seen: list[Any] = []
    for call in range(case["calls"]):
        for module in (state.dropout, state.norm):
            module.train(case["training"] if call < 2 else not case["training"])
        values = given(np.linspace(-1, 1 + call, ROWS * WIDTH, dtype=np.float32).reshape(ROWS, WIDTH))
        x = un.tensor(values.astype(np.float32))
        batch = Batch.make(call, case["mode"])
        result = run(x, batch)
        if case["ending"] == "gradient out":
            result.backward()
        leaves: list[Any] = [x]
        un._structure.flatten((batch, result), leaves)
        seen += [leaf.detach().numpy().copy() for leaf in leaves]
    return seen + [None if t is None else t.detach().numpy().copy() for t in state.tensors()]


def _names(draw: Callable[[Any], Any]) -> list[str]:
    groups = draw(st.lists(st.sampled_from(sorted(STATEMENTS)), min_size=1, max_size=8))
    return [draw(st.sampled_from(sorted(STATEMENTS[group]))) for group in groups]


cases = st.fixed_dictionaries(
    {
        "names": st.composite(_names)(),
        "ending": st.sampled_from(ENDINGS),
        "optimizer": st.sampled_from(["sgd", "adamw", "rmsprop"]),
        "mode": st.sampled_from(["sin", "cos"]),
        "training": st.booleans(),
        "decay": st.booleans(),
        "twice": st.booleans(),
        "calls": st.integers(1, 3),
    }
)


def check(case: dict[str, Any]) -> bool:
    """Asserts that eager and compiled agree.

    Returns:
        Whether within the tolerance; otherwise they are no further apart than twice what rounding the start anew
        makes of the eager program, which then says nothing about the compiler.
    """
    eager, compiled = outcome(case, False), outcome(case, True)
    for a, b in zip(compiled, eager, strict=True):
        assert (a is None) == (b is None)
        assert a is None or (a.dtype, a.shape) == (b.dtype, b.shape)
    for a, b in zip(compiled[-2:], eager[-2:], strict=True):
        np.testing.assert_array_equal(a, b)  # as many random numbers, bit for bit
    pairs = [(a, b) for a, b in zip(compiled, eager, strict=True) if a is not None]
    if all(np.allclose(a, b, **CLOSE, equal_nan=True) for a, b in pairs):
        return True
    rounded = [outcome(case, False, np.random.default_rng(draw)) for draw in range(8)]
    for place, (a, b) in enumerate(zip(compiled, eager, strict=True)):
        if a is not None:
            moved = np.max([np.abs(np.subtract(other[place], b, dtype=np.float64)) for other in rounded])
            np.testing.assert_allclose(a, b, CLOSE["rtol"], max(CLOSE["atol"], 2 * moved))
    return False


def search(name: str, count: int) -> Counter[str]:
    """Checks ``count`` programs and some more, since a few may be drawn twice.

    Returns:
        How many different ones there were, and in how many of them each ingredient, statement and ending was.
    """
    distinct: set[str] = set()
    seen: Counter[str] = Counter()

    @settings(max_examples=count + count // 20, suppress_health_check=list(HealthCheck))
    @given(cases)
    def programs(case: dict[str, Any]) -> None:
        precise = check(case)
        if str(case) not in distinct:
            distinct.add(str(case))
            seen["ill-conditioned"] += not precise
            seen.update([g for g, members in STATEMENTS.items() if not members.keys().isdisjoint(case["names"])])
            seen.update([*{*case["names"]}, case["ending"], "programs"])
        if len(distinct) % 20 == 0:
            make_room()

    with un.backend(name):
        programs()
    return seen


@pytest.mark.parametrize("name", PROGRAMS)
def test_random_programs_agree(name):
    search(name, PROGRAMS[name])


@pytest.mark.full
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", PROGRAMS)
def test_five_hundred_random_programs_agree(name):
    """Each of the ingredients is in many of them, and each statement and ending in some."""
    seen = search(name, FULL)
    print(f"{name}: {seen['programs']} programs, {dict(seen)}")
    assert seen["programs"] >= FULL
    assert seen["ill-conditioned"] <= max(2, FULL * ILL_CONDITIONED)
    if FULL >= 500:
        assert all(seen[ingredient] >= FULL / 5 for ingredient in STATEMENTS), seen
        assert all(seen[part] for part in (*BY_NAME, *ENDINGS)), seen


@pytest.mark.parametrize(("second", "ending"), [("fori", "gradient out"), ("switch", "penalty")])
@pytest.mark.parametrize("name", ["jax", "tensorflow", pytest.param("torch", marks=pytest.mark.full)])
def test_programs_that_were_wrong_once(name, second, ending):
    """What a checkpoint ran on was held by the graph of a section; and the random state that it starts again from was
    not the trace's."""
    case = {
        "names": ["mode", "checkpoint", second],
        "ending": ending,
        "optimizer": "sgd",
        "mode": "cos",
        "training": True,
        "decay": True,
    }
    with un.backend(name):
        assert check({**case, "twice": False, "calls": 2})


def test_a_parameter_without_a_gradient_keeps_its_step_count_compiled(backend):
    """Skipped parameters have a count of their own, from whichever step they are skipped in."""
    used, idle = nn.Parameter(un.ones(2)), nn.Parameter(un.ones(2))
    optimizer = un.optim.AdamW([used, idle], lr=0.1)

    def step(both):
        optimizer.zero_grad()
        (used.sum() + idle.sum() if both else used.sum()).backward()
        optimizer.step()

    def counts():
        return [int(optimizer.state[param]["step"].item()) for param in (used, idle)]

    compiled, seen = un.compile(step, static_argnames="both"), []
    for both in (True, False, False, True):
        compiled(both)
        seen.append(counts())
    assert seen == [[1, 1], [2, 1], [3, 1], [4, 2]]

    @un.compile
    def twice():
        step(True)
        step(False)

    twice()
    assert counts() == [6, 3]
