"""Every Module of ``torch.nn`` against PyTorch's own, on the inputs of PyTorch's Module database.

`make test` takes float32 and a few inputs of each name and mode; `make test-full` takes float64 too, and nearly all
of the inputs (``tests/modules/database.py`` names those of which it takes fewer). Dropout is in no database, because
its outputs are random: its masks are tested with the Modules themselves.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

import unified as un
from tests.modules import absent, check, database, expected

NAMES = sorted(name for name in database.entries() if name not in absent.ABSENT)
REFUSING = [name for name in NAMES if database.entries()[name].module_error_inputs_func is not None]
QUICK = 2
"""Inputs per name and mode in `make test`."""
DTYPES = {"float32": torch.float32, "float64": torch.float64}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, marks=[pytest.mark.xfail(strict=True, reason="not written yet")] if name in absent.ABSENT else []
        )
        for name in sorted(set(torch.nn.modules.__all__) - set(absent.NEVER))
    ],
)
def test_every_name_is_there(name: str) -> None:
    assert hasattr(un.nn, name)


def test_lists_name_only_what_exists() -> None:
    assert absent.ABSENT | set(absent.NEVER) <= set(torch.nn.modules.__all__)
    assert set(database.FEWER) | database.TO_PACK | {known.name for known in expected.KNOWN} <= set(
        database.entries()
    )
    assert not [name for name in absent.NEVER if hasattr(un.nn, name)]


def mark(request: pytest.FixtureRequest, name: str, what: str, backend: str, dtype: str) -> None:
    reason = expected.why(name, what, backend, dtype)
    if reason is not None:
        request.node.add_marker(pytest.mark.xfail(strict=True, reason=reason))


@contextmanager
def naming(name: str, place: int, training: bool) -> Iterator[None]:
    """Says in which input something failed, and keeps PyTorch's advice about its own kernels to itself."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="torch")
            warnings.filterwarnings("ignore", "enable_nested_tensor is True")  # in the name of whom it was called by
            yield
    except Exception as error:
        error.add_note(f"input {place} of nn.{name}, {'train' if training else 'eval'} mode")
        raise


def compare(name: str, dtype: torch.dtype, limit: int) -> None:
    info = database.entries()[name]
    for training in (True, False):
        drawn = database.inputs(name, dtype, training)
        few = limit if training or info.train_and_eval_differ else 1
        for place, module_input in database.spread(drawn, min(few, -(-len(drawn) // database.FEWER.get(name, 1)))):
            with naming(name, place, training):
                pair = check.Pair(info, module_input, dtype, training)
                check.names_and_reprs(pair)
                check.outputs_and_gradients(pair)


@pytest.mark.parametrize("name", NAMES)
def test_module_equals_torchs(request: pytest.FixtureRequest, backend: str, name: str) -> None:
    mark(request, name, "equal", backend, "float32")
    compare(name, torch.float32, QUICK)


@pytest.mark.full
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_module_equals_torchs_on_all_inputs(
    request: pytest.FixtureRequest, backend: str, name: str, dtype: str
) -> None:
    mark(request, name, "equal", backend, dtype)
    compare(name, DTYPES[dtype], 10_000)


@pytest.mark.parametrize("name", REFUSING)
def test_bad_inputs_are_refused(request: pytest.FixtureRequest, backend: str, name: str) -> None:
    mark(request, name, "refuses", backend, "float32")
    info = database.entries()[name]
    for training in (True, False) if info.train_and_eval_differ else (True,):
        for place, error in enumerate(database.errors(name, torch.float32, training)):
            with naming(name, place, training):
                check.refusal(info, error, torch.float32)


def test_a_failure_is_noticed() -> None:
    """The harness tells a wrong output, a wrong gradient and a wrong name from right ones."""
    info = database.entries()["Linear"]
    (module_input, *_) = database.inputs("Linear", torch.float32, True)

    def pair() -> check.Pair:
        made = check.Pair(info, module_input, torch.float32, True)
        check.names_and_reprs(made)
        return made

    with un.backend("torch"):
        wrong = pair()
        with un.no_grad():
            wrong.ours.bias.add_(0.01)
        with pytest.raises(AssertionError, match="output 0: 32 of 32 elements differ"):
            check.outputs_and_gradients(wrong)
        wrong = pair()
        wrong.ours.register_forward_hook(lambda module, args, out: 2 * out - out.detach())
        with pytest.raises(AssertionError, match="gradient 0"):
            check.outputs_and_gradients(wrong)
        wrong = check.Pair(info, module_input, torch.float32, True)
        wrong.ours.register_buffer("more", un.zeros(1))
        with pytest.raises(un.errors.StateDictError, match="more"):
            check.names_and_reprs(wrong)
