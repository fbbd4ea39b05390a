"""Finite differences as the oracle: ``autograd.gradcheck`` and ``gradgradcheck`` on samples of the op database."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch

import unified as un
from tests.conformance import database, oracle
from tests.conformance.translate import Translator, flat

NAMES = ("gradcheck", "gradgradcheck")
"""Of the checks."""
DTYPES = (torch.float64, torch.complex128)
ENOUGH = 4
"""Elements that a sample has at least, if one does: the derivative of a scalar shows little."""
ELEMENTS = 120
"""Of inputs and outputs together, up to which whole Jacobians are compared and not projections."""

APART = {
    # windows overlap and several elements are written to one place; PyTorch checks the variant "grad" instead
    *[(f"nn.functional.max_unpool{n}d", "") for n in (1, 2, 3)],
    ("linalg.norm", "subgradients_at_zero"),  # a kink
}
"""Entries of the database, by name and variant, at which there is no derivative that differences could show."""


def first_dtype(info: Any) -> torch.dtype | None:
    """float64, or complex128 for what has no real gradient."""
    return next((dtype for dtype in DTYPES if database.supports(info, dtype, True)), None)


def samples(info: Any, dtype: torch.dtype, seed: int, limit: int) -> list[Any]:
    """The smallest samples that have enough elements and something to differentiate."""
    if (info.name, info.variant_test_name) in APART:
        return []
    drawn = [oracle.wide(sample) for sample in database.samples(info, dtype, True, seed, 10**6)]
    drawn = [sample for sample in drawn if _size(oracle.inputs(sample))]
    by_size = sorted(drawn, key=lambda s: (_size(oracle.inputs(s)) < ENOUGH, _size(oracle.inputs(s))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(itertools.islice((sample for sample in by_size if _places(info, sample)), limit))


def _size(tensors: Iterable[Any]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def _places(info: Any, sample: Any) -> list[int]:
    """Which results PyTorch differentiates, of those that are not empty; none where one is not finite."""
    results = [
        r if isinstance(r, torch.Tensor) else None for r in oracle.results_to_differentiate(info, info.op, sample)
    ]
    places = [i for i, r in enumerate(results) if r is not None and r.requires_grad and r.numel()]
    return places if all(results[i].isfinite().all() for i in places) else []


def program(
    info: Any, ours: Callable[..., Any], sample: Any, dtype: torch.dtype, wrapped: Callable[..., Any]
) -> tuple[Callable[..., Any], list[un.Tensor]]:
    """A function of the sample's Tensors that require grad, which gradcheck moves in place, and those Tensors."""
    translate = Translator(dtype)
    function = wrapped(info, ours, sample, translate)
    places = _places(info, sample)
    inputs = [translate(leaf) for leaf in oracle.inputs(sample)]

    def func(*tensors: un.Tensor) -> tuple[un.Tensor, ...]:
        found = function(translate(sample.input), *translate(sample.args), **translate(sample.kwargs))
        results = flat(sample.output_process_fn_grad(found))
        return tuple(results[place] for place in places)

    return func, inputs


def check(name: str, func: Callable[..., Any], inputs: list[un.Tensor], nondet_tol: float = 0.0) -> None:
    """Raises GradcheckError unless the derivatives are right; large ones are projected."""
    outputs = func(*inputs)
    size = _size(inputs) + _size(outputs if isinstance(outputs, tuple) else (outputs,))
    getattr(un.autograd, name)(func, tuple(inputs), nondet_tol=nondet_tol, fast_mode=size > ELEMENTS)
