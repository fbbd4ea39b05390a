"""The path of a call: how much Python it runs, how often JAX compiles, and what it says when operands do not fit."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import unified as un
from unified import errors
from unified._dispatch import table

MAX_CALLS = 6
"""Python function calls that one op may make in our own code (the issue's budget)."""

ROOT = str(Path(un.__file__).resolve().parent.parent)
OURS = (f"{ROOT}/unified/", f"{ROOT}/backends/", "<unified caller>")


def python_calls(function) -> int:
    """Python-level calls into the library while ``function`` runs, warmed up."""
    function()
    function()
    calls = []

    def hook(frame, event, arg):
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(OURS):
            calls.append(frame.f_code.co_name)

    sys.setprofile(hook)
    try:
        function()
    finally:
        sys.setprofile(None)
    return len(calls)


OPS = {
    "add": lambda x: x + x,
    "add a number": lambda x: x + 1.5,
    "relu": lambda x: x.relu(),
    "matmul": lambda x: x @ x,
    "mul": lambda x: un.mul(x, x),
    "exp": lambda x: un.exp(x),
    "reshape": lambda x: x.reshape(64),
    "sum": lambda x: x.sum(1),
}


@pytest.mark.parametrize("name", list(OPS))
def test_python_calls_per_op(backend, name):
    x = un.ones(8, 8)
    assert 1 <= python_calls(lambda: OPS[name](x)) <= MAX_CALLS


def count_compiles(function) -> int:
    compiles = []

    def listen(event: str, duration: float, **_: object) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiles.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        function()
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    return len(compiles)


def test_the_compile_counter_counts():
    assert count_compiles(lambda: jax.jit(lambda a: a * 3 + 1)(np.ones(7, np.float32))) >= 1


def test_jax_compiles_once_per_op_and_shape():
    with un.backend("jax"):
        x = un.ones(6, 7)
        assert count_compiles(lambda: x * x + x) > 0
        assert count_compiles(lambda: [x * x + x for _ in range(20)]) == 0


def test_python_floats_are_dynamic_on_jax():
    with un.backend("jax"):
        x = un.ones(6, 7)
        x * 0.5, x + 0.5, x - 0.5, x / 0.5
        assert count_compiles(lambda: [(x * s, x + s, x - s, x / s) for s in (0.1, 0.2, 0.3)]) == 0


def test_a_loop_over_positions_is_a_handful_of_programs_on_jax():
    with un.backend("jax"):
        x = un.ones(200, 3, 5, requires_grad=True)

        def loop(length):
            y = x[0] * 0.0
            for t in range(length):
                y = y + x[t]
            y.sum().backward()

        few = count_compiles(lambda: loop(200))
        assert 0 < few <= 12
        assert count_compiles(lambda: loop(150)) == 0


NUMBERS = {
    "add, alpha": lambda x, s: un.add(x, x, alpha=s),
    "sub, alpha": lambda x, s: un.sub(x, x, alpha=s),
    "pow": lambda x, s: un.pow(x, s),
    "number to a power": lambda x, s: s**x,
    "remainder": lambda x, s: un.remainder(x, s),
    "fmod": lambda x, s: un.fmod(x, s),
    "div, floor": lambda x, s: un.div(x, s, rounding_mode="floor"),
    "clamp": lambda x, s: un.clamp(x, -s, s),
    "clamp_min": lambda x, s: un.clamp_min(x, s),
    "where": lambda x, s: un.where(x > 0, x, s),
    "comparison": lambda x, s: x > s,
    "masked_fill": lambda x, s: x.masked_fill(x > 0, s),
    "fill": lambda x, s: un.fill(x, s),
    "index_fill": lambda x, s: un.index_fill(x, 0, un.tensor([1]), s),
    "lerp": lambda x, s: un.lerp(x, x, s),
    "addcmul": lambda x, s: un.addcmul(x, x, x, value=s),
    "addcdiv": lambda x, s: un.addcdiv(x, x, x, value=s),
    "addmm": lambda x, s: un.addmm(x @ x.mT, x, x.mT, beta=s, alpha=s),
    "xlogy": lambda x, s: un.xlogy(x, s),
    "float_power": lambda x, s: un.float_power(x, s),
    "nan_to_num": lambda x, s: un.nan_to_num(x, s),
    "logit": lambda x, s: un.logit(x, s / 10),
    "full_like": lambda x, s: un.full_like(x, s),
    "leaky_relu": lambda x, s: un.nn.functional.leaky_relu(x, s),
    "elu": lambda x, s: un.nn.functional.elu(x, s),
    "celu": lambda x, s: un.nn.functional.celu(x, s),
    "threshold": lambda x, s: un.nn.functional.threshold(x, s, s),
    "hardtanh": lambda x, s: un.nn.functional.hardtanh(x, -s, s),
    "hardshrink": lambda x, s: un.nn.functional.hardshrink(x, s),
    "softshrink": lambda x, s: un.nn.functional.softshrink(x, s),
    "softplus": lambda x, s: un.nn.functional.softplus(x, s),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_another_number_compiles_nothing_on_jax(name):
    with un.backend("jax"):
        x = un.rand(6, 7, requires_grad=True)

        def once(number):
            result = NUMBERS[name](x, number)
            if result.requires_grad:
                result.sum().backward()

        once(0.25)
        once(0.5)
        assert count_compiles(lambda: [once(number) for number in (0.3, 0.7, 0.45)]) == 0


@pytest.mark.parametrize(
    "function", [un.add, un.exp, un.cat, un.softmax, un.max, un.matmul], ids=lambda f: f.__name__
)
def test_out_is_refused_with_the_way_out(backend, function):
    x, target = un.ones(2, 2), un.zeros(2, 2)
    arguments = {"cat": ([x, x],), "softmax": (x, 0), "exp": (x,)}.get(function.__name__, (x, x))
    with pytest.raises(errors.ArgumentError, match=rf"{function.__name__}: out= is not taken"):
        function(*arguments, out=target)
    assert target.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_a_backward_pass_is_compiled_once():
    with un.backend("jax"):
        x = un.ones(6, 7, requires_grad=True)

        def once():
            (x.relu() * x).sum().backward()

        once()
        once()
        assert count_compiles(once) == 0


def test_operands_of_two_backends_are_refused_by_name():
    names = un.available_backends()
    for first, second in zip(names, names[1:] + names[:1], strict=True):
        with un.backend(first):
            x = un.ones(2, 3)
        with un.backend(second):
            y = un.ones(2, 3)
        for attempt in (lambda x=x, y=y: x + y, lambda x=x, y=y: x @ y, lambda x=x, y=y: un.cat([x, y])):
            with pytest.raises(errors.BackendMismatchError) as caught:
                attempt()
            message = str(caught.value)
            assert f"{first} and {second}" in message
            assert f"x.to(backend={first!r})" in message
            assert f"float32 (2, 3) on {second} (cpu)" in message


@pytest.mark.parametrize(
    ("attempt", "kind", "reason"),
    [
        (lambda: un.ones(2, 3) @ un.ones(4, 5), errors.ShapeError, r"matmul: shapes \(2, 3\) and \(4, 5\) cannot"),
        (lambda: un.ones(2, 3) + un.ones(4), errors.ShapeError, r"add: shapes \(2, 3\) and \(4,\) do not broadcast"),
        (lambda: un.ones(2, 3) @ un.ones(3, 2).to(un.int32), errors.DTypeError, r"input is float32, other is int32"),
        (lambda: un.add(un.ones(2), "x"), errors.OperandError, r"other must be a Tensor or a number, not str"),
        (lambda: un.relu([1.0]), errors.OperandError, r"input must be a Tensor, not list.*un\.tensor"),
        (lambda: un.ones(2, 3)[5], errors.IndexOutOfRangeError, r"index 5 is out of range for axis 0"),
        (lambda: un.ones(2, 3)[0, 0, 0], errors.IndexOutOfRangeError, r"too many subscripts"),
        (lambda: bool(un.ones(2)), errors.ShapeError, r"ambiguous"),
        (lambda: un.ones(2).item(), errors.ShapeError, r"2 elements"),
        (lambda: un.Tensor([1.0]), errors.OperandError, r"un\.tensor\(data\)"),
        (lambda: un.ones(2).add_(un.ones(3, 2)), errors.ShapeError, r"in-place result of shape \(3, 2\)"),
        (lambda: un.tensor([1, 2]).add_(0.5), errors.DTypeError, r"float32 cannot be cast to int32"),
        (lambda: un.ones(2, device="tpu:7"), errors.DeviceError, r"'tpu:7' is not here"),
        (lambda: un.device("quantum"), errors.DeviceError, r"cannot read 'quantum'"),
    ],
)  # fmt: skip
def test_bad_input_gives_one_clear_message(backend, attempt, kind, reason):
    with pytest.raises(kind, match=f"(?s){reason}") as caught:
        attempt()
    other = next(name for name in un.available_backends() if name != backend)
    with un.backend(other), pytest.raises(kind) as elsewhere:
        attempt()
    assert _neutral(str(caught.value)) == _neutral(str(elsewhere.value))


def _neutral(message: str) -> str:
    for name in ("torch", "jax", "tensorflow"):
        message = message.replace(name, "BACKEND")
    return message.split("; the BACKEND backend has")[0]


def test_foreign_tensors_are_pointed_to_from_native(backend):
    x = un.ones(2)
    with pytest.raises(errors.OperandError, match=r"un\.from_native"):
        x + x.native


def test_every_op_has_a_docstring_and_typed_parameters():
    for name, op in table.items():
        assert op.caller.__doc__, f"{name} has no docstring"
        declared = op.caller.__wrapped__
        assert set(inspect.signature(declared).parameters) <= set(declared.__annotations__), name


def test_numpy_names_of_arguments(backend):
    x = un.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.sum(axis=1, keepdims=True).tolist() == [[3.0], [7.0]]
    assert un.softmax(x, axis=0).shape == (2, 2)
    with pytest.raises(TypeError, match="dim"):
        un.softmax(x)
