"""The compiling side of the contract: programs, what is known of them, and control flow within them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from unified._device import device
from unified._dtype import DType
from unified.backends.modules import Native

Pure = Callable[[list[Native], list[Native], list[Native]], list[Native]]
"""A function of flat native lists: arguments, state it changes, state it only reads. Returns a flat list."""


class Executable(Protocol):
    """A compiled :data:`Pure` function, and what its compiler knows of it."""

    def __call__(self, leaves: list[Native], donated: list[Native], kept: list[Native], /) -> list[Native]: ...
    def cost(self) -> Mapping[str, float | None]:
        """``flops`` and ``bytes accessed`` of one call; None where unknown."""

    def memory(self) -> Mapping[str, int]:
        """Bytes: ``arguments``, ``outputs``, ``temporary`` and ``peak``; absent where unknown."""


class Lowering(Protocol):
    """A program of which nothing has run."""

    def text(self, stage: str) -> str:
        """The program as "graph", "lowered" or "optimized" text, in the framework's own language."""

    def compile(self) -> Executable: ...


Section = Callable[[list[Native]], list[Native]]
"""A branch or a loop's body: a function of all natives that it needs, differentiable by nobody but the front end."""


class ControlFlow(Protocol):
    """Control flow by values while the compiler traces: the framework's constructs over flat lists."""

    def switch(self, index: Native, branches: Sequence[Section], operands: list[Native]) -> list[Native]:
        """The branch at ``index``, clamped; two branches may have a bool for an index, False first."""

    def while_loop(
        self, condition: Section, body: Section, carry: list[Native], constants: list[Native]
    ) -> list[Native]:
        """``carry`` after ``body`` has been applied while ``condition`` holds; both get carry, then constants."""

    def scan(
        self,
        body: Section,
        carry: list[Native],
        xs: list[Native],
        constants: list[Native],
        length: int,
        reverse: bool,
    ) -> tuple[list[Native], list[Native]]:
        """A loop over slices along dimension 0, at least one.

        ``body`` gets carry, slices and constants; it returns the next carry, then what is stacked.
        """


class Compiler(Protocol):
    """The static path: one :data:`Pure` function becomes one program of the framework's compiler."""

    description: str
    control_flow: ControlFlow

    def discover(self, function: Callable[[list[Native]], list[Native]], leaves: list[Native]) -> None:
        """Runs ``function`` once without computing anything, so that the front end sees what it touches."""

    def abstract(self, native: Native) -> Native:
        """Stands in for a captured tensor during :meth:`discover` (a fake tensor, or the tensor itself)."""

    def build(self, function: Pure, leaves: list[Native], donated: list[Native], kept: list[Native]) -> Executable:
        """The compiled function. It may consume the buffers of ``donated``."""

    def placeholder(self, shape: tuple[int, ...], dtype: DType, place: device | None) -> Native:
        """Stands for a tensor that is not there, as an argument of :meth:`discover` and :meth:`lower`."""

    def lower(
        self, function: Pure, leaves: list[Native], donated: list[Native], kept: list[Native], platform: str | None
    ) -> Lowering:
        """The program before it is compiled; ``platform`` ("tpu", "cuda") is another kind of hardware than this.

        Raises CompileError where the framework cannot lower for that.
        """

    def barrier(self, natives: list[Native]) -> list[Native]:
        """The same traced values, which the compiler must not recognise as what it has computed before."""

    def is_traced(self, native: Native) -> bool:
        """Whether this is a value inside some trace, without elements."""

    def scope(self) -> Any:
        """The innermost trace at work, or None."""

    def within(self, scope: Any) -> AbstractContextManager[Any]:
        """Works in that trace, which is one around the innermost, for what :meth:`abstract` makes."""

    def made_in(self, native: Native, scope: Any) -> bool:
        """Whether this is a value inside that trace, and not inside one around it."""

    def stop_gradient(self, native: Native) -> Native:
        """The same value, constant to the framework's own derivative."""

    def signature(self, native: Native) -> tuple[Any, ...]:
        """(shape, dtype, ...): hashable, equal where one program serves both."""

    donates: bool
    """Whether a program consumes the buffers of the state that it changes."""

    def claim(self, natives: list[Native], shared: list[bool]) -> None:
        """Puts a copy in the place of each native that somebody else holds, so that its buffer may be consumed.

        One is exclusive if it is not ``shared`` and held by one Tensor and this list alone.
        """

    def number(self, value: float, wide: bool) -> Native:
        """A Python float as a 0-d input of a program, in 64 bits if ``wide``."""

    def as_number(self, traced: Native) -> Native:
        """That input inside the program, where promotion goes on treating it as a Python number."""
