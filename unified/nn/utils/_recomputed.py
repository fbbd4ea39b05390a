"""An attribute that a hook computes before every forward pass: what the older parametrizations and pruning share."""

from __future__ import annotations

from typing import Any

from unified._dispatch import tracing
from unified._hooks import RemovableHandle
from unified._tensor import Tensor
from unified.nn.module import Module


class Recomputed:
    """A forward pre-hook that sets ``module.<name>``.

    While ``un.compile`` traces, the attribute goes back afterwards to the value it had: what a trace makes has none
    outside of it.
    """

    name: str
    _handles: tuple[RemovableHandle, ...] = ()
    _before: Tensor | None = None

    def compute(self, module: Module) -> Tensor:
        """The attribute's value."""
        raise NotImplementedError

    def attach(self, module: Module) -> None:
        """Starts to compute it."""
        self._handles = (
            module.register_forward_pre_hook(self),
            module.register_forward_hook(self._restore, always_call=True),
        )

    def detach(self) -> None:
        """Stops to."""
        for handle in self._handles:
            handle.remove()

    def __call__(self, module: Module, inputs: Any) -> None:
        if tracing() is not None:
            self._before = module.__dict__.get(self.name)
        setattr(module, self.name, self.compute(module))

    def _restore(self, module: Module, inputs: Any, output: Any) -> None:
        if tracing() is not None:
            setattr(module, self.name, self._before)
            self._before = None


def attached(module: Module, kind: type[Any], name: str | None = None) -> list[Any]:
    """The hooks of that kind on ``module``: of the attribute ``name``, or of any."""
    hooks = module._module_hooks
    if hooks is None:
        return []
    found = [hook for hook, _ in hooks.forward_pre.values() if isinstance(hook, kind)]
    return [hook for hook in found if name is None or hook.name == name]
