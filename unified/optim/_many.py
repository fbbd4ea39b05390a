"""Arithmetic on many Tensors at once, in which update rules are written.

An operator on :class:`Many` is one op over the whole list. Within an update it costs nothing on JAX and
TensorFlow, where the update is one program; on PyTorch it is one ``_foreach`` kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unified._dispatch import composite
from unified._tensor import Tensor
from unified.ops.elementwise import Operand, maximum, minimum

_KINDS: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "maximum": lambda x, y: maximum(x, y),
    "minimum": lambda x, y: minimum(x, y),
    "neg": lambda x: -x,
    "abs": lambda x: x.abs(),
    "sqrt": lambda x: x.sqrt(),
    "sign": lambda x: x.sign(),
}


@composite
def foreach(tensors: Sequence[Tensor], others: Sequence[Operand], kind: str) -> tuple[Tensor, ...]:
    """``kind`` (``"add"``, ``"sqrt"``, ...) of each Tensor, with its own of ``others`` or the one there is.

    The results have the dtypes that the arithmetic gives them.

    """
    function = _KINDS[kind]
    if not others:
        return tuple([function(tensor) for tensor in tensors])
    beside = others if len(others) == len(tensors) else [*others] * len(tensors)
    return tuple([function(tensor, other) for tensor, other in zip(tensors, beside, strict=True)])


class Many:
    """A list of Tensors that adds, multiplies and so on member by member, with a list, a number or a 0-d Tensor."""

    __slots__ = ("tensors",)

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = tensors

    def _with(self, kind: str, other: Many | Tensor | float) -> Many:
        return Many(foreach(self.tensors, other.tensors if isinstance(other, Many) else [other], kind))

    def __add__(self, other: Many | Tensor | float) -> Many:
        return self._with("add", other)

    def __sub__(self, other: Many | Tensor | float) -> Many:
        return self._with("sub", other)

    def __mul__(self, other: Many | Tensor | float) -> Many:
        return self._with("mul", other)

    def __truediv__(self, other: Many | Tensor | float) -> Many:
        return self._with("div", other)

    def __neg__(self) -> Many:
        return Many(foreach(self.tensors, [], "neg"))

    def maximum(self, other: Many | Tensor | float) -> Many:
        """The larger of the two, element by element."""
        return self._with("maximum", other)

    def minimum(self, other: Many | Tensor | float) -> Many:
        """The smaller of the two, element by element."""
        return self._with("minimum", other)

    def abs(self) -> Many:
        """Absolute values."""
        return Many(foreach(self.tensors, [], "abs"))

    def sqrt(self) -> Many:
        """Square roots."""
        return Many(foreach(self.tensors, [], "sqrt"))

    def sign(self) -> Many:
        """-1, 0 or 1."""
        return Many(foreach(self.tensors, [], "sign"))

    def toward(self, other: Many, weight: Tensor | float) -> Many:
        """``self + (other - self) * weight``: a running mean, moved on."""
        return self + (other - self) * weight

    def each(self, function: Callable[..., Tensor], *others: Many) -> Many:
        """``function`` of each member and those of ``others`` beside it, for what is no arithmetic."""
        return Many([function(*members) for members in zip(self.tensors, *[o.tensors for o in others], strict=True)])
