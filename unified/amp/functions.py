"""What an ``autograd.Function`` says about autocast."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from unified import _structure as structure
from unified._device import device
from unified._dtype import DType
from unified._recording import casting
from unified._tape import grad_mode
from unified._tensor import Tensor
from unified.amp.autocast import autocast

Function = TypeVar("Function", bound=Callable[..., Any])


def custom_fwd(fwd: Function | None = None, *, device_type: str, cast_inputs: DType | None = None) -> Any:
    """Decorates the ``forward`` of an ``autograd.Function`` that is used under :class:`autocast`.

    Args:
        fwd: the function; left out where the options come first: ``@un.amp.custom_fwd(device_type="cuda")``.
        device_type: of the Tensors that it is meant for.
        cast_inputs: floating Tensors among the arguments are cast to it, and nothing is cast within; without it,
            ``forward`` chooses as the code around it does.
    """
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)
    function, kind = fwd, device(device_type).type

    @functools.wraps(function)
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        ctx._casting = grad_mode.autocast
        if cast_inputs is None or ctx._casting is None or kind not in ctx._casting.dtypes:
            return function(ctx, *args, **kwargs)
        with autocast(device_type, enabled=False):
            ctx._casting = grad_mode.autocast
            args, kwargs = _cast((args, kwargs), cast_inputs, kind)
            return function(ctx, *args, **kwargs)

    return cast(Function, forward)


def custom_bwd(bwd: Function | None = None, *, device_type: str) -> Any:
    """Decorates the ``backward`` that belongs to a :func:`custom_fwd`: it runs under the autocast of ``forward``."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)
    function = bwd
    device(device_type)

    @functools.wraps(function)
    def backward(ctx: Any, *cotangents: Any) -> Any:
        with casting(ctx._casting):
            return function(ctx, *cotangents)

    return cast(Function, backward)


def _cast(values: Any, dtype: DType, kind: str) -> Any:
    leaves: list[Tensor] = []
    form = structure.flatten(values, leaves)
    wanted = [t.dtype.is_floating_point and not t.dtype.is_wide and t.device.type == kind for t in leaves]
    return structure.unflatten(form, [t.to(dtype) if use else t for t, use in zip(leaves, wanted, strict=True)])
