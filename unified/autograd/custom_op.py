"""``custom_op``: an op of the user's, with kernels of the frameworks' own where they have one."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, TypeVar, cast

from unified._dispatch import op as declare
from unified._dispatch import table
from unified._tensor import Tensor
from unified.autograd.function import Function
from unified.backends import registry
from unified.backends.protocol import Backend
from unified.errors import ArgumentError

Declared = TypeVar("Declared", bound=Callable[..., Any])


def custom_op(
    name: str,
    *,
    impl: Mapping[str, Callable[..., Any]] | None = None,
    vjp: Callable[..., Any] | None = None,
    setup_context: Callable[..., None] | None = None,
) -> Callable[[Declared], Declared]:
    """Declares an op by decorating its version in unified ops, which runs wherever there is no kernel.

    The op is one entry of the op table like any other: jitted on JAX, recorded by autograd, usable inside
    ``un.compile``. Its annotations say what its parameters are: ``un.Tensor``, ``un.Tensor | None``,
    ``Sequence[un.Tensor]``; anything else is a constant of the program, hashable.

    Args:
        name: unique, best with a prefix: ``"mylib::swish"``.
        impl: by backend's name a function of the framework's own tensors, in the order of the parameters, which
            returns the framework's own tensors.
        vjp: ``vjp(ctx, *grad_outputs)`` gives the gradient of each parameter, in unified ops, None where there is
            none. Without it each kernel is differentiated by its framework.
        setup_context: ``setup_context(ctx, inputs, output)`` keeps what ``vjp`` needs. By default
            ``ctx.saved_tensors`` has the Tensors among the inputs, then the outputs.

    Example::

        @un.custom_op("mylib::swish", impl={"torch": torch.nn.functional.silu, "jax": jax.nn.silu})
        def swish(x: un.Tensor) -> un.Tensor:
            return x * x.sigmoid()

    Raises:
        ArgumentError: the name is taken, a backend is unknown, or ``setup_context`` comes without ``vjp``.
    """
    kernels = dict(impl or {})
    if name in table:
        raise ArgumentError(f"custom_op: an op named {name!r} exists; choose another name")
    known = registry.registered()
    for backend in kernels:
        if backend not in known:
            raise ArgumentError(f"custom_op {name!r}: no backend is called {backend!r}; there are {sorted(known)}")
    if setup_context is not None and vjp is None:
        raise ArgumentError(f"custom_op {name!r}: setup_context keeps what vjp needs, and there is no vjp")

    def register(function: Declared) -> Declared:
        assert isinstance(function, FunctionType)
        body = FunctionType(
            function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
        )
        functools.update_wrapper(body, function)
        del body.__wrapped__  # type: ignore[attr-defined]
        body.__kwdefaults__ = function.__kwdefaults__
        body.__annotations__ = {key: _as_text(note) for key, note in function.__annotations__.items()}
        missing = [
            key for key in (*inspect.signature(function).parameters, "return") if key not in body.__annotations__
        ]
        if missing:
            raise ArgumentError(f"custom_op {name!r}: annotate {missing}, so that its Tensors are known")
        if vjp is not None and any(note.startswith("Sequence") for note in body.__annotations__.values()):
            raise ArgumentError(
                f"custom_op {name!r}: vjp goes with Tensors as parameters, not with sequences of them"
            )
        caller = declare(composite=True, name=name)(body)

        def provide(backend: Backend) -> None:
            kernel = kernels.get(backend.name)
            if kernel is not None:
                backend.natives[name] = kernel

        for backend in registry.loaded():
            provide(backend)
        registry.on_load(provide)
        if vjp is None:
            return cast(Declared, caller)
        return cast(Declared, _with_rule(function, caller, vjp, setup_context))

    return register


def _as_text(note: Any) -> str:
    """An annotation as ``_caller`` reads it, whether or not it was evaluated."""
    text = note if isinstance(note, str) else note.__name__ if isinstance(note, type) else str(note)
    return re.sub(r"\b(?:unified\._tensor|unified|un|typing|collections\.abc)\.", "", text)


def _with_rule(
    function: FunctionType, caller: Callable[..., Any], vjp: Callable[..., Any], setup_context: Any
) -> Callable[..., Any]:
    """``caller`` with ``vjp`` as its derivative."""
    signature = inspect.signature(function)
    positional = [p.name for p in signature.parameters.values() if p.kind is not p.KEYWORD_ONLY]

    def keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        outputs = output if isinstance(output, tuple) else (output,)
        ctx.save_for_backward(*[value for value in (*inputs, *outputs) if isinstance(value, Tensor)])

    def forward(*args: Any) -> Any:
        given = dict(zip(signature.parameters, args, strict=True))
        return caller(*[given.pop(key) for key in positional], **given)

    members = {"forward": forward, "setup_context": setup_context or keep, "backward": vjp}
    rule: Any = type(function.__name__, (Function,), {key: staticmethod(member) for key, member in members.items()})

    @functools.wraps(function)
    def public(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return rule.apply(*bound.arguments.values())

    return public
