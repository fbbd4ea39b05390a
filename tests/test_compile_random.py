"""Programs drawn at random: eager and compiled give the same results and leave the same state behind.

``UNIFIED_RANDOM_PROGRAMS=500`` draws that many for each backend; without it, a few for `make test`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import unified as un
from unified import nn

ROWS, WIDTH = 3, 4
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
"""Compilers reorder float32 sums of up to 12 terms, through at most 8 statements and 2 optimiser steps."""

PROGRAMS = {"jax": 12, "tensorflow": 8, "torch": 3}

Statement = Callable[["State", un.Tensor], un.Tensor]


@dataclass
class State:
    """What a program may touch beside its argument, in nested containers."""

    layer: nn.Module
    norm: nn.Module
    dropout: nn.Module
    optimizer: Any
    buffers: dict[str, Any] = field(default_factory=dict)
    steps: un.Tensor | None = None

    @classmethod
    def make(cls, kind: str) -> State:
        """The same state each time."""
        un.manual_seed(7)
        layer, norm = nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH)
        kinds = {
            "sgd": lambda p: un.optim.SGD(p, lr=0.05, momentum=0.9),
            "adamw": lambda p: un.optim.AdamW(p, lr=0.01, eps=1e-3),
            "rmsprop": lambda p: un.optim.RMSprop(p, lr=0.01, eps=1e-3),
        }
        optimizer = kinds[kind]([*layer.parameters(), *norm.parameters()])
        buffers = {"sum": un.zeros(ROWS, WIDTH), "pair": (un.ones(WIDTH), [un.full((), 0.5)])}
        return cls(layer, norm, nn.Dropout(0.4), optimizer, buffers, un.tensor(0))

    def decay(self) -> un.Tensor:
        """A term in which every parameter is, so that none is without a gradient; see the expected failure below."""
        return sum((p * p).mean() for p in [*self.layer.parameters(), *self.norm.parameters()])

    def tensors(self) -> list[un.Tensor | None]:
        """All that it holds, in a fixed order, the random state too."""
        parameters = [*self.layer.parameters(), *self.norm.parameters()]
        found = [*parameters, *self.norm.buffers(), *(p.grad for p in parameters)]
        for parameter in parameters:
            found += [v for v in self.optimizer.state[parameter].values() if isinstance(v, un.Tensor)]
        first, (second,) = self.buffers["pair"]
        return [*found, self.buffers["sum"], first, second, self.steps, un.default_generator().state]


def _add_to(state: State, x: un.Tensor) -> un.Tensor:
    with un.no_grad():
        state.buffers["sum"].add_(x.detach())
    return x + state.buffers["sum"] * 0.1


def _rebind(state: State, x: un.Tensor) -> un.Tensor:
    state.buffers["pair"][0].mul_(0.5).add_(x.detach().mean(0))
    return x * state.buffers["pair"][0]


def _write_rows(state: State, x: un.Tensor) -> un.Tensor:
    y = x.clone()
    y[0] = y[1] * 0.5
    y[:, 1:3] += 1
    return y


def _count(state: State, x: un.Tensor) -> un.Tensor:
    state.steps.add_(1)
    return x + state.steps * 0.01


def _scale(state: State, x: un.Tensor) -> un.Tensor:
    factor = state.buffers["pair"][1][0]
    factor.copy_(factor * 0.9 + 0.1)
    return x * factor


def _flag(state: State, x: un.Tensor) -> un.Tensor:
    return state.layer(x).tanh() if state.dropout.training else x.relu()


def _grad_inside(state: State, x: un.Tensor) -> un.Tensor:
    return x + un.func.grad(lambda t: (t.sin() * t).sum())(x.detach())


STATEMENTS: dict[str, Statement] = {
    "layer": lambda s, x: s.layer(x),
    "norm": lambda s, x: s.norm(x),
    "dropout": lambda s, x: s.dropout(x),
    "noise": lambda s, x: x + 0.1 * un.rand(ROWS, WIDTH),
    "softmax": lambda s, x: x.softmax(-1) * 2,
    "where": lambda s, x: un.where(x > 0, x * 1.5, x.tanh()),
    "split": lambda s, x: un.cat([part * (i + 1) for i, part in enumerate(x.split(2, dim=1))], 1),
    "loop": lambda s, x: sum((x * (0.3**i) for i in range(3)), x),
    "detach": lambda s, x: x * x.detach().sigmoid(),
    "checkpoint": lambda s, x: un.checkpoint(lambda t: s.dropout(s.layer(t)).tanh(), x),
    "vmap": lambda s, x: un.vmap(lambda row: row * row.sum())(x) * 0.2,
    "add to": _add_to,
    "rebind": _rebind,
    "write rows": _write_rows,
    "count": _count,
    "scale": _scale,
    "flag": _flag,
    "grad inside": _grad_inside,
}
"""What programs are made of: Tensors ``(ROWS, WIDTH)`` in and out. Control flow on values is added here."""

ENDINGS = ("value", "gradient out", "backward", "step", "nest", "write argument")


def program(state: State, names: list[str], ending: str, twice: bool) -> Callable[[un.Tensor], Any]:
    """The function of one Tensor that applies the statements and ends as it is told."""

    def run(x: un.Tensor) -> Any:
        if ending == "step":
            state.optimizer.zero_grad()
        y = x
        for name in names:
            y = STATEMENTS[name](state, y)
        loss = (y * y).mean() + 0.1 * state.decay()
        if ending == "backward" or ending == "step":
            loss.backward()
        if ending == "step":
            state.optimizer.step()
            if twice:
                state.optimizer.zero_grad()
                (state.layer(x).square().mean() + state.decay()).backward()
                state.optimizer.step()
        if ending == "write argument":
            x.mul_(0.5)
        if ending in ("value", "write argument"):
            return y.detach()
        if ending == "nest":
            return {"all": [y.detach(), (loss.detach(), None)], "name": ending, "steps": state.steps + 1}
        return loss if ending == "gradient out" else loss.detach()

    return run


def outcome(case: dict[str, Any], compiled: bool) -> list[Any]:
    """Results and state of some calls."""
    state = State.make(case["optimizer"])
    run = program(state, case["names"], case["ending"], case["twice"])
    if compiled:
        run = un.compile(run)
    seen: list[Any] = []
    for call in range(case["calls"]):
        for module in (state.dropout, state.norm):
            module.train(case["training"] if call < 2 else not case["training"])
        x = un.tensor(np.linspace(-1, 1 + call, ROWS * WIDTH, dtype=np.float32).reshape(ROWS, WIDTH))
        result = run(x)
        if case["ending"] == "gradient out":
            result.backward()
        leaves: list[Any] = [x]
        un._structure.flatten(result, leaves)
        seen += [leaf.detach().numpy().copy() for leaf in leaves]
    return seen + [None if t is None else t.detach().numpy().copy() for t in state.tensors()]


cases = st.fixed_dictionaries(
    {
        "names": st.lists(st.sampled_from(sorted(STATEMENTS)), min_size=1, max_size=8),
        "ending": st.sampled_from(ENDINGS),
        "optimizer": st.sampled_from(["sgd", "adamw", "rmsprop"]),
        "training": st.booleans(),
        "twice": st.booleans(),
        "calls": st.integers(1, 3),
    }
)


def check(case: dict[str, Any]) -> None:
    """Asserts that eager and compiled agree."""
    eager, compiled = outcome(case, False), outcome(case, True)
    for a, b in zip(compiled, eager, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, **CLOSE)
    np.testing.assert_array_equal(compiled[-1], eager[-1])  # as many random numbers, bit for bit


@pytest.mark.parametrize("name", PROGRAMS)
def test_random_programs_agree(name):
    count = int(os.environ.get("UNIFIED_RANDOM_PROGRAMS", PROGRAMS[name]))

    @settings(max_examples=count, suppress_health_check=list(HealthCheck))
    @given(cases)
    def programs(case):
        check(case)

    with un.backend(name):
        programs()


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
