"""Parameters: the Tensors that a Module trains."""

from __future__ import annotations

from unified._engine import engine_of
from unified._tensor import Tensor
from unified.errors import OperandError


class Parameter(Tensor):
    """A Tensor that a :class:`~unified.nn.Module` registers when it is assigned as an attribute.

    Unlike a plain Tensor it takes attributes of the user's own.

    Args:
        data: its value.
        requires_grad: whether backward collects a gradient for it.

    Raises:
        OperandError: ``data`` is not a Tensor.
        DTypeError: a gradient is asked for, but the dtype is neither floating nor complex.
    """

    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        if not isinstance(data, Tensor):
            raise OperandError(f"Parameter takes a Tensor, not {type(data).__name__}; make one with un.tensor(...)")
        data._shared = True
        self._native = engine_of(data).detach(data)
        self._node = None
        self._shared = True
        if requires_grad:
            self.requires_grad_()
