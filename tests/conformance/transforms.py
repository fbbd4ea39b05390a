"""``func.vmap`` and ``func.jvp`` on samples of the op database: what is compared with what.

The oracle of ``vmap`` is a loop: PyTorch's op on each example. The examples are one sample in several draws, so that
each is in the op's domain. The oracle of ``jvp`` is ``torch.func.jvp``; where PyTorch has no forward mode it is the
Jacobian that its reverse mode gives, times the tangents.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch

import unified as un
from tests.conformance import database, oracle, spelling
from tests.conformance.translate import Translator, flat

NAMES = ("vmap", "jvp")
"""Of the checks."""
EXAMPLES = 2
"""In a batch. The database's own dimensions are 3, 5 and 10: one in the wrong place has another length."""


class Comparison(NamedTuple):
    """Ours, PyTorch's, PyTorch's in 64 bits, and what it is of."""

    found: list[Any]
    expected: list[Any]
    precise: Callable[[], list[Any]]
    what: str


# ---- vmap ------------------------------------------------------------------------------------------------------


class Batch(NamedTuple):
    """Samples of the same structure and shapes."""

    sample_input: Any
    """The first of them."""
    examples: tuple[Any, ...]


def batches(info: Any, dtype: torch.dtype, seed: int, limit: int) -> list[Batch]:
    """Of the samples that draw nothing, and whose results are tensors of one shape for all examples."""
    draws = [database.samples(info, dtype, False, seed + k, limit) for k in range(EXAMPLES)]
    found = []
    for place, sample in enumerate(draws[0]):
        if not _tensors(sample) or (info.name in spelling.RANDOM and oracle._draws(info, sample)):
            continue
        others = [drawn[place] for drawn in draws[1:] if len(drawn) == len(draws[0])]
        alike = len(others) == EXAMPLES - 1 and all(_form(other) == _form(sample) for other in others)
        examples = (sample, *others) if alike else (sample,) * EXAMPLES
        if len({_result_form(info, example) for example in examples}) == 1 and _result_form(info, sample):
            found.append(Batch(sample, examples))
    return found


def _arguments(sample: Any) -> tuple[Any, ...]:
    return sample.input, sample.args, sample.kwargs


def _tensors(sample: Any) -> list[torch.Tensor]:
    """The tensors among the arguments, each once."""
    members = [leaf for leaf in database.leaves(_arguments(sample)) if isinstance(leaf, torch.Tensor)]
    return list({id(member): member for member in members}.values())


def _form(value: Any) -> Any:
    """Everything about an argument but a tensor's elements."""
    if hasattr(value, "kwargs"):
        return _form(_arguments(value))
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), value.dtype
    if isinstance(value, dict):
        return tuple((key, _form(member)) for key, member in value.items())
    if isinstance(value, (list, tuple)):
        return type(value), tuple(_form(member) for member in value)
    return getattr(value, "__qualname__", type(value)) if callable(value) else repr(value)


def _result_form(info: Any, sample: Any) -> Any:
    """Shapes and dtypes of the results, or None where one is not a tensor."""
    results = flat(oracle.call(info.op, sample))
    return tuple(map(_form, results)) if all(isinstance(r, torch.Tensor) for r in results) else None


def batched(info: Any, ours: Callable[..., Any], batch: Batch, dtype: torch.dtype) -> Iterator[Comparison]:
    """All tensors batched, in the first dimension; then the first alone, in the last dimension."""
    leaves = [_tensors(example) for example in batch.examples]
    yield from _one_placement(info, ours, batch, dtype, [0] * len(leaves[0]), batch.examples)
    if len(leaves[0]) > 1:
        first = [_substituted(batch.sample_input, {id(leaves[0][0]): other[0]}) for other in leaves]
        if len({_result_form(info, example) for example in first}) == 1:
            dims = [-1, *[None] * (len(leaves[0]) - 1)]
            yield from _one_placement(info, ours, batch, dtype, dims, tuple(first))


def _one_placement(
    info: Any,
    ours: Callable[..., Any],
    batch: Batch,
    dtype: torch.dtype,
    dims: list[Any],
    examples: tuple[Any, ...],
) -> Iterator[Comparison]:
    sample = batch.sample_input
    leaves, translate = [_tensors(example) for example in examples], Translator(dtype)
    stacked = [
        translate.tensor(members[0] if dim is None else torch.stack(members, dim))
        for members, dim in zip(zip(*leaves, strict=True), dims, strict=True)
    ]
    function = _of_tensors(ours, sample, leaves[0], translate)
    batched_op = un.func.vmap(
        lambda *tensors: tuple(flat(function(*tensors))),
        in_dims=tuple(dims),
        randomness="same",  # of samples that draw, those are here whose results the numbers do not change
    )
    results = batched_op(*stacked)
    for place, example in enumerate(examples):
        pointed_to = oracle.pointed_to(info, example)

        def process(result: Any, example: Any = example, pointed_to: Callable[..., Any] = pointed_to) -> list[Any]:
            return flat(pointed_to(example.output_process_fn_grad(result)))

        expected = oracle.call(info.op, example)
        found = [result[place] for result in results]
        yield Comparison(
            process(_like(found, expected)),
            process(expected),
            lambda example=example, process=process: process(oracle.call(info.op, oracle.wide(example))),
            f"in_dims {dims}, example {place}, result",
        )


