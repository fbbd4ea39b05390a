"""What a backend may supply beside its natives: its framework's own modules as ours, and ours as its framework's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

Native = Any
"""A framework's own tensor. Typed Any on purpose: three frameworks share no base class."""


class Cell(Protocol):
    """The place where a framework's own module keeps one of its tensors, and a Tensor of ours has its value."""

    def read(self, held: Native) -> Native:
        """The tensor there: ``held``, which we saw last, unless the framework has changed it since."""

    def write(self, native: Native) -> None:
        """Puts a tensor there."""


class Member(NamedTuple):
    """A tensor of a framework's own module."""

    name: str
    """Dotted, by the modules it lies in."""
    cell: Cell
    native: Native
    is_parameter: bool
    trains: bool


class NativeCall(Protocol):
    """One way to call a module: the op ``native_module``'s static argument."""

    adapted: AdaptedModule
    training: bool

    def arguments(self, leaves: Sequence[Native]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The positional and the named ones."""

    def results(self, leaves: Sequence[Any], rebuild: Callable[[list[Any]], Any], states: list[Any]) -> list[Any]:
        """What the op returns: the tensors among the output's ``leaves``, then the new ``states``."""


class AdaptedModule(Protocol):
    """A framework's own module, as the front end sees it."""

    module: Any
    members: Sequence[Member]
    parts: Mapping[str, bool]
    """The modules in it that have a mode of their own, by dotted name, and whether it is that of training."""

    def set_training(self, part: str, mode: bool) -> None: ...
    def program(self) -> Any:
        """What the op needs of the module beside its tensors, in the present mode."""


Exported = Callable[
    [Mapping[str, Native], tuple[Any, ...], Mapping[str, Any], Any], tuple[Any, Mapping[str, Any], Any]
]
"""A Module of ours as a function of natives: of tensors by name, arguments and random state, None for our own.

Returns the output, the buffers that have changed, and the random state.
"""


@runtime_checkable
class ModuleAdapter(Protocol):
    """A backend whose framework has modules that can be ours."""

    def adapt_module(self, module: Any) -> AdaptedModule:
        """The framework's module for us; raises ``OperandError`` for anything else."""


@runtime_checkable
class ModuleExporter(Protocol):
    """A backend whose framework can have ours as its own."""

    def export_module(
        self,
        state: Mapping[str, tuple[Native, bool | None]],
        run: Exported,
        set_training: Callable[[bool], Any],
        random: Any,
    ) -> tuple[Any, Mapping[str, Cell]]:
        """A module of the framework's own around ``run``, and where it keeps each tensor.

        Args:
            state: tensors by dotted name, and whether each is trained; None for a buffer.
            run: what it computes.
            set_training: told of its mode.
            random: the random state, for a framework whose programs must be handed it.
        """
