"""What branches and bodies return, leaf by leaf, and the errors where two such nests differ."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from unified import _structure as structure
from unified._dtype import DType
from unified._selection import backend
from unified._tensor import Tensor
from unified.errors import ControlFlowError


class Nest:
    """The structure of a value, and shape and dtype of each Tensor in it."""

    def __init__(self, form: Hashable, leaves: Sequence[Tensor]) -> None:
        self.form = form
        self.specs: list[tuple[tuple[int, ...], DType]] = [(tuple(leaf.shape), leaf.dtype) for leaf in leaves]

    @classmethod
    def of(cls, value: Any) -> tuple[Nest, list[Tensor]]:
        """With the Tensors themselves."""
        leaves: list[Tensor] = []
        form = structure.flatten(value, leaves)
        return cls(form, leaves), leaves

    def require(self, other: Nest, what: str, this: str, that: str) -> None:
        """Raises unless ``other``, which messages call ``that``, is like this one, called ``this``.

        Raises:
            ControlFlowError: naming the first leaf that differs.
        """
        if self.form != other.form:
            raise ControlFlowError(
                f"{what}: {that} is nested otherwise than {this}, or holds another Python value: "
                f"{structure.difference(self.form, other.form)}; what varies must be a Tensor"
            )
        for name, one, two in zip(_names(self.form, ""), self.specs, other.specs, strict=True):
            if one != two:
                raise ControlFlowError(
                    f"{what}: {that}{name} is {_words(two)}, but {this}{name} is {_words(one)}; "
                    "both must have one shape and one dtype (x.to(dtype), x.reshape(shape), un.zeros for a start)"
                )


def backend_of(value: Any) -> AbstractContextManager[Any]:
    """The backend of the first Tensor in ``value``, as the current one; where there is none, that stays."""
    leaves: list[Tensor] = []
    structure.flatten(value, leaves)
    return backend(leaves[0].backend) if leaves else nullcontext()


def _words(spec: tuple[tuple[int, ...], DType]) -> str:
    return f"{spec[1].name} {spec[0]}"


def _names(form: Any, prefix: str) -> Iterator[str]:
    """How one writes each Tensor of a nest: ``[0]['h']``; empty for a lone Tensor."""
    if isinstance(form, structure.Static):
        return
    if form == ("leaf",):
        yield prefix
        return
    kind, members = form[0], form[-1]
    for index, member in enumerate(members):
        if kind is dict:
            name = f"[{form[1][index]!r}]"
        elif len(form) == 3:
            name = f".{form[1][index]}"
        else:
            name = f"[{index}]"
        yield from _names(member, prefix + name)
