"""``backward`` and ``grad`` over several roots."""

from __future__ import annotations

from collections.abc import Sequence

from unified._engine import engine_of, root_cotangent
from unified._tensor import Tensor
from unified.errors import AutogradError, BackendMismatchError

Tensors = Tensor | Sequence[Tensor]


def _tuple(value: Tensors) -> tuple[Tensor, ...]:
    return (value,) if isinstance(value, Tensor) else tuple(value)


def _roots(
    tensors: Tensors, cotangents: Tensor | Sequence[Tensor | None] | None
) -> tuple[list[Tensor], list[Tensor]]:
    roots = list(_tuple(tensors))
    given: list[Tensor | None]
    if cotangents is None:
        given = [None] * len(roots)
    else:
        given = [cotangents] if isinstance(cotangents, Tensor) else list(cotangents)
    if len(given) != len(roots):
        raise AutogradError(f"{len(roots)} Tensors need as many cotangents, got {len(given)}")
    if not roots:
        raise AutogradError("at least one Tensor is needed to start from")
    if len({root.backend for root in roots}) > 1:
        raise BackendMismatchError(f"roots live on several backends: {sorted({r.backend for r in roots})}")
    return roots, [root_cotangent(root, cotangent) for root, cotangent in zip(roots, given, strict=True)]


def backward(
    tensors: Tensors,
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """Adds the derivatives of ``tensors``, weighted by ``grad_tensors``, to the ``.grad`` of their leaves.

    Raises:
        AutogradError: a root records nothing, or its cotangent is missing or misshapen.
        FreedGraphError: an earlier pass released the graph.
    """
    roots, cotangents = _roots(tensors, grad_tensors)
    retain = create_graph if retain_graph is None else retain_graph
    engine_of(roots[0]).backward(roots, cotangents, retain, create_graph)


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """Derivatives of ``outputs`` with respect to ``inputs``, returned instead of accumulated.

    ``create_graph=True`` makes them differentiable themselves, to any order. An input that was not used gives
    None with ``allow_unused``, zeros with ``materialize_grads``, and an error otherwise.

    Example: ``grad(x ** 3, x)`` at ``x = 2`` is ``(12.,)``.

    Raises:
        AutogradError: an input does not require grad or was not used.
    """
    roots, cotangents = _roots(outputs, grad_outputs)
    wanted = _tuple(inputs)
    for position, tensor in enumerate(wanted):
        if not tensor.requires_grad:
            raise AutogradError(f"inputs[{position}] does not require grad; call x.requires_grad_() before using it")
    retain = create_graph if retain_graph is None else retain_graph
    engine = engine_of(roots[0])
    found = engine.gradients(roots, cotangents, wanted, retain, create_graph)
    for position, gradient in enumerate(found):
        if gradient is not None:
            continue
        if materialize_grads:
            found[position] = wanted[position].detach().zeros_like()
        elif not allow_unused:
            raise AutogradError(
                f"inputs[{position}] was not used to compute the outputs; pass allow_unused=True to get None for it, "
                "or materialize_grads=True to get zeros"
            )
    return tuple(found)
