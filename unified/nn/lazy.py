"""Modules that find out the shapes of their parameters from their first input."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, ClassVar

from unified._dispatch import tracing
from unified._hooks import RemovableHandle
from unified.errors import CompileError, UninitializedError
from unified.nn.parameter import is_lazy

if TYPE_CHECKING:
    from unified.nn.module import Module

    _Base = Module
else:
    _Base = object


class LazyModuleMixin(_Base):
    """In front of a Module class, lets parameters wait for the first input.

    A subclass declares them as :class:`~unified.nn.UninitializedParameter` or ``UninitializedBuffer`` and gives them
    a shape in ``initialize_parameters``, which gets the arguments of the first call. Move and convert the Module
    before that call; make its optimiser, and compile it, after. Loading a state dict gives the shapes too.

    Example:
        >>> layer = nn.LazyLinear(8)
        >>> layer(un.ones(2, 4)).shape
        unified.Size([2, 8])
        >>> layer
        Linear(in_features=4, out_features=8, bias=True)
    """

    cls_to_become: ClassVar[type[Module] | None] = None
    """The class of the Module from its first call on; None to stay what it is."""

    inferred: ClassVar[str | None] = None
    """The attribute that ``initialize_parameters`` finds out: what ``cls_to_become`` takes as its first argument."""

    _initialize_hook: RemovableHandle | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._initialize_hook = self.register_forward_pre_hook(LazyModuleMixin._infer_parameters, with_kwargs=True)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Gives every uninitialised parameter its shape and values; gets the arguments of the first call."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def has_uninitialized_params(self) -> bool:
        """Whether any parameter or buffer of this Module, not of those below it, waits for its shape."""
        return any(is_lazy(held) for held in itertools.chain(self._parameters.values(), self._buffers.values()))

    def _infer_parameters(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if tracing() is not None and self.has_uninitialized_params():
            raise CompileError(
                f"{type(self).__name__} has parameters without a shape; call it with a batch before it is compiled"
            )
        self.initialize_parameters(*args, **kwargs)
        if self.has_uninitialized_params():
            raise UninitializedError(f"module {type(self).__name__} has not been fully initialized")
        assert self._initialize_hook is not None
        self._initialize_hook.remove()
        del self._initialize_hook
        if self.cls_to_become is None:
            return
        if self.inferred is not None:  # un.save_model describes the Module by the arguments of its new class
            given, named = self._configuration
            self.__dict__["_configuration"] = ((getattr(self, self.inferred), *given), named)
        self.__class__ = self.cls_to_become  # type: ignore[assignment]