def _like(found: list[Any], expected: Any) -> Any:
    """``found`` in the form of PyTorch's result, as the sample's processing expects it."""
    if isinstance(expected, torch.Tensor):
        return found[0]
    return found if isinstance(expected, list) else tuple(found)


def _of_tensors(
    function: Callable[..., Any], sample: Any, leaves: list[torch.Tensor], translate: Translator
) -> Callable[..., Any]:
    """``function`` on the sample's arguments, as one of the Tensors that stand for ``leaves``."""

    def call(*tensors: un.Tensor) -> Any:
        for leaf, tensor in zip(leaves, tensors, strict=True):
            translate.made[id(leaf)] = (leaf, tensor)
        return function(translate(sample.input), *translate(sample.args), **translate(sample.kwargs))

    return call


def _substituted(sample: Any, others: dict[int, torch.Tensor]) -> Any:
    """The sample with other tensors in the place of some, which are named by their ids."""

    def walk(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return others.get(id(value), value)
        if isinstance(value, dict):
            return {key: walk(member) for key, member in value.items()}
        if isinstance(value, slice):
            return slice(walk(value.start), walk(value.stop), walk(value.step))
        if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
            return type(value)(walk(member) for member in value)
        return value

    duplicate = type(sample)(walk(sample.input), args=walk(sample.args), kwargs=walk(sample.kwargs))
    return duplicate.with_metadata(output_process_fn_grad=sample.output_process_fn_grad)


# ---- jvp -------------------------------------------------------------------------------------------------------


def pushed(
    info: Any, ours: Callable[..., Any], sample: Any, dtype: torch.dtype, wrapped: Callable[..., Any]
) -> Iterator[Comparison]:
    """Results and tangents, for tangents of all arguments that require grad."""
    theirs = oracle.function_of(info, ours, sample, dtype)
    results = oracle.results_to_differentiate(info, theirs, sample)
    places = [i for i, r in enumerate(results) if isinstance(r, torch.Tensor) and r.requires_grad]
    leaves = oracle.inputs(sample)
    if not places:
        return
    tangents = oracle.cotangents(leaves, 1)
    expected = _their_jvp(info, theirs, sample, places, tangents)
    translate = Translator(dtype)
    function = _of_tensors(wrapped(info, ours, sample, translate), sample, leaves, translate)

    def chosen(*tensors: un.Tensor) -> tuple[Any, ...]:
        processed = flat(sample.output_process_fn_grad(function(*tensors)))
        return tuple(processed[place] for place in places)

    primals = tuple(translate(leaf.detach()) for leaf in leaves)
    found = un.func.jvp(chosen, primals, tuple(translate(tangent) for tangent in tangents))

    def precise(which: int) -> list[Any]:
        wide = oracle.wide(sample)
        return _their_jvp(info, theirs, wide, places, oracle.cotangents(oracle.inputs(wide), 1))[which]

    for which, what in enumerate(("result", "tangent")):
        yield Comparison(list(found[which]), expected[which], functools.partial(precise, which), what)


def _their_jvp(
    info: Any, theirs: Callable[..., Any], sample: Any, places: list[int], tangents: list[torch.Tensor]
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    leaves = oracle.inputs(sample)

    def function(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        pairs = zip(leaves, tensors, strict=True)
        results = oracle.results_to_differentiate(
            info, theirs, _substituted(sample, {id(leaf): tensor for leaf, tensor in pairs})
        )
        return tuple(results[place] for place in places)

    if info.supports_forward_ad and theirs is info.op:
        try:
            outputs, pushed_forward = torch.func.jvp(
                function, tuple(leaf.detach() for leaf in leaves), tuple(tangents)
            )
            return list(outputs), list(pushed_forward)
        except (RuntimeError, NotImplementedError):  # a kernel without forward mode, reached by these arguments
            pass
    return _by_reverse_mode(function, leaves, tangents)


def _by_reverse_mode(
    function: Callable[..., Any], leaves: list[torch.Tensor], tangents: list[torch.Tensor]
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Row by row of the Jacobian; a complex element is two real rows."""
    outputs = function(*leaves)
    pushed_forward = []
    for output in outputs:
        rows = []
        for element in output.flatten():
            parts = torch.view_as_real(element) if element.is_complex() else element[None]
            found = [torch.autograd.grad(part, leaves, retain_graph=True, allow_unused=True) for part in parts]
            slopes = [sum(map(_real_product, row, tangents)) for row in found]
            rows.append(complex(*slopes) if element.is_complex() else slopes[0])
        pushed_forward.append(torch.tensor(rows, dtype=output.dtype).reshape(output.shape))
    return [output.detach() for output in outputs], pushed_forward


def _real_product(slope: torch.Tensor | None, tangent: torch.Tensor) -> float:
    """The gradient of a real number by a complex one is that by its parts."""
    if slope is None or not math.prod(slope.shape):
        return 0.0
    product = slope.conj() * tangent
    return float(product.real.sum() if product.is_complex() else product.sum())
