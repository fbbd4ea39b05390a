"""Arithmetic on many Tensors at once, in which update rules are written.

An operator on :class:`Many` is one op over the whole list. Within an update it costs nothing on JAX and
TensorFlow, where the update is one program; on PyTorch it is one ``_foreach`` kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from unified._dispatch import composite, table, wrap
from unified._tensor import Tensor
from unified.backends.protocol import Native
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


@composite
def foreach_toward(tensors: Sequence[Tensor], others: Sequence[Tensor], weight: Operand) -> tuple[Tensor, ...]:
    """``tensor + (other - tensor) * weight`` of each: running means, moved on."""
    return tuple([tensor + (other - tensor) * weight for tensor, other in zip(tensors, others, strict=True)])


@composite
def foreach_add_square(tensors: Sequence[Tensor], others: Sequence[Tensor], weight: Operand) -> tuple[Tensor, ...]:
    """``tensor + other ** 2 * weight`` of each."""
    return tuple([tensor + other * other * weight for tensor, other in zip(tensors, others, strict=True)])


class Many:
    """A list of Tensors that adds, multiplies and so on member by member, with a list, a number or a 0-d Tensor.

    For the bodies of composites, where nothing records: it keeps natives and calls the op's implementation itself,
    which halves what an eager update of many small parameters costs on PyTorch.
    """

    __slots__ = ("natives",)

    def __init__(self, natives: Sequence[Native]) -> None:
        self.natives = natives

    @classmethod
    def of(cls, tensors: Iterable[Tensor]) -> Many:
        """From Tensors."""
        return cls([tensor._native for tensor in tensors])

    @property
    def tensors(self) -> list[Tensor]:
        """The members."""
        return [wrap(native) for native in self.natives]

    def _with(self, kind: str, *others: Many | Tensor | float) -> Many:
        beside: Sequence[Any] = ()
        for other in others:
            beside = other.natives if isinstance(other, Many) else [_native(other)]
        return self._run("foreach", beside, kind)

    def _run(self, op: str, *arguments: Any) -> Many:
        return Many(table[op].implementations[type(self.natives[0])](self.natives, *arguments))

    def __add__(self, other: Many | Tensor | float) -> Many:
        return self._with("add", other)

    def __sub__(self, other: Many | Tensor | float) -> Many:
        return self._with("sub", other)

    def __mul__(self, other: Many | Tensor | float) -> Many:
        return self._with("mul", other)

    def __truediv__(self, other: Many | Tensor | float) -> Many:
        return self._with("div", other)

    def __neg__(self) -> Many:
        return self._with("neg")

    def maximum(self, other: Many | Tensor | float) -> Many:
        """The larger of the two, element by element."""
        return self._with("maximum", other)

    def minimum(self, other: Many | Tensor | float) -> Many:
        """The smaller of the two, element by element."""
        return self._with("minimum", other)

    def abs(self) -> Many:
        """Absolute values."""
        return self._with("abs")

    def sqrt(self) -> Many:
        """Square roots."""
        return self._with("sqrt")

    def sign(self) -> Many:
        """-1, 0 or 1."""
        return self._with("sign")

    def toward(self, other: Many, weight: Tensor | float) -> Many:
        """``self + (other - self) * weight``: a running mean, moved on."""
        return self._run("foreach_toward", other.natives, _native(weight))

    def add_square(self, other: Many, weight: Tensor | float) -> Many:
        """``self + other ** 2 * weight``."""
        return self._run("foreach_add_square", other.natives, _native(weight))

    def update(self, op: str, *arguments: Any) -> list[Many]:
        """What an op over whole lists makes: as many lists as it returns members for."""
        operands = [argument.natives if isinstance(argument, Many) else argument for argument in arguments]
        operands = [[_native(v) for v in o] if isinstance(o, list) else o for o in operands]
        found = self._run(op, *operands).natives
        count = len(self.natives)
        return [Many(found[start : start + count]) for start in range(0, len(found), count)]

    def each(self, function: Callable[..., Tensor], *others: Many) -> Many:
        """``function`` of each member and those of ``others`` beside it, for what is no arithmetic."""
        columns = [self.tensors, *[other.tensors for other in others]]
        return Many.of([function(*members) for members in zip(*columns, strict=True)])


def _native(value: Tensor | float) -> Any:
    return value._native if isinstance(value, Tensor) else value
