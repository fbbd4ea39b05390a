"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from unified._tensor import Tensor
from unified.errors import BackendMismatchError, OperandError, ShapeError
from unified.ops.joining import cat


def _checked(name: str, parameters: Iterable[Tensor]) -> list[Tensor]:
    given = list(parameters)
    for position, param in enumerate(given):
        if not isinstance(param, Tensor):
            raise OperandError(f"{name}: takes Tensors, and number {position} is a {type(param).__name__}")
    places = {f"{param.backend} ({param.device})" for param in given}
    if len(places) > 1:
        raise BackendMismatchError(
            f"{name}: the parameters lie in several places, {' and '.join(sorted(places))}; move the Module to one"
        )
    return given


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all parameters one after the other, ``(n,)``; gradients flow back to them.

    Raises:
        OperandError: there are none, or one is no Tensor.
        BackendMismatchError: they lie on several backends or devices.
    """
    given = _checked("parameters_to_vector", parameters)
    if not given:
        raise OperandError("parameters_to_vector: there are no parameters")
    return cat([param.reshape(-1) for param in given])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Writes slices of ``vec (n,)`` to the parameters, in their shapes and dtypes, one after the other.

    What is left of ``vec`` is ignored, as in PyTorch.

    Raises:
        OperandError: ``vec`` or a parameter is no Tensor.
        ShapeError: ``vec`` is too short; nothing is written then.
        BackendMismatchError: the parameters lie on several backends or devices.
    """
    if not isinstance(vec, Tensor):
        raise OperandError(f"vector_to_parameters: vec must be a Tensor, not {type(vec).__name__}")
    given = _checked("vector_to_parameters", parameters)
    total = sum(param.numel() for param in given)
    if vec.ndim != 1 or vec.numel() < total:
        raise ShapeError(
            f"vector_to_parameters: the parameters have {total} elements, vec has shape {tuple(vec.shape)}"
        )
    start = 0
    for param in given:
        count = param.numel()
        param.data = vec[start : start + count].detach().reshape(tuple(param.shape)).to(param.dtype)
        start += count
