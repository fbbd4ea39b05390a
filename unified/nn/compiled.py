"""A Module that is compiled: the same Module to everybody, but calls of it run a program."""

from __future__ import annotations

from typing import Any

from unified.io.registered import alias


class CompiledModule:
    """What ``un.compile(module)`` is besides an instance of the Module's class.

    It has the very attributes of the Module that it was made from, not copies: parameters, buffers, children, hooks,
    train and eval, and whatever is set on either. So it takes the place of the Module in an optimizer, in another
    Module, in ``state_dict`` and ``un.save_model``; ``forward`` is still the plain one.
    """

    __slots__ = ()

    _plain: type[Any]
    _compiled_program: Any

    def __init_subclass__(cls, **options: Any) -> None:
        """Not registered as a class of its own."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """What a method makes as ``type(self)(...)``, such as a slice of a Sequential, is a plain Module."""
        return cls._plain(*args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the program of these arguments."""
        return self._compiled_program(*args, **kwargs)

    def explain(self) -> Any:
        """See :meth:`CompiledFunction.explain`."""
        return self._compiled_program.explain()

    def lower(self, *args: Any, **kwargs: Any) -> Any:
        """See :meth:`CompiledFunction.lower`."""
        return self._compiled_program.lower(*args, **kwargs)

    def ir(self, *args: Any, **kwargs: Any) -> Any:
        """See :meth:`CompiledFunction.ir`."""
        return self._compiled_program.ir(*args, **kwargs)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._compiled_program.__reduce__()

    def __copy__(self) -> Any:
        """A compiled one of a shallow copy of the Module."""
        return self._compiled_program.__copy__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self._compiled_program.__deepcopy__(memo)


def compiled(module: Any, program: Any) -> Any:
    """The Module whose calls run ``program``."""
    kind: Any = getattr(type(module), "_plain", type(module))
    known: Any = kind.__dict__.get("_compiled_kind")
    if known is None:
        names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
        known = type(kind.__name__, (CompiledModule, kind), {**names, "__slots__": ("_compiled_program",)})
        known._plain = kind
        kind._compiled_kind = known
        alias(known, kind)
    made = object.__new__(known)
    made.__dict__ = module.__dict__
    made._compiled_program = program
    return made
