"""One Module of ours against PyTorch's: names of the state, repr, outputs, gradients, the state afterwards.

Tolerances are the op database's, with its second opinion: a float32 result counts as right within 1e-5, or if it is
no further from the float64 result than 20 times PyTorch's own float32 result is (``tests/conformance/compare.py``).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import unified as un
from tests.conformance import compare, database, oracle
from tests.conformance.translate import dtype_of, flat
from tests.modules.translate import ModuleTranslator
from unified import nn

COUNTERPARTS = {un.int32: torch.int64, un.bool: torch.bool}


class Pair:
    """Ours and PyTorch's, made with the same arguments and holding the same state."""

    def __init__(self, info: Any, module_input: Any, dtype: torch.dtype, training: bool) -> None:
        made = module_input.constructor_input
        self.dtype = dtype
        self.translate = ModuleTranslator(dtype)
        self.given = module_input.forward_input
        torch.manual_seed(1)
        self.theirs = info.module_cls(*made.args, **made.kwargs).to(dtype).train(training)
        if info.is_lazy:  # makes what has waited for an input
            with torch.no_grad():
                self.theirs(*copy.deepcopy(self.given.args), **copy.deepcopy(self.given.kwargs))
        cls = getattr(nn, info.module_cls.__name__)
        self.ours = cls(*self.translate(made.args), **self.translate(made.kwargs)).to(dtype_of(dtype)).train(training)
        if info.is_lazy:
            with un.no_grad():
                self.ours(*self.translate(self.given.args), **self.translate(self.given.kwargs))
        self.wide = copy.deepcopy(self.theirs).to(torch.float64)


def names_and_reprs(pair: Pair) -> None:
    """State dicts of either fit the other, name by name; what is loaded is what was given."""
    state = pair.theirs.state_dict()
    report = pair.ours.load_state_dict(state)
    assert repr(report) == "<All keys matched successfully>"
    assert list(pair.ours.state_dict()) == list(state)
    assert [n for n, _ in pair.ours.named_parameters()] == [n for n, _ in pair.theirs.named_parameters()]
    assert [n for n, _ in pair.ours.named_modules()] == [n for n, _ in pair.theirs.named_modules()]
    back = {name: _torch(value) for name, value in pair.ours.state_dict().items()}
    assert all(torch.equal(back[name], value) and back[name].dtype is value.dtype for name, value in state.items())
    assert repr(pair.theirs.load_state_dict(back)) == "<All keys matched successfully>"
    assert repr(pair.ours) == repr(pair.theirs)


def _torch(value: un.Tensor) -> torch.Tensor:
    array = np.asarray(value.detach().numpy()).copy()
    return torch.from_numpy(array).to(COUNTERPARTS.get(value.dtype))


def outputs_and_gradients(pair: Pair) -> None:
    """The outputs, the gradients of all inputs and parameters, and the buffers after the call."""
    results, expected = _run(pair.theirs, pair.given)
    found, gradients = _ours(pair, results)
    second: list[Any] = []

    def precise() -> list[list[Any]]:
        if not second:
            outputs, wide = _run(pair.wide, _wide(pair.given))
            second.extend((flat(outputs), wide, list(pair.wide.state_dict().values())))
        return second

    _same("output", flat(found), flat(results), lambda: precise()[0])
    _same("gradient", gradients, expected, lambda: precise()[1])
    state = pair.theirs.state_dict()
    _same("state afterwards", list(pair.ours.state_dict().values()), list(state.values()), lambda: precise()[2])
    assert type(pair.ours).__name__ == type(pair.theirs).__name__


def _leaves(module: Any, args: Any) -> list[Any]:
    """The floating-point inputs that require grad, then the parameters."""
    members = [leaf for leaf in database.leaves(args) if isinstance(leaf, (torch.Tensor, un.Tensor))]
    return [leaf for leaf in members if leaf.requires_grad] + list(module.parameters())


def _differentiable(results: Any) -> list[int]:
    return [i for i, r in enumerate(flat(results)) if isinstance(r, torch.Tensor) and r.requires_grad]


def _run(module: torch.nn.Module, given: Any) -> tuple[Any, list[torch.Tensor]]:
    results = module(*given.args, **given.kwargs)
    outputs = [flat(results)[place] for place in _differentiable(results)]
    leaves = _leaves(module, (given.args, given.kwargs))
    if not outputs:
        return results, []
    gradients = torch.autograd.grad(outputs, leaves, oracle.cotangents(outputs, 1), allow_unused=True)
    return results, [oracle.zero_for_none(g, leaf) for g, leaf in zip(gradients, leaves, strict=True)]


def _ours(pair: Pair, expected: Any) -> tuple[Any, list[un.Tensor]]:
    translate = pair.translate
    args, kwargs = translate(pair.given.args), translate(pair.given.kwargs)
    results = pair.ours(*args, **kwargs)
    places = _differentiable(expected)
    if not places:
        return results, []
    cotangents = oracle.cotangents([flat(expected)[place] for place in places], 1)
    un.autograd.backward([flat(results)[place] for place in places], [translate(c) for c in cotangents])
    leaves = _leaves(pair.ours, (args, kwargs))
    return results, [un.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]


def _wide(given: Any) -> Any:
    return type(given)(*oracle._wide(given.args), **oracle._wide(given.kwargs))


def _same(what: str, found: list[Any], expected: list[Any], precise: Callable[[], list[Any]]) -> None:
    assert len(found) == len(expected), f"{len(found)} {what}s for {len(expected)}"
    for index, (one, other) in enumerate(zip(found, expected, strict=True)):
        apart = compare.difference(one, other)
        if apart is not None and isinstance(other, torch.Tensor):
            apart = compare.difference(one, other, precise()[index])
        assert apart is None, f"{what} {index}: {apart}"


def refusal(info: Any, error: Any, dtype: torch.dtype) -> None:
    """A bad input raises the class of error that PyTorch's does, where PyTorch's does, and changes nothing."""
    made, given = error.module_error_input.constructor_input, error.module_error_input.forward_input
    translate = ModuleTranslator(dtype)
    cls = getattr(nn, info.module_cls.__name__)
    at_construction = error.error_on.name == "CONSTRUCTION_ERROR"
    try:
        module = cls(*translate(made.args), **translate(made.kwargs)).to(dtype_of(dtype))
    except error.error_type as raised:
        if not at_construction and not isinstance(raised, un.errors.UnifiedError):
            raise
        return  # ours may say at construction what PyTorch only finds in forward
    assert not at_construction, f"was made in spite of: {error.error_regex}"
    before = {name: value.numpy().copy() for name, value in module.state_dict().items()}
    args, kwargs = translate(given.args), translate(given.kwargs)
    try:
        module(*args, **kwargs)
    except error.error_type:
        for name, value in module.state_dict().items():
            np.testing.assert_array_equal(value.numpy(), before[name], err_msg=name)
    else:
        raise AssertionError(f"computes in spite of: {error.error_regex}")
