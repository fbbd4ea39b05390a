"""Look-up tables and indicator vectors."""

from __future__ import annotations

from unified._dispatch import op
from unified._tensor import Tensor
from unified.errors import ArgumentError
from unified.nn.functional import _checks


@op(check=_checks.embedding)
def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """The rows of ``weight (rows, features)`` that the integers ``input (...)`` name: ``(..., features)``.

    The row ``padding_idx`` gets no gradient. An index outside of ``[0, rows)`` is an error where the device
    tells (PyTorch; TensorFlow on CPU outside of ``un.compile``) and gives NaN where it does not.

    Raises:
        DTypeError: ``input`` is neither int32 nor int64.
        ArgumentError: ``padding_idx`` lies outside of the table.
    """


@op(name="one_hot", check=_checks.one_hot)
def _one_hot(tensor: Tensor, num_classes: int) -> Tensor:
    """1 at the class of each element of ``tensor (...)``, 0 elsewhere: int32 ``(..., num_classes)``."""


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """1 at the class of each element of ``tensor (...)``, 0 elsewhere: ``(..., num_classes)`` of ``tensor``'s dtype.

    With ``num_classes=-1`` it is the largest class and one more, which asks for values: not inside ``un.compile``.
    Example: ``one_hot([0, 2]) -> [[1, 0, 0], [0, 0, 1]]``.

    Raises:
        ArgumentError: ``num_classes`` is neither -1 nor positive.
        DTypeError: ``tensor`` is not of integers.
    """
    if num_classes == -1:
        if not tensor.numel():
            raise ArgumentError("one_hot: an empty tensor has no largest class; give num_classes")
        num_classes = int(tensor.amax().item()) + 1
    if num_classes < 1:
        raise ArgumentError(f"one_hot: num_classes must be positive, or -1 to infer it, not {num_classes}")
    encoded: Tensor = _one_hot(tensor, num_classes)
    return encoded
