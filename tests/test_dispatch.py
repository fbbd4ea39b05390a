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
