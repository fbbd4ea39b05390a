"""Which classes and functions a file may name. It can name nothing else, so loading runs no code of its choice."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any, TypeVar, overload

from unified.errors import ArgumentError, CheckpointError

Kind = TypeVar("Kind", bound=Callable[..., Any])

_OWN = "unified."
_by_name: dict[str, Any] = {}
_names: dict[Any, str] = {}


@overload
def register(kind: Kind, /) -> Kind: ...
@overload
def register(*, name: str | None = None) -> Callable[[Kind], Kind]: ...
def register(kind: Any = None, /, *, name: str | None = None) -> Any:
    """Lets ``un.save_model`` write, and ``un.load_model`` build, what is decorated.

    For Module classes, for dataclasses and functions among their constructors' arguments. Those of ``unified``
    itself are registered already.

    Args:
        kind: the class or function.
        name: what files call it; by default its module and name, which then must not change.

    Example:
        >>> @un.io.register(name="lab.Affine")
        ... class Affine(nn.Module): ...

    Raises:
        ArgumentError: another one has the name.
    """

    def add(kind: Any) -> Any:
        chosen = name or f"{kind.__module__}.{kind.__qualname__}"
        held = _by_name.get(chosen)
        if held is not None and (held.__module__, held.__qualname__) != (kind.__module__, kind.__qualname__):
            raise ArgumentError(f"register: {chosen!r} already names {held.__module__}.{held.__qualname__}")
        _by_name[chosen] = kind
        _names[kind] = chosen
        return kind

    return add if kind is None else add(kind)


def register_own(kind: type) -> None:
    """Registers a class of the library, as ``nn.Linear`` or ``models.GPT``; leaves others to their owners."""
    if kind.__module__.startswith(_OWN):
        register(name=f"{kind.__module__.split('.')[1]}.{kind.__qualname__}")(kind)


def alias(kind: type, original: type) -> None:
    """Has files call a class as another one, which they then build."""
    if original in _names:
        _names[kind] = _names[original]


def name_of(kind: Any) -> str | None:
    """What files call it; None where it is not registered."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        register_own(kind)  # sizes of our models, which no base class registers
    return _names.get(kind)


def find(name: str) -> Any:
    """The class or function that files call so.

    Raises:
        CheckpointError: nothing is registered under the name; says how.
    """
    if name not in _by_name and name.startswith("models."):
        zoo = importlib.import_module("unified.models")  # its Modules register themselves when it is imported
        name_of(getattr(zoo, name.removeprefix("models."), None))
    if name not in _by_name:
        raise CheckpointError(
            f"the file names {name!r}, which is not registered here; import the module that defines it, and decorate "
            f"it there with @un.io.register(name={name!r})"
        )
    return _by_name[name]
