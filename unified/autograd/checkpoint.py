"""``checkpoint``: a region whose intermediate values are not kept but computed again for its derivative."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unified import _structure
from unified._custom import placed, recomputed_state, snapshot, state_of
from unified._dispatch import backends_by_type, tracing
from unified._engine import engine_of
from unified._recording import casting
from unified._tape import grad_mode
from unified._tensor import Tensor
from unified.backends.protocol import Native


def _apart(kept: list[Tensor], arrived: Sequence[Native]) -> list[Tensor]:
    """What the second run starts from, in a program: not to be merged with the first, nor run before it is wanted."""
    compiler = backends_by_type[type(kept[0]._native)].compiler
    if not all(compiler.is_traced(tensor._native) for tensor in kept):
        return kept
    natives = compiler.barrier([*(tensor._native for tensor in kept), *arrived])
    return [
        placed(native, tensor._node, getattr(tensor, "_output", 0))
        for native, tensor in zip(natives, kept, strict=False)
    ]


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool = False,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """``function(*args, **kwargs)``, at the price of a second forward pass instead of the memory of the first.

    Gradients reach Tensors among the arguments and those that the function holds by closure, its parameters say, and
    are differentiable themselves. Within a branch or a loop's body in ``un.compile``, whose derivative computes all
    of it again, it is a plain call.

    Args:
        use_reentrant: PyTorch's; this one is as its ``False``, without the limits of its ``True``.
        function: pure but for random draws: the second run must compute what the first did.
        preserve_rng_state: lets the second run draw the first one's random numbers from the default generator.

    Source: Chen et al., "Training deep nets with sublinear memory cost", 2016.
    """
    tracer = tracing()
    if tracer is not None and tracer.runs_again:  # only while it runs are Tensors from outside bound to its own
        return function(*args, **kwargs)
    leaves: list[Tensor] = []
    call = _structure.flatten((args, kwargs), leaves)
    if not leaves:
        return function(*args, **kwargs)
    results: list[Tensor] = []
    layout: list[Any] = [None]

    def run() -> list[Tensor]:
        layout[0] = _structure.flatten(function(*args, **kwargs), results)
        return list(results)

    kept = [snapshot(tensor) for tensor in leaves]
    rewound = [find(leaves[0].backend) for find in recomputed_state] if preserve_rng_state else []
    start = [snapshot(state)._native for state in rewound]
    casts = grad_mode.autocast

    def again(arrived: Sequence[Native] = ()) -> list[Tensor]:
        args, kwargs = _structure.unflatten(call, _apart(kept, arrived))
        outputs: list[Tensor] = []
        with state_of(rewound, start), casting(casts):
            _structure.flatten(function(*args, **kwargs), outputs)
        return outputs

    outputs = engine_of(leaves[0]).checkpoint(run, again)
    results.clear()
    return _structure.unflatten(layout[0], outputs)
