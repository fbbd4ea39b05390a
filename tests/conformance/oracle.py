"""PyTorch's word on one sample: its results, its gradients, and both once more in 64 bits."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch

import unified as un
from tests.conformance import database, spelling
from tests.conformance.translate import Translator, flat

Function = Callable[..., Any]


def call(function: Function, sample: Any) -> Any:
    """The function on the sample's own arguments."""
    return function(sample.input, *sample.args, **sample.kwargs)


def function_of(info: Any, ours: Function, sample: Any, dtype: torch.dtype) -> Function:
    """What results are compared with: PyTorch's function, or ours on the torch backend where the sample draws.

    Our Philox bits are not PyTorch's, but they are the same on all of our backends.
    """
    if info.name in spelling.RANDOM and _draws(info, sample):
        return _on_torch(ours, dtype)
    return info.op


def _draws(info: Any, sample: Any) -> bool:
    """Whether the result changes with PyTorch's seed, which the database sets inside the call."""
    seeded = torch.manual_seed
    results = []
    for shift in (0, 1, 2):
        with mock.patch("torch.manual_seed", lambda seed, shift=shift: seeded(seed + shift)):
            drawn = flat(call(info.op, sample))
            results.append([r.clone() for r in drawn if isinstance(r, torch.Tensor)])  # some draw in place
    return not all(
        torch.equal(first, other) for later in results[1:] for first, other in zip(results[0], later, strict=True)
    )


def _on_torch(ours: Function, dtype: torch.dtype) -> Function:
    translate = Translator(dtype, adopt=True)

    def native(value: Any) -> Any:
        return value.native if isinstance(value, un.Tensor) else value

    @functools.wraps(ours)
    def function(*args: Any, **kwargs: Any) -> Any:
        with un.backend("torch"):
            result = ours(*translate(args), **translate(kwargs))
        return tuple(native(r) for r in flat(result)) if isinstance(result, (list, tuple)) else native(result)

    return function


def wide(sample: Any) -> Any:
    """The sample with its floating-point and complex arguments in 64 bits."""
    duplicate = type(sample)(_wide(sample.input), args=_wide(sample.args), kwargs=_wide(sample.kwargs))
    return duplicate.with_metadata(output_process_fn_grad=sample.output_process_fn_grad)


_WIDER = {
    torch.float32: torch.float64, torch.complex64: torch.complex128,
    torch.bfloat16: torch.float64, torch.float16: torch.float64,
}  # fmt: skip


def _wide(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.dtype in _WIDER:
        return value.detach().to(_WIDER[value.dtype]).requires_grad_(value.requires_grad)
    if isinstance(value, dict):
        return {k: _wide(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        return type(value)(_wide(member) for member in value)
    return value


def inputs(sample: Any) -> list[torch.Tensor]:
    """The tensors among the arguments that require grad."""
    members = database.leaves((sample.input, sample.args, sample.kwargs))
    return [m for m in members if isinstance(m, torch.Tensor) and m.requires_grad]


def results_to_differentiate(info: Any, function: Function, sample: Any) -> list[Any]:
    """The results as the database wants them differentiated: gauge-free, of symmetric or triangular arguments."""
    wrapped = functools.partial(info.gradcheck_wrapper, function)
    return flat(sample.output_process_fn_grad(call(wrapped, sample)))


def cotangents(outputs: list[torch.Tensor], seed: int) -> list[torch.Tensor]:
    """The same standard normals for the same shapes, whatever the dtype."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(o.shape, generator=generator, dtype=torch.complex64 if o.dtype.is_complex else torch.float32).to(
            o.dtype
        )
        for o in outputs
    ]


def pointed_to(info: Any, sample: Any) -> Function:
    """What makes indices among equal elements comparable: the elements they point to in the sample's input.

    For an op that orders elements without being asked for a stable order; the identity for every other.
    """
    if info.name not in spelling.ORDERS or sample.kwargs.get("stable") or not sample.input.ndim:
        return lambda result: result
    place = spelling.ORDERS[info.name]
    dim = sample.kwargs.get("dim", sample.args[place] if len(sample.args) > place else -1)

    def elements(result: Any) -> list[Any]:
        members = flat(result)
        indices = members[-1]
        indices = indices.long() if isinstance(indices, torch.Tensor) else torch.from_numpy(indices.numpy()).long()
        if indices.ndim < sample.input.ndim:
            indices = indices.unsqueeze(dim)
        return [*members[:-1], *torch.gather(sample.input, dim, indices).flatten().tolist()]

    return elements


def zero_for_none(gradient: torch.Tensor | None, leaf: torch.Tensor) -> torch.Tensor:
    """PyTorch says None where a kernel does not look at an operand, which is a matter of its implementation."""
    return torch.zeros_like(leaf) if gradient is None else gradient
