"""Derivatives of a body, which is a function of a list of Tensors; computed where the body is traced."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from unified._dispatch import depth, lifted
from unified._engine import engine_of
from unified._levels import entered
from unified._recording import recording
from unified._tape import grad_mode
from unified._tensor import Tensor
from unified._transforms import transforms_of

Body = Callable[[list[Tensor]], list[Tensor]]
"""A branch or a loop's body, over all Tensors that it uses. It may be traced several times."""


def pulled(
    body: Body, inputs: list[Tensor], places: Sequence[int], cotangents: Sequence[Tensor | None]
) -> list[Tensor]:
    """The cotangents of the inputs at ``places`` from those of the outputs, by recording ``body`` and going back."""
    create_graph = grad_mode.enabled
    deepest = max([*inputs, *(c for c in cotangents if c is not None)], key=depth)
    inputs = list(inputs)
    for place in places if depth(deepest) else ():  # a level records what depends on its own values
        inputs[place] = lifted(inputs[place], deepest)
    with recording(True):
        watched = [inputs[place] for place in places]
        for tensor in watched:
            if not engine_of(tensor).requires_grad(tensor):
                engine_of(tensor).require_grad(tensor, True)
        pairs = [
            (output, cotangent if depth(cotangent) >= depth(output) else lifted(cotangent, output))
            for output, cotangent in zip(body(inputs), cotangents, strict=True)
            if cotangent is not None and engine_of(output).requires_grad(output)
        ]
        found: Sequence[Tensor | None] = [None] * len(watched)
        if pairs and watched:
            engine = engine_of(pairs[0][0])
            record = create_graph or any(depth(o) != depth(c) for o, c in pairs)  # of several levels: through `apply`
            found = engine.gradients([o for o, _ in pairs], [c for _, c in pairs], watched, True, record)
        return [
            tensor.detach().zeros_like() if gradient is None else gradient
            for tensor, gradient in zip(watched, found, strict=True)
        ]


def pushed(
    body: Body, inputs: list[Tensor], tangents: Sequence[Tensor | None]
) -> tuple[list[Tensor], list[Tensor | None]]:
    """The outputs of ``body`` and their tangents, None for one that is not inexact, by forward mode."""
    with entered(transforms_of(inputs[0]).dual()) as level:
        moving = [t if d is None else level.put(t, d) for t, d in zip(inputs, tangents, strict=True)]
        pairs = [level.take(output) for output in body(moving)]
    moved: list[Tensor | None] = []
    for value, tangent in pairs:
        if tangent is None and value.dtype.is_inexact:
            tangent = value.detach().zeros_like()
        moved.append(tangent)
    return [value for value, _ in pairs], moved
