"""``backward`` and ``grad`` over several roots."""

from __future__ import annotations

from collections.abc import Sequence

from unified._dispatch import tracing
from unified._engine import engine_of, require, root_cotangent, wanted_inputs
from unified._tensor import Tensor
from unified.errors import ArgumentError, AutogradError, BackendMismatchError, OperandError, ShapeError
from unified.ops.joining import stack

Tensors = Tensor | Sequence[Tensor]
Cotangents = Tensor | Sequence[Tensor | None] | None


def _listed(
    tensors: Tensors, cotangents: Cotangents, what: tuple[str, str]
) -> tuple[list[Tensor], list[Tensor | None]]:
    if not isinstance(tensors, (Tensor, list, tuple)):
        raise OperandError(f"{what[0]} must be a Tensor or a sequence of them, not {type(tensors).__name__}")
    roots = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    given: list[Tensor | None]
    if cotangents is None:
        given = [None] * len(roots)
    else:
        given = [cotangents] if isinstance(cotangents, Tensor) else list(cotangents)
    if len(given) != len(roots):
        raise AutogradError(f"{what[0]} are {len(roots)} Tensors, {what[1]} {len(given)}; one is needed for each")
    for position, root in enumerate(roots):
        if not isinstance(root, Tensor):
            raise OperandError(f"{what[0]}[{position}] must be a Tensor, not {type(root).__name__}")
    if len({root.backend for root in roots}) > 1:
        raise BackendMismatchError(f"{what[0]} live on several backends: {sorted({r.backend for r in roots})}")
    return roots, given


def backward(
    tensors: Tensors,
    grad_tensors: Cotangents = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensors | None = None,
) -> None:
    """Adds the derivatives of ``tensors``, weighted by ``grad_tensors``, to the ``.grad`` of their leaves.

    Arguments as for :meth:`unified.Tensor.backward`.

    Raises:
        AutogradError: a root records nothing, its cotangent is missing or misshapen, or an input does not
            require grad.
        FreedGraphError: an earlier pass released the graph.
    """
    chosen = wanted_inputs(inputs)
    roots, given = _listed(tensors, grad_tensors, ("tensors", "grad_tensors"))
    cotangents = [root_cotangent(root, cotangent) for root, cotangent in zip(roots, given, strict=True)]
    retain = create_graph if retain_graph is None else retain_graph
    tracer = tracing()
    if tracer is not None:
        tracer.differentiate()
    if roots:
        engine_of(roots[0]).backward(roots, cotangents, retain, create_graph, chosen)


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Cotangents = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """Derivatives of ``outputs`` with respect to ``inputs``, returned instead of accumulated.

    ``create_graph=True`` makes them differentiable themselves, to any order. An input that was not used gives
    None with ``allow_unused``, zeros with ``materialize_grads``, and an error otherwise. Only what leads from the
    outputs to the inputs is computed.

    Args:
        is_grads_batched: each of ``grad_outputs`` has a leading dimension of several cotangents, and each result
            one of as many gradients: a Jacobian in one call.

    Example: ``grad(x ** 3, x)`` at ``x = 2`` is ``(12.,)``.

    Raises:
        AutogradError: an input does not require grad or was not used.
    """
    if materialize_grads and allow_unused is False:
        raise ArgumentError("materialize_grads=True needs allow_unused=True, or nothing said of it")
    wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for position, tensor in enumerate(wanted):
        require(tensor, position)
    roots, given = _listed(outputs, grad_outputs, ("outputs", "grad_outputs"))
    if not roots:
        raise AutogradError("outputs must have at least one Tensor")
    if is_grads_batched:
        found = _batched(roots, given, wanted, bool(retain_graph or create_graph), create_graph)
    else:
        cotangents = [root_cotangent(root, cotangent) for root, cotangent in zip(roots, given, strict=True)]
        retain = create_graph if retain_graph is None else retain_graph
        found = engine_of(roots[0]).gradients(roots, cotangents, wanted, retain, create_graph)
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


def _batched(
    roots: list[Tensor], given: list[Tensor | None], wanted: list[Tensor], retain: bool, create: bool
) -> list[Tensor | None]:
    lengths = {cotangent.shape[0] if cotangent is not None and cotangent.ndim else 0 for cotangent in given}
    if len(lengths) != 1 or lengths == {0}:
        raise ShapeError("is_grads_batched needs grad_outputs that all have the same leading length, at least 1")
    (length,) = lengths
    engine = engine_of(roots[0])
    rows = []
    for row in range(length):
        cotangents = [
            root_cotangent(root, None if cotangent is None else cotangent[row])
            for root, cotangent in zip(roots, given, strict=True)
        ]
        rows.append(engine.gradients(roots, cotangents, wanted, retain or row + 1 < length, create))
    return [None if column[0] is None else stack(column) for column in zip(*rows, strict=True)]
